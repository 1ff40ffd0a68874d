"""The definition of an MCP server: how it is started or reached, and what its tools may do."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import DefinitionError

Approval = Literal["ask", "auto", "deny", "read-only"]
Sampling = Literal["ask", "auto", "deny"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class McpServer:
    """An MCP server. Its tools are called ``NAME/TOOL``; an agent gets them with ``tools=["NAME/*"]``.

    It has either a ``command``, which is started with ``args``, or a ``url``. In these, in ``env``, in ``headers``, and
    in ``client_id`` and ``client_secret``, ``${VARIABLE}`` and ``${VARIABLE:-default}`` stand for variables of the
    environment when the program runs a swarm.
    """

    name: str
    command: str = ""
    """The program of a server that speaks over its standard input and output."""
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables for the program. It gets no others, except PATH, HOME, USER and the like."""
    cwd: str | None = None
    """The folder that the program runs in. ``None``: the current one."""
    url: str = ""
    """The address of a server that speaks streamable HTTP."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """HTTP headers, such as Authorization."""
    client_id: str = ""
    """What this program is registered as at the server's login, if the login takes no new programs by itself."""
    client_secret: str = field(default="", repr=False)
    """The secret of this registration, if it has one."""
    callback_port: int = 0
    """The port of this machine to which a login comes back, if it is part of the registration; 0: a free one."""
    approve: Approval = "ask"
    """Whether its tools may be called: ask the user, auto (without asking), deny, or read-only: without asking for
    tools that the server itself calls read-only."""
    sampling: Sampling = "ask"
    """Whether it may ask the model while one of its tools runs: ask the user, auto (without asking), or deny."""
    timeout: float = 60.0
    """Seconds that a call may take, without the time that the user or the model needs for a question of the server."""
    start_timeout: float = 30.0
    """Seconds that the server may take to answer at the start."""

    def __post_init__(self) -> None:
        where = f"MCP server {self.name!r}"
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise DefinitionError(f"{where}: expected a name of 1 to 40 letters, digits, _, . and -")
        for name, (fits, expected) in _FIELDS.items():
            value = getattr(self, name)
            if not fits(value) and (name, value) != ("cwd", None):
                raise DefinitionError(f"{where}: {name} is {value!r:.60}, expected {expected}")
        if bool(self.command) == bool(self.url):
            both = "both command and url" if self.command else "neither command nor url"
            raise DefinitionError(f"{where} has {both}: give one of them")
        if self.url and not self.url.startswith(("http://", "https://", "${")):
            raise DefinitionError(f"{where}: url is {self.url!r}, expected http://… or https://…")
        for name, allowed in (("approve", get_args(Approval)), ("sampling", get_args(Sampling))):
            if (value := getattr(self, name)) not in allowed:
                raise DefinitionError(f"{where}: {name} is {value!r}, expected {', '.join(allowed)}")
        if self.client_secret and not self.client_id:
            raise DefinitionError(f"{where} has client_secret, but no client_id: give both")
        if self.client_id and not self.url:
            raise DefinitionError(f"{where} has client_id, but no url to log in to: remove it")
        for name in ("timeout", "start_timeout"):
            if not getattr(self, name) > 0:
                raise DefinitionError(f"{where}: {name} is {getattr(self, name)!r}, expected seconds above 0")

    @property
    def has_authorization(self) -> bool:
        """Whether its headers contain an authorization, so that no login is needed."""
        return any(name.lower() == "authorization" for name in self.headers)

    def expanded(self, text: str, environment: Mapping[str, str]) -> str:
        """Return ``text`` with variables of ``environment`` filled in. Raises DefinitionError if one is not set."""

        def value(match: re.Match[str]) -> str:
            variable = environment.get(match[1], match[2])
            if variable is None:
                raise DefinitionError(
                    f"MCP server {self.name!r} needs the environment variable {match[1]}, which is not set"
                )
            return variable

        return _VARIABLE.sub(value, text)


def _is_texts(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FIELDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys(
        ("command", "cwd", "url", "approve", "sampling", "client_id", "client_secret"),
        (lambda value: isinstance(value, str), "a string"),
    ),
    **dict.fromkeys(("env", "headers"), (_is_texts, "a table of strings")),
    **dict.fromkeys(("timeout", "start_timeout"), (_is_seconds, "seconds")),
    "callback_port": (
        lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 65536,
        "a port, 0 to 65535",
    ),
    "args": (_is_list_of_texts, "a list of strings"),
}
_OF_OTHERS = {
    "serverUrl": "url",
    "httpUrl": "url",
    "clientId": "client_id",
    "clientSecret": "client_secret",
    "callbackPort": "callback_port",
}
"""Keys of other programs, and what they are called here."""


def read_server(name: str, table: object, *, strict: bool = True) -> McpServer:
    """Return the server that ``table`` describes. Raises DefinitionError.

    Without ``strict``, keys that other programs have in their ``mcpServers`` files are left out.
    """
    if not isinstance(table, Mapping):
        raise DefinitionError(f"MCP server {name!r} is {table!r:.60}, expected a table with command or url")
    fields: dict[str, Any] = {}
    if not strict and isinstance(table.get("oauth"), Mapping):
        table = {**table, **table["oauth"]}
    for key_name, value in table.items():
        key = str(key_name) if strict else _OF_OTHERS.get(key_name, str(key_name))
        if key not in _FIELDS:
            if strict:
                raise DefinitionError(f"MCP server {name!r} has no setting {key!r}; {nearest(str(key), _FIELDS)}")
            continue
        fields[key] = value
    return McpServer(name, **fields)


def read_servers_file(content: object) -> list[McpServer]:
    """Return the servers of an ``mcpServers`` file, as other programs have them; those marked as disabled are left out.

    Raises DefinitionError.
    """
    tables = content.get("mcpServers", content.get("servers")) if isinstance(content, Mapping) else None
    if not isinstance(tables, Mapping):
        raise DefinitionError('it has no servers: expected {"mcpServers": {"NAME": {"command": "…"}}}')
    return [
        read_server(str(name), table, strict=False)
        for name, table in tables.items()
        if not (isinstance(table, Mapping) and table.get("disabled") is True)
    ]


def merged(*groups: Iterable[McpServer]) -> list[McpServer]:
    """Return all servers; of two with the same name, the later one."""
    return list({server.name: server for group in groups for server in group}.values())
