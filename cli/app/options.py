"""Options shared by several commands, and `settings`, which adds the options that override settings."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

Flags = dict[str, Any]
"""The settings given on the command line, by name; ``None`` where an option was not given."""

Backend = Annotated[
    str | None, typer.Option("-b", "--backend", help="Where sessions are stored: memory, disk, redis, or a URL.")
]
SwarmName = Annotated[
    str | None, typer.Option("-S", "--swarm", help="Swarm: a file, a folder, MODULE:NAME, helpdesk or phone_shop.")
]


def _option(text: str, *names: str, kind: Any = str, **details: Any) -> Any:
    return Annotated[kind | None, typer.Option(*names, help=text, **details)]


_SETTINGS = {
    "backend": Backend,
    "swarm": SwarmName,
    "client": _option("Your client name; default: your login name."),
    "redis_url": _option("Redis URL that -b redis uses (redis://, rediss:// or unix://)."),
    "data_dir": _option("Folder that -b disk uses.", metavar="<path>"),
    "model": _option("Model that answers; demo needs no server.", "-m", "--model"),
    "approve": _option("Whether tools may run: auto, ask or deny."),
    "locale": _option("Language, such as de: saved in the client's memory for tools and prompts."),
    "system": _option("System prompt of the plain assistant."),
    "max_context": _option("Context window: tokens for request plus answer.", kind=int, min=1),
    "base_url": _option("Address of an OpenAI-compatible server, with its /v1."),
    "plain": _option("Plain text: no colours, no cursor movement, no Markdown.", "--plain", kind=bool),
    "debug": _option("Show the traceback of each tool that fails.", "--debug", kind=bool),
    "profile": _option("Use the settings of [profiles.NAME]."),
    "timeout": _option("Seconds that the server may be silent.", metavar="S"),
}
"""The option of each setting that can be given on the command line."""

SHARED_STORE = ("backend", "redis_url", "data_dir", "profile")
"""The settings that choose a store."""
STORE = ("backend", "client", "redis_url", "data_dir", "profile")
"""The settings that choose a store and a client."""

CHAT = "backend model session resume client swarm approve locale system max_context base_url redis_url data_dir".split()
"""The settings of a chat, with its options -s and -c among them."""

SessionName = Annotated[str, typer.Argument(help="Session: its name or its id.")]
OtherSession = Annotated[str | None, typer.Option("-s", "--session", help="Session; default: the last used.")]
OpenSession = Annotated[
    str | None, typer.Option("-s", "--session", help="Session to open; created if it does not exist.")
]
Resume = Annotated[bool, typer.Option("-c", "--continue", help="Open the most recently used session.")]
Files = Annotated[
    list[str] | None,
    typer.Option(
        "-f",
        "--file",
        metavar="PATH",
        help="Attach a text or image file, or all that match a quoted pattern; - is stdin.",
    ),
]
Output = Annotated[str, typer.Option("--output", help="Output format: text, json, or jsonl (the log as it grows).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of the settings ``names`` to a command, which receives their values as the mapping ``flags``.

    The options replace the parameter ``flags`` in the help, in the order of ``names``. A name can also be that of
    another parameter of the command, to place it among them.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters
        options = {name: own[name] if name in own else _parameter(name) for name in names}
        parameters: list[inspect.Parameter] = []
        for name, parameter in own.items():
            if name == "flags":
                parameters += options.values()
            elif name not in options:
                parameters.append(parameter)

        @wraps(command)
        def run(**values: Any) -> None:
            flags = {name: values.pop(name) for name in names if name not in own}
            command(flags=flags, **values)

        # Typer reads the options of a command from its signature.
        keyword_only = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        run.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]  # not in the type of functions
        return run

    return decorate


def _parameter(name: str) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_SETTINGS[name])
