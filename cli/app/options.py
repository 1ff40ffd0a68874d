"""Options that several commands have, under one name and with one meaning."""

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer

Backend = Annotated[
    str | None, typer.Option("-b", "--backend", help="Where sessions are kept: memory, disk, redis, or a URL.")
]

SwarmName = Annotated[
    str | None,
    typer.Option("-S", "--swarm", help="The swarm: a file, a folder, MODULE:NAME, helpdesk or phone_shop."),
]

SessionName = Annotated[str | None, typer.Option("-s", "--session", help="Which session; the last used by default.")]

Client = Annotated[str | None, typer.Option(help="Who is talking; by default the system's user.")]

RedisUrl = Annotated[str | None, typer.Option(help="What redis means: redis://, rediss:// or unix://.")]

DataDir = Annotated[str | None, typer.Option(metavar="<path>", help="Where disk means.")]

Model = Annotated[str | None, typer.Option("-m", "--model", help="Which model answers; demo needs no server.")]

OpenSession = Annotated[str | None, typer.Option("-s", "--session", help="Open this session, or begin it.")]

Resume = Annotated[bool, typer.Option("-c", "--continue", help="Open the session that was used last.")]

Approve = Annotated[str | None, typer.Option(help="Whether tools may run: auto, ask or deny.")]

Locale = Annotated[str | None, typer.Option(help="Remembered of the client, for tools and prompts.")]

System = Annotated[str | None, typer.Option(help="The system message of the plain assistant.")]

MaxContext = Annotated[int | None, typer.Option(min=1, help="Tokens that a request and its answer may have together.")]

BaseUrl = Annotated[str | None, typer.Option(help="An OpenAI-compatible server, with its /v1.")]

Plain = Annotated[
    bool | None, typer.Option("--plain", help="No colours, no cursor movements, answers as they are written.")
]

Output = Annotated[str, typer.Option("--output", help="What is printed: text, json, or jsonl (the log as it grows).")]

Profile = Annotated[str | None, typer.Option(help="Which [profiles.NAME] of the settings files counts.")]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def flags(**given: object) -> dict[str, object]:
    """Return options as settings take them."""
    return given


Name = Annotated[str, typer.Argument(help="Which session: its name or its id.")]

NO_FLAGS: Mapping[str, Any] = MappingProxyType({})
"""Stands in a command's signature where ``with_store_options`` puts the options of the store."""

_STORE_OPTIONS = {
    "backend": Backend,
    "client": Client,
    "redis_url": RedisUrl,
    "data_dir": DataDir,
    "profile": Profile,
}


def with_store_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options of the store in place of its parameter ``flags``, which receives their values."""
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name == "flags":
            parameters += [
                inspect.Parameter(name, parameter.kind, default=None, annotation=option)
                for name, option in _STORE_OPTIONS.items()
            ]
        else:
            parameters.append(parameter)

    @functools.wraps(command)
    def with_flags(**values: Any) -> None:
        flags = {name: values.pop(name) for name in _STORE_OPTIONS}
        command(flags=flags, **values)

    with_flags.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    with_flags.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_flags
