"""Settings: a flag goes before the environment, that before the chosen profile, that before the files.

Of the files, ./swarmchat.toml in the current folder goes before the user's own.

Every setting has one name: ``max_context`` in a file is ``--max-context`` on the command line and
``SWARMCHAT_MAX_CONTEXT`` in the environment.
"""

import difflib
import getpass
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.files import Complain, Place, choose_profile, file_of, read_files
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.cli.terminal.themes import DEFAULT, check_theme
from swarmchat.swarm.agents.rescue_steps import STEPS

PROJECT_FILE = "swarmchat.toml"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)", re.ASCII)
_LONGEST = 100 * 366 * 86400
"""A hundred years, in seconds: what is longer overflows the clocks of some stores."""
_PREFIX = "SWARMCHAT_"
_TESTS = "SWARMCHAT_TEST_"
"""Variables that begin so are the test suite's own."""


USUAL_PORTS = (11434, 1234, 8080, 8000)
"""Where Ollama, LM Studio, llama.cpp and vLLM listen."""
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": False}


def _any_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


def _text(value: object) -> str:
    text = _any_text(value)
    if not text.strip():
        raise ValueError("expected text that is not empty")
    return text


def _address(value: object) -> str:
    expected = "expected an address such as http://localhost:11434/v1"
    text = _text(value).strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:
        raise ValueError(f"{expected} ({error})") from error
    if not usable:
        raise ValueError(expected)
    return text


def _tokens(value: object) -> int:
    expected = "expected a whole number of tokens above 0"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(expected)
    digits = str(value).strip().replace("_", "").replace(",", "")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 12 and int(digits) > 0):
        raise ValueError(expected)
    return int(digits)


def _count(value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII):
        raise ValueError("expected a whole number, 0 or more")
    return int(text)


def _duration(value: object) -> float | None:
    """Read seconds, or a number with s, m, h or d; ``none`` for ever."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    return _seconds(value, 'expected seconds above 0, "90s", "15m", "24h", "7d" or "none"')


def _seconds(value: object, expected: str = 'expected seconds above 0, "90s" or "15m"') -> float:
    if isinstance(value, str) and (number := _NUMBER.fullmatch(value.strip().lower())):
        value = float(number[1]) * _UNITS[number[2]]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST:
        raise ValueError(expected)
    return float(value)


def _ports(value: object) -> Sequence[int]:
    """Read ports: a list, or text with commas between them; true for the usual ones, false or ``none`` for none."""
    word = str(value).strip().lower() if isinstance(value, bool | str) else ""
    if word in _WORDS:
        return USUAL_PORTS if _WORDS[word] else ()
    ports = value.split(",") if isinstance(value, str) else value
    if not isinstance(ports, list) or not all(re.fullmatch("[0-9]{1,5}", str(port).strip()) for port in ports):
        raise ValueError("expected true, false, or ports such as [11434, 8080]")
    numbers = tuple(int(port) for port in ports)
    if not all(0 < number < 65536 for number in numbers):
        raise ValueError("expected ports from 1 to 65535")
    return numbers


def _flag(value: object) -> bool:
    known = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
    word = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(word, bool | str) or word not in known:
        raise ValueError("expected true or false")
    return known[word]


def _one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return str(value)

    return read


def _theme(value: object) -> str:
    return check_theme(_text(value))


def _steps(value: object) -> Sequence[str]:
    """Read names of steps: a list, or text with commas between them; ``none`` for no step."""
    names = [] if value == "none" else value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() in STEPS for name in names):
        raise ValueError(f"expected some of {', '.join(STEPS)}, in the order in which they are tried, or none")
    return tuple(name.strip() for name in names)


def _approvals(value: object) -> Mapping[str, str]:
    """Read one word for all tools, or a table of patterns of names."""
    table = {"*": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or not all(rule in ("auto", "ask", "deny") for rule in table.values()):
        raise ValueError('expected "auto", "ask" or "deny", or a table of these by patterns of tool names')
    return table


def _prices(value: object) -> Mapping[str, Sequence[float]]:
    """Read a table of two prices by the model's name, or the same as JSON."""
    expected = 'expected prices of a million tokens of input and of output by model: { "gpt-4o-mini" = [0.15, 0.60] }'
    table = value
    if isinstance(value, str):
        try:
            table = json.loads(value)
        except ValueError as error:
            raise ValueError(expected) from error
    if not isinstance(table, dict) or not all(_are_prices(prices) for prices in table.values()):
        raise ValueError(expected)
    return {name: tuple(prices) for name, prices in table.items()}


def _are_prices(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(price, int | float) and not isinstance(price, bool) and price >= 0 for price in value)
    )


def _setting(read: Callable[[object], Any], default: Any, *others: str) -> Any:
    """Declare a setting. ``others`` names environment variables of other programs that count where ours is not set."""
    return field(default=default, metadata={"read": read, "others": others})


@dataclass(frozen=True)
class Settings:
    """What can be set. ``origins`` tells where each value came from, by the name of the setting."""

    backend: str = _setting(_text, "disk")
    """Where sessions are kept: memory, disk, redis, or the URL of any backend."""
    redis_url: str = _setting(_text, "redis://localhost:6379/0")
    """What ``redis`` means."""
    data_dir: str | None = _setting(_text, None)
    """Where ``disk`` means. None: the place that the system has for it."""
    durability: str = _setting(_one_of("normal", "full"), "normal")
    """Whether ``disk`` may lose the last turns when the power fails (normal), or waits for the disk (full)."""
    lifetime: float | str | None = _setting(_duration, "default")
    """How long a session is kept after its last turn. ``default``: 24 h on Redis, for ever elsewhere."""
    memory_lifetime: float | None = _setting(_duration, None)
    """How long what is remembered of a client is kept after its last change."""
    storage_lifetime: float | None = _setting(_duration, None)
    """How long an item of a storage is kept."""
    embedding_lifetime: float | str | None = _setting(_duration, "default")
    """How long a vector is kept. ``default``: 7 days on Redis, for ever elsewhere."""
    ban_lifetime: float | None = _setting(_duration, None)
    """How long a ban holds whose policy does not say."""
    alive_lifetime: float = _setting(_seconds, 60.0)
    """How long a client counts as online after its process has vanished."""
    model: str | None = _setting(_text, None)
    """Which model answers; ``demo`` is built in."""
    base_url: str | None = _setting(_address, None, "OPENAI_BASE_URL")
    """Address of an OpenAI-compatible server, with its /v1."""
    api_key: str | None = _setting(_text, None, "OPENAI_API_KEY")
    """The server's key. Never shown, never stored with a session."""
    api_key_command: str | None = _setting(_text, None)
    """A command that prints the key, in place of api_key. Only from your own file or the environment."""
    timeout: float = _setting(_seconds, 600.0)
    """Seconds that the model's server may be silent."""
    retries: int = _setting(_count, 4)
    """How often a request that failed for what may pass is tried again."""
    swarm: str | None = _setting(_text, None)
    """The swarm that answers: a file, a folder, MODULE:NAME, or helpdesk or phone_shop. None: one plain assistant."""
    embedding_model: str | None = _setting(_text, None)
    """The model that makes vectors for storages. None: the built-in way, which needs none."""
    embedding_base_url: str | None = _setting(_address, None)
    """Where that model is. None: where the chat's model is."""
    approve: Mapping[str, str] | None = _setting(_approvals, None)
    """Whether tools may run: auto, ask or deny, for all or by patterns of names. None: what each tool says."""
    rescue: Sequence[str] | None = _setting(_steps, None)
    """What is done about answers that cannot be used: repair, feedback, recomplete, flush, placeholder. None: what
    the swarm says, or all of them."""
    placeholder: str | None = _setting(_text, None)
    """What is answered when nothing has helped. None: what the swarm says."""
    locale: str | None = _setting(_text, None)
    """Put into the client's memory as ``locale``."""
    system: str | None = _setting(_any_text, None)
    """The system message."""
    max_context: int | None = _setting(_tokens, None)
    """Tokens that a request and its answer may have together. None: what the model is known for."""
    client: str | None = _setting(_text, None)
    """Who is talking. None: the user of the operating system."""
    plain: bool = _setting(_flag, False)
    """Whether a chat does without colours and cursor movements, and shows answers as they are written."""
    theme: str = _setting(_theme, DEFAULT)
    """Which colours are used: auto, those of the terminal; dark or light, for such a background; mono, none."""
    editing: str = _setting(_one_of("emacs", "vi"), "emacs")
    """Which keys the prompt has."""
    multiline: bool = _setting(_flag, False)
    """Whether Enter begins a line and Alt-Enter sends."""
    prices: Mapping[str, Sequence[float]] | None = _setting(_prices, None)
    """What a million tokens of input and of output cost, by model: the chat shows what the session has cost."""
    profile: str | None = _setting(_text, None)
    """Which table [profiles.NAME] of the settings files counts."""
    discover: Sequence[int] = _setting(_ports, USUAL_PORTS)
    """Ports of this machine where a model's server is looked for while none is connected: true, false, or a list."""
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def client_name(self) -> str:
        """Return who is talking."""
        if self.client is not None:
            return self.client
        try:
            return getpass.getuser()
        except (OSError, KeyError, ImportError):
            # A process whose user has no name, as in some containers.
            return "user"


_READERS: dict[str, Callable[[object], Any]] = {f.name: f.metadata["read"] for f in fields(Settings) if f.metadata}
_IN_PLACE_OF = {"api_key": "api_key_command", "api_key_command": "api_key"}
"""Two settings of which the one that stands in the higher place counts."""


def _refuse(error: ConfigError) -> None:
    raise error


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], files: Sequence[Path], *, complain: Complain = _refuse
) -> Settings:
    """Return the settings from all their places; of ``files`` the last goes before the others.

    A flag that is ``None`` was not given, a variable that is empty is not set, and a file need not exist. What is wrong
    is a ConfigError that names the place, the bad value, and what was expected. It is raised, unless ``complain`` takes
    it: then the rest is read without it.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    places, profiles = read_files(files, complain)
    above = _above_files(flags, environment)
    for origin, found in [*places, *choose_profile(profiles, [*places, *above], complain), *above]:
        for name, value in found.items():
            try:
                read = read_value(origin, name, value)
            except ConfigError as error:
                complain(error)
                continue
            other = _IN_PLACE_OF.get(name, "")
            values.pop(other, None)
            origins.pop(other, None)
            values[name], origins[name] = read, origin
    return Settings(**values, origins=origins)


def _above_files(flags: Mapping[str, Any], environment: Mapping[str, str]) -> list[Place]:
    """Return what the environment and the command line set."""
    others = [(other, setting.name) for setting in fields(Settings) for other in setting.metadata.get("others", ())]
    ours = [(name, name.removeprefix(_PREFIX).lower()) for name in environment if name.startswith(_PREFIX)]
    places: list[Place] = [
        (f"${variable}", {name: environment[variable]})
        for variable, name in [*others, *ours]
        if environment.get(variable) and not variable.startswith(_TESTS)
    ]
    return places + [
        (f"--{name.replace('_', '-')}", {name: value}) for name, value in flags.items() if value is not None
    ]


def from_folder(origin: str) -> bool:
    """Whether a setting comes from the current folder, which may be somebody else's."""
    return file_of(origin).name == PROJECT_FILE


def read_value(origin: str, name: str, value: object) -> Any:
    """Return the value of a setting as it is used. Raises ConfigError."""
    if name not in _READERS:
        near = difflib.get_close_matches(name, _READERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_READERS)}"
        raise ConfigError(f"{origin}: unknown setting {name!r}; {hint}")
    if name == "api_key_command" and from_folder(origin):
        raise ConfigError(
            f"{origin} sets api_key_command, which is a program: a folder must not run one unasked. "
            "Set it in your own config file, or in the environment"
        )
    try:
        return _READERS[name](value)
    except ValueError as error:
        secret = name in ("api_key", "api_key_command", "redis_url") or "@" in str(value)
        shown = "a value that is not shown" if secret else one_line(repr(value), 60)
        raise ConfigError(f"{origin}: {name} is {shown}: {error}") from error
