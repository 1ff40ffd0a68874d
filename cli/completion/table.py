"""Which values each option and each argument of a command has, for Tab."""

from collections.abc import Mapping, Sequence
from typing import Any

from swarmchat.cli.completion import stores, values
from swarmchat.cli.completion.command_line import Candidate, PartialCommandLine
from swarmchat.cli.completion.values import Make
from swarmchat.cli.terminal.themes import ABOUT
from swarmchat.swarm.agents.rescue_steps import STEPS


def values_of(typed: PartialCommandLine, param: Any) -> list[Candidate]:
    """Return the values that ``param`` can have; none for those that nothing is known of."""
    make = maker_of(typed.path, param)
    return make(typed) if make is not None else []


def maker_of(path: tuple[str, ...], param: Any) -> Make | None:
    """Return what finds the values of ``param`` of the command ``path``; ``None`` where nothing does."""
    place = (*path, param.name)
    return _BY_PLACE[place] if place in _BY_PLACE else _BY_NAME.get(param.name)


def may_be_file(path: tuple[str, ...], param: Any) -> bool:
    """Whether a file name can stand for ``param`` of the command ``path``."""
    place = (*path, param.name)
    return place in _FILES or (param.name in _FILES and place not in _BY_PLACE)


def _setting_values(typed: PartialCommandLine) -> list[Candidate]:
    make = SETTING_VALUES.get(typed.words[0])
    return make(typed) if make is not None else []


_sessions = values.stored(stores.sessions)
_approvals = values.choices(auto="tools run", ask="each call is asked for", deny="no tool runs")
_flags = values.words("true", "false")

SETTING_VALUES: Mapping[str, Make] = {
    "backend": values.backends,
    "redis_url": values.known("redis_url", ("redis://localhost:6379/0", "the default")),
    "durability": values.choices(normal="fast", full="waits for the disk after each turn"),
    **dict.fromkeys(
        ("lifetime", "memory_lifetime", "storage_lifetime", "embedding_lifetime", "ban_lifetime"),
        values.choices(**{"none": "for ever", "24h": "", "7d": ""}),
    ),
    "model": values.models,
    "base_url": values.addresses,
    "swarm": values.swarms,
    "embedding_base_url": values.addresses,
    "approve": _approvals,
    "rescue": values.words(*STEPS, "none"),
    "plain": _flags,
    "theme": values.choices(**ABOUT),
    "editing": values.words("emacs", "vi"),
    "multiline": _flags,
    "profile": values.profiles,
    "discover": _flags,
}
"""What a setting can be set to, by its name."""

_BY_NAME: Mapping[str, Make] = {
    "backend": values.backends,
    "redis_url": SETTING_VALUES["redis_url"],
    "session": _sessions,
    "model": values.models,
    "base_url": values.addresses,
    "client": values.known("client"),
    "locale": values.known("locale"),
    "profile": values.profiles,
    "swarm": values.swarms,
    "policy": values.of_swarm("policies"),
    "approve": _approvals,
}
"""What an option is called wherever it has one meaning."""

_FILES = {
    *("prompt", "system", "script", "data_dir", "swarm", "files", "folder", "junit", "output"),
    ("sessions", "repair", "name"),
    ("config", "set", "value"),
}
"""What can be a file, or a text that names one, by its own name or with the words of its command."""

_RUN_OUTPUT = values.choices(text="the answer", json="one object", jsonl="the log as it grows")


def _of_commands(group: str, commands: Sequence[str], name: str, make: Make) -> dict[tuple[str, ...], Make]:
    return {(group, command, name): make for command in commands}


_BY_PLACE: Mapping[tuple[str, ...], Make] = {
    ("output",): _RUN_OUTPUT,
    ("chat", "output"): _RUN_OUTPUT,
    ("run", "output"): _RUN_OUTPUT,
    ("state", "name"): values.stored(stores.states),
    ("storage", "name"): values.storages,
    ("memory", "name"): values.stored(stores.remembered),
    ("replay", "mode"): values.choices(
        verify="compare all", tools="run the tools too", live="ask a model", show="play it back"
    ),
    ("agents", "show", "name"): values.of_swarm("agents"),
    ("tools", "call", "name"): values.of_swarm("tools"),
    ("tools", "call", "arguments"): values.arguments,
    ("bans", "add", "client"): values.online,
    ("bans", "lift", "client"): values.banned,
    ("completion", "shell"): values.words("bash", "zsh", "fish"),
    ("config", "set", "name"): values.setting_names,
    ("config", "set", "value"): _setting_values,
    ("sessions", "prune", "older_than"): values.choices(**{"12h": "hours", "30d": "days", "8w": "weeks"}),
    ("sessions", "export", "form"): values.choices(
        jsonl="the log as it is", openai="a message list", markdown="a page", html="a page of one file"
    ),
    ("sessions", "import", "form"): values.choices(
        jsonl="our own logs", openai="message lists", llm="logs.db of llm", codex="sessions of the Codex CLI"
    ),
    ("sessions", "copy", "to"): lambda typed: [each for each in values.backends(typed) if each[0] != "memory"],
    ("sessions", "fork", "turn"): values.stored(stores.turns),
    **_of_commands("sessions", ("delete", "copy"), "names", _sessions),
    **_of_commands("sessions", ("show", "rename", "export", "fork", "repair"), "name", _sessions),
}
"""What an argument or option is called in one command only, by the words of the command."""
