"""Build the backend, the model and the swarm that the settings choose."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_config_path, user_data_path
from swarmchat.backends import Backend, open_backend
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.credentials import has_key, key_origin, read_key
from swarmchat.cli.settings.resumption import resume_with
from swarmchat.cli.settings.settings import (
    PROJECT_FILE,
    Complain,
    Settings,
    file_of,
    from_folder,
    load_settings,
    refuse,
)
from swarmchat.cli.terminal.themes import use_theme
from swarmchat.swarm.agents.agent import DEFAULT_PROMPT, DEFAULT_SWARM, Agent, Swarm
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.models.base import Model, PreloadableModel
from swarmchat.swarm.persistence.store import REDIS_LIFETIMES, Lifetimes

if TYPE_CHECKING:
    from swarmchat.swarm.providers.adaptations import LearnedAdaptations

OPENAI_DEFAULT = "gpt-4o-mini"
"""The model if a key is set but no model."""

_SHORT_FORMS = ("memory", "disk", "redis")


def read_settings(flags: Mapping[str, Any], *, complain: Complain = refuse) -> Settings:
    """Return the settings of this process. Raises ConfigError, unless ``complain`` accepts the problems."""
    return load_settings(flags, os.environ, settings_files(), complain=complain)


def apply_settings(flags: Mapping[str, Any]) -> Settings:
    """Return the settings of a command, and use their theme from now on. Raises ConfigError."""
    settings = read_settings(flags)
    use_theme(settings.theme)
    return settings


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
    if name == "demo" or (name is None and not is_connected(settings)):
        from swarmchat.swarm.models.demo import DemoModel

        return DemoModel(delay=0.015 if interactive else 0.0, rules=swarm.demo)
    if name is None:
        if settings.base_url:
            raise ConfigError(f"which model of {settings.base_url}? Name it with -m MODEL or SWARMCHAT_MODEL")
        name = OPENAI_DEFAULT
    check_key_stays_home(settings)
    from swarmchat.swarm.models.openai_chat import OpenAIModel

    return OpenAIModel(name, **_connection(settings))


def make_endpoint(
    settings: Settings, *, name: str | None = None, most_retries: int = 10, remember: bool = True
) -> Model:
    """Return the model that ``make_model`` would return, but the bare endpoint of a server.

    Without ``remember``, it starts without what is known of servers, and keeps nothing.
    """
    from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint

    model = make_model(settings, interactive=False, name=name)
    if model.name == "demo":
        return model
    connection = _connection(settings, most_retries)
    return OpenAIEndpoint(model.name, **connection if remember else {**connection, "adaptations": None})


def _connection(settings: Settings, most_retries: int | None = None) -> dict[str, Any]:
    return {
        "base_url": settings.base_url,
        "api_key": read_key(settings),
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
    return bool(settings.base_url) or has_key(settings)


def make_swarm(settings: Settings) -> Swarm:
    """Return the swarm that answers. Raises DefinitionError if it is missing or invalid."""
    if settings.swarm not in (None, DEFAULT_SWARM.name):
        from swarmchat.swarm.agents.loader import EXAMPLES, load_swarm

        origin = settings.origins.get("swarm", "")
        if from_folder(origin) and settings.swarm not in EXAMPLES:
            raise ConfigError(
                f"{origin} names the swarm {settings.swarm!r}, which starts a program: "
                f"the settings of a folder must not do that. If you trust it, give -S {settings.swarm} yourself"
            )
        return _with_embedder(load_swarm(settings.swarm, Path.cwd()), settings)
    prompt = DEFAULT_PROMPT if settings.system is None else settings.system
    return Swarm(DEFAULT_SWARM.name, [Agent(DEFAULT_SWARM.default, prompt)])


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
    return SessionSettings(
        context_window=settings.max_context,
        lifetimes=lifetimes,
        max_result=settings.max_result,
        approve=settings.approve or {},
        rescue=settings.rescue,
        rescue_confirm=settings.rescue_confirm,
        placeholder=settings.placeholder,
        resume_with=resume_with(settings),
    )


def project_settings(settings: Settings) -> list[str]:
    """Return a line with the settings from the current folder's file, if there are any."""
    names = [name for name, origin in settings.origins.items() if from_folder(origin)]
    return [f"./{PROJECT_FILE} sets {', '.join(names)}"] if names else []


def warm_up(model: Model) -> None:
    """Import the packages that the first request needs. Called in a thread, while the user types."""
    import swarmchat.swarm.turn.loop  # noqa: F401 - only to load it
    from swarmchat.swarm.context.tokens import counter_for

    counter_for(model.name)
    if isinstance(model, PreloadableModel):
        model.warm_up()


async def close_swarm(swarm: Swarm) -> None:
    """Close the embedder that ``make_swarm`` opened."""
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
