"""Create the model that the settings choose."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.credentials import check_key_stays_home, has_key, read_key
from swarmchat.cli.settings.settings import (
    Settings,
)
from swarmchat.cli.settings.wiring import backend_name, data_dir, token_tables
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.agents.agent import DEFAULT_SWARM, Swarm
from swarmchat.swarm.models.base import Model, PreloadableModel

if TYPE_CHECKING:
    from swarmchat.swarm.providers.adaptations import LearnedAdaptations


OPENAI_DEFAULT = "gpt-4o-mini"
"""The model if a key is set but no model."""

_NAMED = 10
"""Number of models that an error names."""


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
            raise _which_model(settings)
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
        # It has no list.
        raise _which_model(settings) from None
    if len(chat_models := for_chat(names)) != 1:
        raise _which_model(settings, names)
    origins = {**settings.origins, "model": "the only model of the server"}
    return replace(settings, model=chat_models[0], origins=origins)


def _which_model(settings: Settings, names: Sequence[str] | None = None) -> ConfigError:
    first = ", ".join(one_line(name, 60) for name in (names or ())[:_NAMED])
    more = ", …" if names and len(names) > _NAMED else ""
    listed = "" if names is None else f" It lists {first or 'no models'}{more}."
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
    """Return the learned adaptations of servers, saved on disk unless the store is in memory."""
    from swarmchat.swarm.providers.adaptations import LearnedAdaptations

    return LearnedAdaptations(None if backend_name(settings) == "memory" else data_dir(settings) / "servers.json")


def is_connected(settings: Settings) -> bool:
    """Whether the settings name a server: by an address, or by a key for OpenAI's."""
    settings = settings.for_model(settings.model)
    return bool(settings.base_url) or has_key(settings)


def warm_up(model: Model) -> None:
    """Import the packages that the first request needs. Called in a thread, while the user types."""
    import swarmchat.swarm.context.builder
    import swarmchat.swarm.turn.loop  # noqa: F401 - only to load them
    from swarmchat.swarm.context.tokens import counter_for

    counter_for(model.name, token_tables())
    if isinstance(model, PreloadableModel):
        model.warm_up()
