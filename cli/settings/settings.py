"""The settings: a flag wins over the environment, then the chosen profile, then the files.

Of the files, ./swarmchat.toml in the current folder wins over the user's own.

Every setting has one name: ``max_context`` in a file is ``--max-context`` on the command line and
``SWARMCHAT_MAX_CONTEXT`` in the environment.
"""

import difflib
import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.files import Complain, Place, choose_profile, file_of, read_files
from swarmchat.cli.settings.readers import (
    USUAL_PORTS,
    one_of,
    read_address,
    read_any_text,
    read_approvals,
    read_count,
    read_duration,
    read_flag,
    read_ports,
    read_prices,
    read_seconds,
    read_steps,
    read_text,
    read_theme,
    read_tokens,
)
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.cli.terminal.themes import DEFAULT

PROJECT_FILE = "swarmchat.toml"
_PREFIX = "SWARMCHAT_"
_TESTS = "SWARMCHAT_TEST_"
"""Variables that begin so are the test suite's own."""


def _setting(read: Callable[[object], Any], default: Any, *others: str) -> Any:
    """Declare a setting. ``others`` names environment variables of other programs that count where ours is not set."""
    return field(default=default, metadata={"read": read, "others": others})


@dataclass(frozen=True)
class Settings:
    """What can be set. ``origins`` tells where each value came from, by the name of the setting."""

    backend: str = _setting(read_text, "disk")
    """Where sessions are kept: memory, disk, redis, or the URL of any backend."""
    redis_url: str = _setting(read_text, "redis://localhost:6379/0")
    """What ``redis`` means."""
    data_dir: str | None = _setting(read_text, None)
    """Where ``disk`` means. None: the place that the system has for it."""
    durability: str = _setting(one_of("normal", "full"), "normal")
    """Whether ``disk`` may lose the last turns when the power fails (normal), or waits for the disk (full)."""
    lifetime: float | str | None = _setting(read_duration, "default")
    """How long a session is kept after its last turn. ``default``: 24 h on Redis, for ever elsewhere."""
    memory_lifetime: float | None = _setting(read_duration, None)
    """How long what is remembered of a client is kept after its last change."""
    storage_lifetime: float | None = _setting(read_duration, None)
    """How long an item of a storage is kept."""
    embedding_lifetime: float | str | None = _setting(read_duration, "default")
    """How long a vector is kept. ``default``: 7 days on Redis, for ever elsewhere."""
    ban_lifetime: float | None = _setting(read_duration, None)
    """How long a ban holds whose policy does not say."""
    alive_lifetime: float = _setting(read_seconds, 60.0)
    """How long a client counts as online after its process has vanished."""
    model: str | None = _setting(read_text, None)
    """Which model answers; ``demo`` is built in."""
    base_url: str | None = _setting(read_address, None, "OPENAI_BASE_URL")
    """Address of an OpenAI-compatible server, with its /v1."""
    api_key: str | None = _setting(read_text, None, "OPENAI_API_KEY")
    """The server's key. Never shown, never stored with a session."""
    api_key_command: str | None = _setting(read_text, None)
    """A command that prints the key, in place of api_key. Only from your own file or the environment."""
    timeout: float = _setting(read_seconds, 600.0)
    """Seconds that the model's server may be silent."""
    retries: int = _setting(read_count, 4)
    """How often a request that failed for what may pass is tried again."""
    swarm: str | None = _setting(read_text, None)
    """The swarm that answers: a file, a folder, MODULE:NAME, or helpdesk or phone_shop. None: one plain assistant."""
    embedding_model: str | None = _setting(read_text, None)
    """The model that makes vectors for storages. None: the built-in way, which needs none."""
    embedding_base_url: str | None = _setting(read_address, None)
    """Where that model is. None: where the chat's model is."""
    approve: Mapping[str, str] | None = _setting(read_approvals, None)
    """Whether tools may run: auto, ask or deny, for all or by patterns of names. None: what each tool says."""
    rescue: Sequence[str] | None = _setting(read_steps, None)
    """What is done about answers that cannot be used: repair, feedback, recomplete, flush, placeholder. None: what
    the swarm says, or all of them."""
    rescue_confirm: str = _setting(one_of("ask", "never", "always"), "ask")
    """Whether you are asked before a tool with effects runs that the model called in its text: ask (at a terminal),
    always (denied elsewhere), or never."""
    placeholder: str | None = _setting(read_text, None)
    """What is answered when nothing has helped. None: what the swarm says."""
    locale: str | None = _setting(read_text, None)
    """Put into the client's memory as ``locale``."""
    system: str | None = _setting(read_any_text, None)
    """The system message."""
    max_context: int | None = _setting(read_tokens, None)
    """Tokens that a request and its answer may have together. None: what the model is known for."""
    client: str | None = _setting(read_text, None)
    """Who is talking. None: the user of the operating system."""
    plain: bool = _setting(read_flag, False)
    """Whether a chat does without colours and cursor movements, and shows answers as they are written."""
    theme: str = _setting(read_theme, DEFAULT)
    """Which colours are used: auto, those of the terminal; dark or light, for such a background; mono, none."""
    editing: str = _setting(one_of("emacs", "vi"), "emacs")
    """Which keys the prompt has."""
    multiline: bool = _setting(read_flag, False)
    """Whether Enter begins a line and Alt-Enter sends."""
    prices: Mapping[str, Sequence[float]] | None = _setting(read_prices, None)
    """What a million tokens of input and of output cost, by model: the chat shows what the session has cost."""
    profile: str | None = _setting(read_text, None)
    """Which table [profiles.NAME] of the settings files counts."""
    discover: Sequence[int] = _setting(read_ports, USUAL_PORTS)
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


def refuse(error: ConfigError) -> None:
    """Raise ``error``: the default for ``complain``."""
    raise error


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], files: Sequence[Path], *, complain: Complain = refuse
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
    """Whether a setting comes from the current folder, which may belong to somebody else."""
    return file_of(origin).name == PROJECT_FILE


def read_value(origin: str, name: str, value: object) -> Any:
    """Return the value of a setting as it is used. Raises ConfigError."""
    if name not in _READERS:
        near = difflib.get_close_matches(name, _READERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_READERS)}"
        raise ConfigError(f"{origin}: unknown setting {name!r}; {hint}")
    if name == "api_key_command" and from_folder(origin):
        raise ConfigError(
            f"{origin} sets api_key_command, which is a program: a folder's settings may not start programs. "
            "Set it in your own config file, or in the environment"
        )
    try:
        return _READERS[name](value)
    except ValueError as error:
        secret = name in ("api_key", "api_key_command", "redis_url") or "@" in str(value)
        shown = "a value that is not shown" if secret else one_line(repr(value), 60)
        raise ConfigError(f"{origin}: {name} is {shown}: {error}") from error
