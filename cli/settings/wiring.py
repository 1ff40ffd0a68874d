"""Build what the settings name: the backend, the model, the swarm."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from platformdirs import user_config_path, user_data_path
from swarmchat.backends import Backend, open_backend
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.api_key import has_key, key_origin, read_key
from swarmchat.cli.settings.files import Complain, file_of
from swarmchat.cli.settings.settings import PROJECT_FILE, Settings, from_folder, load_settings, refuse
from swarmchat.cli.terminal.themes import use_theme
from swarmchat.swarm.agents.agent import DEFAULT_PROMPT, DEFAULT_SWARM, Agent, Swarm
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.models.base import Model, PreloadableModel
from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint
from swarmchat.swarm.persistence.store import REDIS_LIFETIMES, Lifetimes

OPENAI_DEFAULT = "gpt-4o-mini"
"""What answers when there is a key but no name of a model."""

_SHORT_FORMS = ("memory", "disk", "redis")


def read_settings(flags: Mapping[str, Any], *, complain: Complain = refuse) -> Settings:
    """Return the settings of this process. Raises ConfigError, unless ``complain`` accepts the problems."""
    return load_settings(flags, os.environ, settings_files(), complain=complain)


def apply_settings(flags: Mapping[str, Any]) -> Settings:
    """Return the settings of a command, and show its output in their theme from now on. Raises ConfigError."""
    settings = read_settings(flags)
    use_theme(settings.theme)
    return settings


def settings_files() -> list[Path]:
    """Return where settings files are, whether there are any: the user's, then the folder's, which goes before it."""
    files = []
    # There may be no home folder, and the current one may have been removed: then there is no file in it.
    with suppress(RuntimeError):
        files.append(user_config_path("swarmchat") / "config.toml")
    with suppress(OSError):
        files.append(Path.cwd() / PROJECT_FILE)
    return files


def data_dir(settings: Settings) -> Path:
    """Return the folder for what is kept on disk. Raises ConfigError where there can be none."""
    try:
        folder = Path(settings.data_dir).expanduser() if settings.data_dir else user_data_path("swarmchat")
    except RuntimeError as error:
        raise ConfigError("no home folder found: set HOME, or name a folder with --data-dir") from error
    if "?" in str(folder):
        raise ConfigError(f"{str(folder)!r}: a data folder cannot have a ? in its name")
    return folder


def prompts_file(settings: Settings) -> Path | None:
    """Return the file that keeps what was typed, for the up arrow; ``None`` where nothing is to be kept, or can be."""
    with suppress(ConfigError):
        return None if settings.backend == "memory" else data_dir(settings) / "prompts"
    return None


def make_backend(settings: Settings) -> Backend:
    """Return the backend, unopened. Raises UnknownBackend for a name or URL that makes no sense."""
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
    """Return the model ``name``, that of the settings for ``None``.

    Without a name, an address or a key it is the demo model, which needs none and follows the rules of ``swarm``.
    """
    # The demo model is for trying everything without a server: it stands in for those that agents name, too.
    name = settings.model if settings.model == "demo" else name or settings.model
    if name == "demo" or (name is None and not is_connected(settings)):
        from swarmchat.swarm.models.demo import DemoModel

        return DemoModel(delay=0.015 if interactive else 0.0, rules=swarm.demo)
    if name is None:
        if settings.base_url:
            raise ConfigError(f"which model of {settings.base_url}? Name it with -m MODEL or SWARMCHAT_MODEL")
        name = OPENAI_DEFAULT
    check_key_stays_home(settings)
    from swarmchat.swarm.models.openai_chat import OpenAIModel

    return OpenAIModel(
        name,
        base_url=settings.base_url,
        api_key=read_key(settings),
        timeout=settings.timeout,
        max_retries=settings.retries,
    )


def is_connected(settings: Settings) -> bool:
    """Whether there is a server to ask: an address, or a key for OpenAI's."""
    return bool(settings.base_url) or has_key(settings)


def make_swarm(settings: Settings) -> Swarm:
    """Return the swarm that answers. Raises DefinitionError for one that is missing or wrong."""
    if settings.swarm is not None:
        from swarmchat.swarm.agents.loader import EXAMPLES, load_swarm

        origin = settings.origins.get("swarm", "")
        if from_folder(origin) and settings.swarm not in EXAMPLES:
            raise ConfigError(
                f"{origin} names the swarm {settings.swarm!r}, which is a program: "
                f"a folder's settings may not start programs. If you trust it, give -S {settings.swarm} yourself"
            )
        return _with_embedder(load_swarm(settings.swarm, Path.cwd()), settings)
    prompt = DEFAULT_PROMPT if settings.system is None else settings.system
    return Swarm(DEFAULT_SWARM.name, [Agent(DEFAULT_SWARM.default, prompt)])


def session_settings(settings: Settings) -> SessionSettings:
    """Return what is set for a session."""
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
    return SessionSettings(
        context_window=settings.max_context,
        lifetimes=lifetimes,
        approve=settings.approve or {},
        rescue=settings.rescue,
        rescue_confirm=settings.rescue_confirm,
        placeholder=settings.placeholder,
    )


def project_settings(settings: Settings) -> list[str]:
    """Return a line that tells what the folder's own settings file decides, if it decides anything."""
    names = [name for name, origin in settings.origins.items() if from_folder(origin)]
    return [f"./{PROJECT_FILE} sets {', '.join(names)}"] if names else []


def warm_up(model: Model) -> None:
    """Import what the first request will need. Meant for a thread, while the user types."""
    import swarmchat.swarm.turn.loop  # noqa: F401 - what listens to an answer
    from swarmchat.swarm.context.tokens import counter_for

    counter_for(model.name)
    if isinstance(model, PreloadableModel):
        model.warm_up()


async def close_swarm(swarm: Swarm) -> None:
    """Close what ``make_swarm`` opened."""
    if (close := getattr(swarm.embedder, "close", None)) is not None:
        await close()


def _with_embedder(swarm: Swarm, settings: Settings) -> Swarm:
    if settings.embedding_model is None:
        return swarm
    name = "base_url" if settings.embedding_base_url is None else "embedding_base_url"
    check_key_stays_home(settings, name)
    from swarmchat.swarm.storage.openai_embedder import OpenAIEmbedder

    url = getattr(settings, name)
    return replace(swarm, embedder=OpenAIEmbedder(settings.embedding_model, base_url=url, api_key=read_key(settings)))


def check_key_stays_home(settings: Settings, name: str = "base_url") -> None:
    """Refuse to send the user's key to an address that came with a folder, perhaps somebody else's."""
    origin, ours = settings.origins.get(name, ""), key_origin(settings)
    if has_key(settings) and from_folder(origin) and file_of(ours) != file_of(origin):
        raise ConfigError(
            f"{origin} sets {name}, and the key comes from {ours}: a folder must not choose who gets your key. "
            f"If you trust it, set {name} = {getattr(settings, name)} yourself"
        )


def make_endpoint(settings: Settings, *, name: str | None = None, most_retries: int = 10) -> Model:
    """Return what ``wiring.make_model`` makes, as an OpenAIEndpoint where it is a server's model."""
    made = wiring.make_model(settings, interactive=False, name=name)
    if made.name == "demo":
        return made
    return OpenAIEndpoint(
        made.name,
        base_url=settings.base_url,
        api_key=read_key(settings),
        timeout=settings.timeout,
        max_retries=min(settings.retries, most_retries),
    )
