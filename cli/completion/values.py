"""Values that options and arguments can have, as far as they can be known at once and without asking far away.

No program of the user's is run for them, and only servers on this machine are asked.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from swarmchat.cli.completion import stores
from swarmchat.cli.completion.command_line import Candidate, PartialCommandLine
from swarmchat.cli.completion.swarm_scan import SwarmNames, swarm_names
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.files import read_files
from swarmchat.cli.settings.settings import Settings, from_folder
from swarmchat.swarm.agents.loader import EXAMPLES

if TYPE_CHECKING:
    from swarmchat.swarm.models.discovery import LocalServer

_SECONDS = 0.15
"""How long a server of models may take: nobody waits long for Tab."""

Make = Callable[[PartialCommandLine], list[Candidate]]
"""Finds what can stand behind what was typed."""


def settings_of(typed: PartialCommandLine) -> Settings:
    """Return the settings that the command line so far would have; what is wrong with them is left out."""
    known = {name: value for name, value in typed.given.items() if name in Settings.__dataclass_fields__}
    return wiring.read_settings(known, complain=lambda error: None)


def choices(**found: str) -> Make:
    """Return what offers ``found``: values, and what they are."""
    return lambda typed: list(found.items())


def words(*found: str) -> Make:
    """Return what offers ``found``."""
    return lambda typed: [(word, "") for word in found]


def stored(find: Callable[[PartialCommandLine, Settings], list[Candidate]]) -> Make:
    """Return what offers what ``find`` finds with the settings of the command line."""
    return lambda typed: find(typed, settings_of(typed))


# From the settings files


def _in_files(name: str) -> list[Candidate]:
    """Return what the settings files set ``name`` to, in all profiles. What may hold a password is left out."""
    places, profiles = read_files(wiring.settings_files(), lambda error: None)
    found = [*places, *(place for each in profiles.values() for place in each)]
    return [
        (values[name], Path(origin).name)
        for origin, values in found
        if isinstance(values.get(name), str) and "@" not in values[name]
    ]


def known(name: str, *others: Candidate) -> Make:
    """Return what offers ``others``, and what the settings files know."""
    return lambda typed: list(dict([*_in_files(name), *others]).items())


def profiles(typed: PartialCommandLine) -> list[Candidate]:
    """Return the profiles of the settings files."""
    _, found = read_files(wiring.settings_files(), lambda error: None)
    return [(name, Path(places[-1][0]).name) for name, places in sorted(found.items())]


def setting_names(typed: PartialCommandLine) -> list[Candidate]:
    """Return the names of all settings."""
    return [(name, "") for name, each in Settings.__dataclass_fields__.items() if each.metadata]


# From this machine


def _servers(settings: Settings) -> "list[LocalServer]":
    """Return the servers on this machine that would answer: the one that is set, or all if none is."""
    from swarmchat.swarm.models.discovery import find_servers

    ports = settings.discover
    if settings.base_url:
        parts = urlsplit(settings.base_url)
        ports = [parts.port or 80] if parts.hostname in ("localhost", "127.0.0.1") else []
    elif wiring.is_connected(settings):
        ports = []
    return find_servers(ports, _SECONDS)


def models(typed: PartialCommandLine) -> list[Candidate]:
    """Return the models that the settings files name, and those of servers on this machine."""
    settings = settings_of(typed)
    found = {"demo": "built in: scripted answers, no AI", **dict(_in_files("model"))}
    if wiring.is_connected(settings) and not settings.base_url:
        found.setdefault(wiring.OPENAI_DEFAULT, "OpenAI")
    for server in _servers(settings):
        found |= dict.fromkeys(server.models, server.program)
    return list(found.items())


def addresses(typed: PartialCommandLine) -> list[Candidate]:
    """Return the addresses that the settings files name, and those of servers on this machine."""
    from swarmchat.swarm.models.discovery import find_servers

    ports = settings_of(typed).discover
    local = [(server.base_url, server.program) for server in find_servers(ports, _SECONDS)]
    return list(dict([*_in_files("base_url"), *local]).items())


def swarms(typed: PartialCommandLine) -> list[Candidate]:
    """Return the swarms of this folder, of the program, and of the settings files, and what may be one."""
    here = Path()
    own = [(".", "the swarm of this folder")] if (here / "swarm.toml").is_file() else []
    own += [(path.parent.name, "a swarm") for path in sorted(here.glob("*/swarm.toml"))]
    own += [(name, "comes with the program") for name in EXAMPLES]
    files = [(path.name, "") for path in sorted(here.glob("*.py"))]
    return list(dict([*own, *_in_files("swarm"), *files]).items())


def backends(typed: PartialCommandLine) -> list[Candidate]:
    """Return what ``-b`` takes."""
    return [
        ("disk", "a folder on this machine"),
        ("memory", "nowhere: gone with the program"),
        ("redis", "a Redis server"),
        ("disk:", "disk:PATH, another folder"),
        ("redis://", "redis://HOST:PORT/DB, another server"),
    ]


# From the swarm


def names(typed: PartialCommandLine) -> SwarmNames:
    """Return the names in the swarm that would answer; none if only a folder's settings file names it."""
    settings = settings_of(typed)
    if settings.swarm is None:
        return SwarmNames("assistant", agents={"assistant": "the plain assistant"})
    if from_folder(settings.origins.get("swarm", "")) and settings.swarm not in EXAMPLES:
        return SwarmNames()
    return swarm_names(settings.swarm, Path())


def of_swarm(kind: str) -> Make:
    """Return what offers the ``kind`` of names, a field of SwarmNames."""
    return lambda typed: list(getattr(names(typed), kind).items())


def arguments(typed: PartialCommandLine) -> list[Candidate]:
    """Return what the tool that is named first must be given, to be filled in."""
    from swarmchat.cli.completion.tool_arguments import names_line, skeleton

    parameters = names(typed).parameters.get(typed.words[0])
    return [] if parameters is None else [(skeleton(parameters), names_line(parameters))]


def storages(typed: PartialCommandLine) -> list[Candidate]:
    """Return the storages that have items, and those that the swarm declares."""
    kept = stores.storages(typed, settings_of(typed))
    declared = of_swarm("storages")(typed) if "swarm" in typed.given else []
    return list(dict([*kept, *declared]).items())


def banned(typed: PartialCommandLine) -> list[Candidate]:
    """Return who is banned."""
    swarm = names(typed)
    chosen = [typed.given["policy"]] if "policy" in typed.given else list(swarm.policies)
    return stores.banned(swarm.name, chosen, settings_of(typed))


def online(typed: PartialCommandLine) -> list[Candidate]:
    """Return who is online."""
    return stores.online(names(typed).name, settings_of(typed))
