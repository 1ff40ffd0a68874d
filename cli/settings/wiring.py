"""Build the backend, the model and the swarm that the settings choose."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path, user_config_path, user_data_path
from swarmchat.backends import Backend, open_backend
from swarmchat.cli.environment import environment, hide, show_keys
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.credentials import check_key_stays_home, read_key
from swarmchat.cli.settings.folder import PROJECT_FILE, Consents, from_folder
from swarmchat.cli.settings.loading import Complain, load_settings, refuse
from swarmchat.cli.settings.resumption import resume_with
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.themes import use_theme
from swarmchat.swarm.agents.agent import DEFAULT_PROMPT, DEFAULT_SWARM, Agent, Swarm
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.persistence.store import REDIS_LIFETIMES, Lifetimes

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.hooks import Hooks


_SHORT_FORMS = ("memory", "disk", "redis")


def read_settings(flags: Mapping[str, Any], *, complain: Complain = refuse) -> Settings:
    """Return the settings of this process. Raises ConfigError, unless ``complain`` accepts the problems."""
    return load_settings(flags, environment(), settings_files(), complain=complain, consents=Consents())


def apply_settings(flags: Mapping[str, Any], *, tell: bool = True) -> Settings:
    """Return the settings of a command, and use their theme from now on. Raises ConfigError.

    Settings of the folder that need the user's consent are told, unless a chat is about to ask for it.
    """
    settings = read_settings(flags)
    use_theme(settings.theme)
    if settings.pass_keys:
        show_keys()
    else:
        tables = [{"api_key_env": settings.api_key_env}, *(settings.models or {}).values()]
        hide(table["api_key_env"] for table in tables if table.get("api_key_env"))
    if settings.withheld and tell and sys.stderr is not None:
        print(f"  {withheld_line(settings)}", file=sys.stderr)
    return settings


def withheld_line(settings: Settings) -> str:
    """Describe the settings of the folder that are not used."""
    names = ", ".join(settings.withheld)
    return f"not used: {names} of ./{PROJECT_FILE}; swarmchat trust shows what they do, and asks"


def settings_files() -> list[Path]:
    """Return the paths of the user's settings file and of the folder's, which overrides it; neither needs to exist."""
    files = []
    # The home folder may be unknown, and the current folder may have been removed.
    with suppress(RuntimeError):
        files.append(user_config_path("swarmchat") / "config.toml")
    with suppress(OSError):
        files.append(Path.cwd() / PROJECT_FILE)
    return files


def commands_folder() -> Path | None:
    """Return the folder of the user's own slash commands; ``None`` if the home folder is unknown."""
    with suppress(RuntimeError):
        return user_config_path("swarmchat") / "commands"
    return None


def data_dir(settings: Settings) -> Path:
    """Return the folder for data on disk. Raises ConfigError if none can be used."""
    try:
        folder = Path(settings.data_dir).expanduser() if settings.data_dir else user_data_path("swarmchat")
    except RuntimeError as error:
        raise ConfigError("no home folder found: set HOME, or name a folder with --data-dir") from error
    if "?" in str(folder):
        raise ConfigError(f"{str(folder)!r}: a data folder cannot have a ? in its name")
    return folder


def prompts_file(settings: Settings) -> Path | None:
    """Return the file of the prompt history; ``None`` if nothing should or can be saved."""
    with suppress(ConfigError):
        return None if settings.backend == "memory" else data_dir(settings) / "prompts"
    return None


def make_backend(settings: Settings) -> Backend:
    """Return the backend, unopened. Raises UnknownBackend for an unknown name or URL."""
    name = settings.backend
    if name == "disk":
        url = f"disk:{data_dir(settings) / 'sessions'}?durability={settings.durability}"
    elif name == "redis":
        url = settings.redis_url
    else:
        url = f"{name}:" if name == "memory" else name
    return open_backend(url)


def backend_name(settings: Settings) -> str:
    """Return the backend's short name, for the screen."""
    name = settings.backend
    return name if name in _SHORT_FORMS else name.split(":", 1)[0]


def make_swarm(settings: Settings) -> Swarm:
    """Return the swarm that answers. Raises DefinitionError if it is missing or invalid."""
    if settings.swarm not in (None, DEFAULT_SWARM.name):
        from swarmchat.swarm.agents.loader import load_swarm

        return _with_servers(_with_embedder(load_swarm(settings.swarm, Path.cwd()), settings), settings)
    prompt = DEFAULT_PROMPT if settings.system is None else settings.system
    tools = ["*/*"] if settings.mcp or settings.mcp_file else []
    return _with_servers(Swarm(DEFAULT_SWARM.name, [Agent(DEFAULT_SWARM.initial, prompt, tools)]), settings)


def session_settings(settings: Settings) -> SessionSettings:
    """Return the settings of a session."""
    on_redis = backend_name(settings).startswith(("redis", "unix"))
    lifetimes = REDIS_LIFETIMES if on_redis else Lifetimes()
    lifetimes = replace(
        lifetimes,
        session=lifetimes.session if isinstance(settings.lifetime, str) else settings.lifetime,
        memory=settings.memory_lifetime,
        storage=settings.storage_lifetime,
        embedding=lifetimes.embedding if isinstance(settings.embedding_lifetime, str) else settings.embedding_lifetime,
        ban=settings.ban_lifetime,
        alive=settings.alive_lifetime,
    )
    tasks = settings.tasks or {}
    return SessionSettings(
        context_window=None if "max_context" in settings.of_this_model else settings.max_context,
        lifetimes=lifetimes,
        max_result=settings.max_result,
        auto_compact=settings.compact == "auto",
        approve=settings.approve or {},
        approve_at_least=settings.approve_at_least,
        rescue=settings.rescue,
        rescue_confirm=_rescue_confirm(settings),
        placeholder=settings.placeholder,
        resume_with=resume_with(settings),
        token_tables=token_tables(),
        **{"tasks_at_once" if name == "at_once" else f"task_{name}": limit for name, limit in tasks.items()},
    )


def token_tables() -> Path | None:
    """Return the folder of the tables that count tokens; ``None`` if the home folder is unknown."""
    with suppress(RuntimeError):
        return user_cache_path("swarmchat")
    return None


def make_hooks(settings: Settings) -> "list[Hooks]":
    """Return the hooks that run the user's commands."""
    if not settings.hooks:
        return []
    from swarmchat.cli.settings.hook_commands import hook_commands

    return hook_commands(settings.hooks)


def _rescue_confirm(settings: Settings) -> str:
    """Return whether to ask about calls in texts. A folder's file must not turn that off."""
    given_up = settings.rescue_confirm == "never" and from_folder(settings.origins.get("rescue_confirm", ""))
    return "ask" if given_up else settings.rescue_confirm


def project_settings(settings: Settings) -> list[str]:
    """Return a line with the settings from the current folder's file, if there are any."""
    names = [name for name, origin in settings.origins.items() if from_folder(origin)]
    if not names:
        return []
    server = f"; messages go to {settings.base_url}" if "base_url" in names else ""
    return [f"./{PROJECT_FILE} sets {', '.join(names)}{server}"]


def _with_servers(swarm: Swarm, settings: Settings) -> Swarm:
    """Return ``swarm`` with the user's MCP servers, if there are any."""
    if not (settings.mcp or settings.mcp_file) and swarm.mcp_servers is None:
        return swarm
    from swarmchat.cli.settings.mcp_servers import with_servers

    return with_servers(swarm, settings)


async def close_swarm(swarm: Swarm) -> None:
    """Close the embedder and the MCP servers that ``make_swarm`` has opened."""
    if swarm.mcp_servers is not None:
        await swarm.mcp_servers.release()
    if (close := getattr(swarm.embedder, "close", None)) is not None:
        await close()


def _with_embedder(swarm: Swarm, settings: Settings) -> Swarm:
    if settings.embedding_model is None:
        return swarm
    if settings.embedding_model == "ngram":
        from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder

        return replace(swarm, embedder=NgramEmbedder())
    name = "base_url" if settings.embedding_base_url is None else "embedding_base_url"
    check_key_stays_home(settings, name)
    from swarmchat.swarm.storage.openai_embedder import OpenAIEmbedder

    is_shared = settings.embedding_base_url is None
    embedder = OpenAIEmbedder(
        settings.embedding_model,
        base_url=getattr(settings, name),
        api_key=read_key(settings),
        default_score=settings.embedding_score,
        prefixes=settings.embedding_prefixes or ("", ""),
        headers=settings.headers if is_shared else None,
        query=settings.query if is_shared else None,
    )
    return replace(swarm, embedder=embedder)
