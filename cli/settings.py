"""Settings: a flag goes before the environment, that before ./swarmchat.toml, that before the user's own file.

Every setting has one name: ``max_context`` in a file is ``--max-context`` on the command line and
``SWARMCHAT_MAX_CONTEXT`` in the environment.
"""

import difflib
import getpass
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from swarmchat.cli.errors import ConfigError

PROJECT_FILE = "swarmchat.toml"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


def _tokens(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected a number of tokens")
    number = int(str(value).replace("_", "").replace(",", ""))
    if number <= 0:
        raise ValueError("expected a number of tokens above 0")
    return number


def _duration(value: object) -> float | None:
    """Read seconds, or a number with s, m, h or d; ``none`` for ever."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text == "none":
            return None
        unit = _UNITS.get(text[-1:])
        value = float(text[:-1]) * unit if unit else float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError('expected seconds above 0, "90s", "15m", "24h", "7d" or "none"')
    return float(value)


def _seconds(value: object) -> float:
    duration = _duration(value)
    if duration is None:
        raise ValueError('expected seconds above 0, "90s" or "15m"')
    return duration


def _one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return str(value)

    return read


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
    model: str | None = _setting(_text, None)
    """Which model answers; ``demo`` is built in."""
    base_url: str | None = _setting(_text, None, "OPENAI_BASE_URL")
    """Address of an OpenAI-compatible server, with its /v1."""
    api_key: str | None = _setting(_text, None, "OPENAI_API_KEY")
    """The server's key. Never shown, never stored with a session."""
    timeout: float = _setting(_seconds, 600.0)
    """Seconds that the model's server may be silent."""
    system: str | None = _setting(_text, None)
    """The system message."""
    max_context: int | None = _setting(_tokens, None)
    """Tokens that a request and its answer may have together. None: what the model is known for."""
    client: str | None = _setting(_text, None)
    """Who is talking. None: the user of the operating system."""
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


def load_settings(flags: Mapping[str, Any], environment: Mapping[str, str], folder: Path, user_file: Path) -> Settings:
    """Return the settings from all their places. A flag that is ``None`` was not given.

    Raises ConfigError, naming the place, the bad value, and what was expected.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    places: list[tuple[str, Mapping[str, Any]]] = [(str(user_file), _read_file(user_file))]
    project = folder / PROJECT_FILE
    places.append((str(project), _read_file(project)))
    variables = [(other, setting.name) for setting in fields(Settings) for other in setting.metadata.get("others", ())]
    variables += [(f"SWARMCHAT_{name.upper()}", name) for name in _READERS]
    places += [
        (f"${variable}", {name: environment[variable]}) for variable, name in variables if environment.get(variable)
    ]
    places += [(f"--{name.replace('_', '-')}", {name: value}) for name, value in flags.items() if value is not None]
    for origin, found in places:
        for name, value in found.items():
            values[name] = _read_value(origin, name, value)
            origins[name] = origin
    return Settings(**values, origins=origins)


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return tomllib.loads(content.decode("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is no valid TOML: {error}") from error


def _read_value(origin: str, name: str, value: object) -> Any:
    if name not in _READERS:
        near = difflib.get_close_matches(name, _READERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_READERS)}"
        raise ConfigError(f"{origin}: unknown setting {name!r}; {hint}")
    try:
        return _READERS[name](value)
    except ValueError as error:
        shown = "a value that is not shown" if name in ("api_key", "redis_url") else repr(value)
        raise ConfigError(f"{origin}: {name} is {shown}: {error}") from error
