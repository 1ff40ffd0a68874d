"""The values that each option, argument and setting can have, for Tab.

Only immediately known values are offered: no program of the user is run, and only servers on this machine are asked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swarmchat.cli.completion import stores
from swarmchat.cli.completion.command_line import Candidate, Finder, PartialCommandLine
from swarmchat.cli.completion.swarm_scan import swarm_of
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.loading import read_files
from swarmchat.cli.settings.models import OPENAI_DEFAULT, is_connected
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.themes import ABOUT
from swarmchat.swarm.agents.loader import EXAMPLES
from swarmchat.swarm.agents.rescue_steps import STEPS

_SECONDS = 0.15
"""How long a model server may take: nobody waits long for Tab."""


def values_of(typed: PartialCommandLine, param: Any) -> list[Candidate]:
    """Return the values that ``param`` can have, as far as they are known."""
    find = finder_of(typed.path, param)
    return find(typed) if find is not None else []


def finder_of(path: tuple[str, ...], param: Any) -> Finder | None:
    """Return the function that finds values for ``param`` of the command ``path``, or ``None``."""
    place = (*path, param.name)
    return _BY_PLACE[place] if place in _BY_PLACE else _BY_NAME.get(param.name)


def may_be_file(path: tuple[str, ...], param: Any) -> bool:
    """Whether the value of ``param`` of the command ``path`` can be a file name."""
    place = (*path, param.name)
    return place in _FILES or (param.name in _FILES and place not in _BY_PLACE)


def _choices(*values: str, **described: str) -> Finder:
    """Return a finder of fixed values, with or without a description."""
    return lambda typed: [*((value, "") for value in values), *described.items()]


# From the settings files


def _set_in_files(name: str) -> list[Candidate]:
    """Return the values that the settings files give ``name``, in all profiles; none that may contain a password."""
    sources, profiles = read_files(wiring.settings_files(), lambda error: None)
    return [
        (values[name], Path(origin).name)
        for origin, values in [*sources, *(source for profile in profiles.values() for source in profile)]
        if isinstance(values.get(name), str) and "@" not in values[name]
    ]


def _from_files(name: str, *others: Candidate) -> Finder:
    """Return a finder of ``others`` and of the values in the settings files."""
    return lambda typed: list(dict([*_set_in_files(name), *others]).items())


def _profiles(typed: PartialCommandLine) -> list[Candidate]:
    _, profiles = read_files(wiring.settings_files(), lambda error: None)
    return [(name, Path(sources[-1][0]).name) for name, sources in sorted(profiles.items())]


def _setting_names(typed: PartialCommandLine) -> list[Candidate]:
    return [(name, "") for name, each in Settings.__dataclass_fields__.items() if each.metadata]


def _setting_values(typed: PartialCommandLine) -> list[Candidate]:
    find = SETTING_VALUES.get(typed.words[0])
    return find(typed) if find is not None else []


# From this machine


def _models(typed: PartialCommandLine) -> list[Candidate]:
    """Return the models in the settings files, and those of servers on this machine that would answer."""
    from swarmchat.swarm.models.discovery import find_servers

    settings = typed.settings()
    models = {"demo": "built in: scripted answers, no AI", **dict(_set_in_files("model"))}
    models |= dict.fromkeys(settings.models or (), "in your settings")
    ports = settings.discover
    if settings.base_url:
        parts = urlsplit(settings.base_url)
        ports = [parts.port or 80] if parts.hostname in ("localhost", "127.0.0.1") else []
    elif is_connected(settings):
        models.setdefault(OPENAI_DEFAULT, "OpenAI")
        ports = []
    for server in find_servers(ports, _SECONDS):
        models |= dict.fromkeys(server.models, server.program)
    return list(models.items())


def _addresses(typed: PartialCommandLine) -> list[Candidate]:
    """Return the addresses in the settings files, and those of servers on this machine."""
    from swarmchat.swarm.models.discovery import find_servers

    local = [(server.base_url, server.program) for server in find_servers(typed.settings().discover, _SECONDS)]
    return list(dict([*_set_in_files("base_url"), *local]).items())


def _swarms(typed: PartialCommandLine) -> list[Candidate]:
    """Return the swarms of this folder, of the program and of the settings files, and Python files."""
    here = Path()
    swarms = [(".", "the swarm of this folder")] if (here / "swarm.toml").is_file() else []
    swarms += [(path.parent.name, "a swarm") for path in sorted(here.glob("*/swarm.toml"))]
    swarms += [(name, "comes with the program") for name in EXAMPLES]
    files = [(path.name, "") for path in sorted(here.glob("*.py"))]
    return list(dict([*swarms, *_set_in_files("swarm"), *files]).items())


# From the swarm


def _in_swarm(kind: str) -> Finder:
    """Return a finder of the names in the field ``kind`` of SwarmNames."""
    return lambda typed: list(getattr(swarm_of(typed), kind).items())


def _tool_arguments(typed: PartialCommandLine) -> list[Candidate]:
    """Return a JSON object to fill in, with the required arguments of the tool that was typed."""
    from swarmchat.cli.completion.tool_arguments import names_line, skeleton

    parameters = swarm_of(typed).parameters.get(typed.words[0])
    return [] if parameters is None else [(skeleton(parameters), names_line(parameters))]


def _storages(typed: PartialCommandLine) -> list[Candidate]:
    """Return the storages that have items, and with ``--swarm`` those that the swarm declares."""
    declared = swarm_of(typed).storages if "swarm" in typed.options else {}
    return list({**dict(stores.storages(typed)), **declared}.items())


# Tables

_BACKENDS = {
    "disk": "a folder on this machine",
    "memory": "nowhere: gone when the program ends",
    "redis": "a Redis server",
    "disk:": "disk:PATH, another folder",
    "redis://": "redis://HOST:PORT/DB, another server",
}
_APPROVALS = _choices(auto="tools run", ask="you are asked before each call", deny="no tool runs")
_FLAG = _choices("true", "false")
_OUTPUTS = _choices(text="the answer", json="one object", jsonl="the log as it grows")

SETTING_VALUES: Mapping[str, Finder] = {
    "backend": _choices(**_BACKENDS),
    "redis_url": _from_files("redis_url", ("redis://localhost:6379/0", "the default")),
    "durability": _choices(normal="fast", full="waits for the disk after each turn"),
    **dict.fromkeys(
        ("lifetime", "memory_lifetime", "storage_lifetime", "embedding_lifetime", "ban_lifetime"),
        _choices("24h", "7d", none="for ever"),
    ),
    "model": _models,
    "base_url": _addresses,
    "swarm": _swarms,
    "embedding_base_url": _addresses,
    "approve": _APPROVALS,
    "rescue": _choices(*STEPS, "none"),
    "rescue_confirm": _choices("ask", "always", "never"),
    "plain": _FLAG,
    "theme": _choices(**ABOUT),
    "editing": _choices("emacs", "vi"),
    "thoughts": _choices("folded", "shown", "hidden"),
    "notify": _choices("off", "bell", "osc9", "osc777"),
    "compact": _choices("off", "auto"),
    "multiline": _FLAG,
    "profile": _profiles,
    "discover": _FLAG,
}
"""Finders of a setting's values, by its name."""

_BY_NAME: Mapping[str, Finder] = {
    **{
        name: SETTING_VALUES[name]
        for name in ("backend", "redis_url", "model", "base_url", "profile", "swarm", "approve")
    },
    "session": stores.sessions,
    "client": _from_files("client"),
    "locale": _from_files("locale"),
    "policy": _in_swarm("policies"),
    "operator": _in_swarm("operators"),
}
"""Finders of the values of options that mean the same in every command."""


def _mcp_servers(typed: PartialCommandLine) -> list[Candidate]:
    """Return the MCP servers in the settings."""
    return [(name, "") for name in typed.settings().mcp or ()]


_BY_PLACE: Mapping[tuple[str, ...], Finder] = {
    ("output",): _OUTPUTS,
    ("chat", "output"): _OUTPUTS,
    ("run", "output"): _OUTPUTS,
    ("state", "name"): stores.states,
    ("storage", "name"): _storages,
    ("storage", "show", "name"): _storages,
    ("storage", "reload", "name"): _storages,
    ("storage", "clear", "name"): _storages,
    ("storage", "import", "name"): _storages,
    ("storage", "import", "form"): _choices("json", "jsonl", "csv", "text"),
    ("memory", "name"): stores.memory,
    ("replay", "mode"): _choices(
        verify="compare everything", tools="run the tools too", live="ask a model", show="play it back"
    ),
    ("agents", "show", "name"): _in_swarm("agents"),
    ("tools", "call", "name"): _in_swarm("tools"),
    ("tools", "call", "arguments"): _tool_arguments,
    ("mcp", "test", "names"): _mcp_servers,
    ("mcp", "remove", "name"): _mcp_servers,
    ("mcp", "login", "name"): _mcp_servers,
    ("mcp", "logout", "name"): _mcp_servers,
    ("bans", "add", "client"): stores.online,
    ("bans", "lift", "client"): stores.banned,
    ("completion", "shell"): _choices("bash", "zsh", "fish"),
    ("config", "set", "name"): _setting_names,
    ("config", "set", "value"): _setting_values,
    ("sessions", "prune", "older_than"): _choices(**{"12h": "hours", "30d": "days", "8w": "weeks"}),
    ("sessions", "export", "form"): _choices(
        jsonl="the log as it is", openai="a message list", markdown="a Markdown page", html="an HTML page in one file"
    ),
    ("sessions", "import", "form"): _choices(
        jsonl="logs of swarmchat", openai="message lists", llm="logs.db of llm", codex="sessions of the Codex CLI"
    ),
    ("sessions", "copy", "to"): _choices(**{name: about for name, about in _BACKENDS.items() if name != "memory"}),
    ("sessions", "fork", "turn"): stores.turns,
    ("sessions", "tell", "agent"): _in_swarm("agents"),
    ("replay", "level"): _choices(
        no="no differences", line="one line each", short="what changed", long="whole, and all that follows"
    ),
    ("replay", "normalize"): _choices(dates="days and times", ids="UUIDs and hexadecimal ids", numbers="all numbers"),
    **dict.fromkeys((("sessions", command, "names") for command in ("delete", "copy")), stores.sessions),
    **dict.fromkeys(
        (("sessions", command, "name") for command in ("show", "rename", "tell", "export", "fork", "repair")),
        stores.sessions,
    ),
}
"""Finders of the values of parameters that have a meaning of their own in one command, by its words and their name."""

_FILES = {
    *(
        "prompt",
        "system",
        "script",
        "data_dir",
        "swarm",
        "files",
        "folder",
        "junit",
        "summary",
        "cassette",
        "output",
        "schema",
    ),
    ("sessions", "repair", "name"),
    ("config", "set", "value"),
    ("storage", "import", "file"),
}
"""Parameters whose value can be a file name or a text: by name, or by the words of their command and their name."""
