"""Build the backend, the model and the swarm that the settings choose."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_config_path, user_data_path
from swarmchat.backends import Backend, open_backend
from swarmchat.cli.environment import environment, hide, show_keys
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.credentials import has_key, key_origin, read_key
from swarmchat.cli.settings.folder import PROJECT_FILE, Consents, file_of, from_folder
from swarmchat.cli.settings.resumption import resume_with
from swarmchat.cli.settings.settings import (
    Complain,
    Settings,
    load_settings,
    refuse,
)
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.cli.terminal.themes import use_theme
from swarmchat.swarm.agents.agent import DEFAULT_PROMPT, DEFAULT_SWARM, Agent, Swarm
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.models.base import Model, PreloadableModel
from swarmchat.swarm.persistence.store import REDIS_LIFETIMES, Lifetimes

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.hooks import Hooks
    from swarmchat.swarm.providers.adaptations import LearnedAdaptations

OPENAI_DEFAULT = "gpt-4o-mini"
"""The model if a key is set but no model."""

_NAMED = 10
"""Number of models that an error names."""
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


def make_model(
    settings: Settings, *, interactive: bool, swarm: Swarm = DEFAULT_SWARM, name: str | None = None
) -> Model:
    """Return the model ``name``; for ``None``, the one in the settings.

    Without a name, an address or a key it is the demo model, which follows the rules of ``swarm``.
    """
    # The demo model replaces the models of agents, too: it is for trying everything without a server.
    name = settings.model if settings.model == "demo" else name or settings.model
    general, settings = settings, settings.for_model(name)
    if name == "demo" or (name is None and not is_connected(settings)):
        from swarmchat.swarm.models.demo import DemoModel

        return DemoModel(delay=0.015 if interactive else 0.0, rules=swarm.demo)
    if name is None:
        if settings.base_url:
            raise _which_model(settings, ())
        name = OPENAI_DEFAULT
    check_key_stays_home(settings)
    from swarmchat.swarm.models.openai_chat import OpenAIModel

    model = OpenAIModel(name, **_connection(settings))
    others = [each for each in general.fallback or () if each not in (name, "demo")]
    if not others:
        return model
    from swarmchat.swarm.models.fallback import FallbackModel

    alone = replace(general, fallback=None)
    return FallbackModel(model, [make_model(alone, interactive=interactive, name=each) for each in others])


def make_endpoint(
    settings: Settings, *, name: str | None = None, most_retries: int = 10, remember: bool = True
) -> Model:
    """Return the model that ``make_model`` would return, but the bare endpoint of a server.

    Without ``remember``, it starts without what is known of servers, and keeps nothing.
    """
    from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint

    model = make_model(replace(settings, fallback=None), interactive=False, name=name)
    if model.name == "demo":
        return model
    connection = _connection(settings.for_model(model.name), most_retries)
    return OpenAIEndpoint(model.name, **connection if remember else {**connection, "adaptations": None})


async def choose_model(settings: Settings) -> Settings:
    """Return ``settings`` with the only model of the server, if they name a server without a model.

    Raises ConfigError if it has several or does not list them, and the errors of the server.
    """
    if settings.model is not None or settings.base_url is None:
        return settings
    from swarmchat.swarm.errors import ModelNotFound

    try:
        names = await list_models(settings, most_retries=1, on_wait=_print_once())
    except ModelNotFound:
        names = []
    if len(chat_models := for_chat(names)) != 1:
        raise _which_model(settings, names)
    origins = {**settings.origins, "model": "the only model of the server"}
    return replace(settings, model=chat_models[0], origins=origins)


def _which_model(settings: Settings, names: Sequence[str]) -> ConfigError:
    first = ", ".join(one_line(name, 60) for name in names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    listed = f" It lists {first}." if names else ""
    return ConfigError(f"which model of {settings.base_url}?{listed} Name it with -m MODEL or SWARMCHAT_MODEL")


def _print_once() -> Callable[[str], None]:
    """Return a function that prints why a server is waited for, each reason once."""
    printed: set[str] = set()

    def print_reason(reason: str) -> None:
        if reason not in printed:
            print(f"  {one_line(reason, 80)}: waiting", file=sys.stderr, flush=True)
        printed.add(reason)

    return print_reason


async def list_models(
    settings: Settings, *, most_retries: int = 0, on_wait: Callable[[str], object] = lambda reason: None
) -> list[str]:
    """Return the names of the models that the server of ``settings`` lists. Raises its errors.

    ``on_wait`` gets the reason of each wait for the server.
    """
    from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint

    # The list does not depend on the name.
    endpoint = make_endpoint(replace(settings, model=None), name="any", most_retries=most_retries)
    assert isinstance(endpoint, OpenAIEndpoint)
    try:
        return [model.id for model in await endpoint.list_models(on_wait)]
    finally:
        await endpoint.close()


def for_chat(names: Sequence[str]) -> list[str]:
    """Return the names without those of embedding models, unless there are no others.

    They follow no rule, but many contain "embed".
    """
    return [name for name in names if "embed" not in name.lower()] or list(names)


def _connection(settings: Settings, most_retries: int | None = None) -> dict[str, Any]:
    table = settings.of_this_model
    return {
        "base_url": settings.base_url,
        "api_key": read_key(settings),
        "served_as": table.get("model"),
        "headers": settings.headers,
        "query": settings.query,
        # A window in its table is this model's alone. Any other is the session's, also for other models.
        "context_window": settings.max_context if "max_context" in table else None,
        "demands": table.get("adaptations", ()),
        "timeout": settings.timeout,
        "max_answer": settings.max_answer,
        "max_answer_time": settings.max_answer_time,
        "max_retries": settings.retries if most_retries is None else min(settings.retries, most_retries),
        "adaptations": learned_adaptations(settings),
    }


def learned_adaptations(settings: Settings) -> "LearnedAdaptations":
    """Return what servers were found to demand; kept on disk, unless nothing is to be kept there."""
    from swarmchat.swarm.providers.adaptations import LearnedAdaptations

    return LearnedAdaptations(None if backend_name(settings) == "memory" else data_dir(settings) / "servers.json")


def is_connected(settings: Settings) -> bool:
    """Whether the settings name a server: by an address, or by a key for OpenAI's."""
    settings = settings.for_model(settings.model)
    return bool(settings.base_url) or has_key(settings)


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
        approve=settings.approve or {},
        rescue=settings.rescue,
        rescue_confirm=_rescue_confirm(settings),
        placeholder=settings.placeholder,
        resume_with=resume_with(settings),
        **{"tasks_at_once" if name == "at_once" else f"task_{name}": limit for name, limit in tasks.items()},
    )


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


def warm_up(model: Model) -> None:
    """Import the packages that the first request needs. Called in a thread, while the user types."""
    import swarmchat.swarm.turn.loop  # noqa: F401 - only to load it
    from swarmchat.swarm.context.tokens import counter_for

    counter_for(model.name)
    if isinstance(model, PreloadableModel):
        model.warm_up()


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


def check_key_stays_home(settings: Settings, name: str = "base_url") -> None:
    """Refuse to send the user's key or headers to an address that came with a folder, perhaps somebody else's."""
    origin = settings.origins.get(name, "")
    if not from_folder(origin):
        return
    origins = {"key": key_origin(settings) if has_key(settings) else ""}
    origins |= {each: settings.origins.get(each, "") for each in ("headers", "query") if getattr(settings, each)}
    for secret, ours in origins.items():
        if ours and file_of(ours) != file_of(origin):
            raise ConfigError(
                f"{origin} sets {name}, and the {secret} comes from {ours}: a folder must not choose who gets your "
                f"{secret}. If you trust it, set {name} = {getattr(settings, name)} yourself"
            )
