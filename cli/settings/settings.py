"""The settings. Each has one name everywhere.

``max_context`` in a file is ``--max-context`` on the command line and ``SWARMCHAT_MAX_CONTEXT`` in the environment.
"""

import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from swarmchat.cli.settings.named_models import KEYS, read_models
from swarmchat.cli.settings.readers import (
    USUAL_PORTS,
    one_of,
    read_address,
    read_any_text,
    read_approvals,
    read_count,
    read_duration,
    read_flag,
    read_hooks,
    read_names,
    read_ports,
    read_prefixes,
    read_prices,
    read_score,
    read_seconds,
    read_servers,
    read_size,
    read_steps,
    read_tasks,
    read_text,
    read_texts,
    read_theme,
    read_tokens,
)
from swarmchat.cli.terminal.themes import DEFAULT
from swarmchat.swarm.common.bounds import MAX_ANSWER, MAX_ANSWER_TIME, MAX_INPUT, MAX_RESULT


def _setting(read: Callable[[object], Any], default: Any, *others: str) -> Any:
    """Declare a setting. ``others`` are environment variables of other programs, used if ours is not set."""
    return field(default=default, metadata={"read": read, "others": others})


@dataclass(frozen=True)
class Settings:
    """The values of all settings. ``origins`` are where they came from, by the name of the setting."""

    backend: str = _setting(read_text, "disk")
    """Where sessions are stored: memory, disk, redis, or the URL of a backend."""
    redis_url: str = _setting(read_text, "redis://localhost:6379/0")
    """The URL of the server that ``redis`` uses."""
    data_dir: str | None = _setting(read_text, None)
    """The folder that ``disk`` uses. None: the system's folder for user data."""
    durability: str = _setting(one_of("normal", "full"), "normal")
    """Whether ``disk`` may lose the last turns when the power fails (normal), or waits for the disk (full)."""
    lifetime: float | str | None = _setting(read_duration, "default")
    """How long a session is stored after its last turn. ``default``: 24 h on Redis, for ever elsewhere."""
    memory_lifetime: float | None = _setting(read_duration, None)
    """How long a client's memory is stored after its last change."""
    storage_lifetime: float | None = _setting(read_duration, None)
    """How long an item of a storage is stored."""
    embedding_lifetime: float | str | None = _setting(read_duration, "default")
    """How long a cached embedding vector is stored. ``default``: 7 days on Redis, for ever elsewhere."""
    ban_lifetime: float | None = _setting(read_duration, None)
    """How long a ban lasts, unless its policy sets a duration."""
    alive_lifetime: float = _setting(read_seconds, 60.0)
    """How long a client counts as online after its process has vanished."""
    model: str | None = _setting(read_text, None)
    """The model that answers; ``demo`` is built in."""
    base_url: str | None = _setting(read_address, None, "OPENAI_BASE_URL")
    """Address of an OpenAI-compatible server, with its /v1."""
    api_key: str | None = _setting(read_text, None, "OPENAI_API_KEY")
    """The server's API key. Never shown, never stored with a session."""
    api_key_env: str | None = _setting(read_text, None)
    """The environment variable that holds the API key; replaces api_key. Not allowed in a folder's file."""
    api_key_command: str | None = _setting(read_text, None)
    """A command that prints the API key; replaces api_key. Not allowed in a folder's file."""
    headers: Mapping[str, str] | None = _setting(read_texts, None)
    """HTTP headers to add to each request to the server. Not allowed in a folder's file."""
    query: Mapping[str, str] | None = _setting(read_texts, None)
    """Parameters to add to the address of each request to the server. Not allowed in a folder's file."""
    models: Mapping[str, Mapping[str, Any]] | None = _setting(read_models, None)
    """Models with settings of their own: tables [models.NAME]. Not allowed in a folder's file."""
    mcp: Mapping[str, Mapping[str, Any]] | None = _setting(read_servers, None)
    """MCP servers: tables [mcp.NAME]. Not allowed in a folder's file."""
    mcp_file: str | None = _setting(read_text, None)
    """A JSON file with the mcpServers of another program. Not allowed in a folder's file."""
    pass_keys: bool = _setting(read_flag, False)
    """Whether tools and programs that they start find your keys in the environment. Not allowed in a folder's file."""
    fallback: Sequence[str] | None = _setting(read_names, None)
    """Models that answer while the server of the first one is down or too busy, in this order."""
    timeout: float = _setting(read_seconds, 600.0)
    """Seconds that the model server may be silent."""
    retries: int = _setting(read_count, 4)
    """How often a request is tried again after a temporary failure."""
    max_answer: int = _setting(read_size, MAX_ANSWER)
    """The largest answer that is taken from a server, in characters."""
    max_answer_time: float = _setting(read_seconds, MAX_ANSWER_TIME)
    """Seconds that one answer may take in all."""
    max_result: int = _setting(read_size, MAX_RESULT)
    """The largest result that a tool may return, in characters; more is cut off."""
    max_input: int = _setting(read_size, MAX_INPUT)
    """The largest question or script that is read from standard input or a file, in bytes."""
    swarm: str | None = _setting(read_text, None)
    """The swarm that answers: a file, a folder, MODULE:NAME, helpdesk or phone_shop. None: one plain assistant."""
    embedding_model: str | None = _setting(read_text, None)
    """The embedding model for storages; ``ngram`` compares words. None: the built-in one, which needs no server."""
    embedding_base_url: str | None = _setting(read_address, None)
    """The server of the embedding model. None: the server of the chat model."""
    embedding_score: float | None = _setting(read_score, None)
    """The similarity, 0 to 1, from which a search in a storage finds an item. None: by the embedding model's name."""
    embedding_prefixes: tuple[str, str] | None = _setting(read_prefixes, None)
    """Two texts that the embedding model needs: one before each search, one before each text of an item."""
    approve: Mapping[str, str] | None = _setting(read_approvals, None)
    """Whether tools may run: auto, ask or deny, for all tools or by name pattern. None: as each tool declares."""
    hooks: Mapping[str, Sequence[str]] | None = _setting(read_hooks, None)
    """Commands that run at points of a turn and see, change or reject its steps."""
    tasks: Mapping[str, Any] | None = _setting(read_tasks, None)
    """Limits of tasks of agents that are used as tools: requests, tokens, seconds, depth, at_once."""
    rescue: Sequence[str] | None = _setting(read_steps, None)
    """Steps tried after an unusable answer: repair, feedback, recomplete, flush, placeholder. None: those of the
    swarm, or all."""
    rescue_confirm: str = _setting(one_of("ask", "never", "always"), "ask")
    """Whether to ask before a tool with effects runs that the model called in its text: ask (at a terminal), always
    (denied elsewhere), or never."""
    placeholder: str | None = _setting(read_text, None)
    """The answer if no rescue step helped. None: that of the swarm."""
    locale: str | None = _setting(read_text, None)
    """Language, such as de; saved in the client's memory as ``locale``."""
    system: str | None = _setting(read_any_text, None)
    """The system prompt of the plain assistant."""
    max_context: int | None = _setting(read_tokens, None)
    """Context window: tokens for request plus answer. None: the known window of the model."""
    compact: str = _setting(one_of("off", "auto"), "off")
    """Whether older turns are summarized before some would be dropped (auto), which costs a request."""
    client: str | None = _setting(read_text, None)
    """The client's name. None: the login name."""
    plain: bool = _setting(read_flag, False)
    """Plain text: no colours, no cursor movement, no Markdown."""
    debug: bool = _setting(read_flag, False)
    """Whether the traceback of each tool that fails is shown."""
    thoughts: str = _setting(one_of("folded", "shown", "hidden"), "folded")
    """What a chat shows of a reasoning model's thoughts: one line (folded), all (shown), nothing (hidden)."""
    notify: str = _setting(one_of("off", "bell", "osc9", "osc777"), "bell")
    """How the end of a long turn is told while the terminal has no focus: bell, a notification (osc9, osc777), off."""
    notify_after: float = _setting(read_seconds, 10.0)
    """Seconds from which a turn is long."""
    theme: str = _setting(read_theme, DEFAULT)
    """Colours: auto (the terminal's own), dark or light (for such a background), or mono (none)."""
    editing: str = _setting(one_of("emacs", "vi"), "emacs")
    """Key bindings of the prompt: emacs or vi."""
    multiline: bool = _setting(read_flag, False)
    """Whether Enter starts a new line and Alt-Enter sends."""
    prices: Mapping[str, Sequence[float]] | None = _setting(read_prices, None)
    """Prices of a million tokens of input and of output, by model; the chat shows the session's cost."""
    profile: str | None = _setting(read_text, None)
    """The profile to use: a table [profiles.NAME] in the settings files."""
    discover: Sequence[int] = _setting(read_ports, USUAL_PORTS)
    """Local ports searched for a model server while none is set: true (the usual ports), false, or a list."""
    approve_at_least: Mapping[str, str] = field(default_factory=dict)
    """The rules for approval in the folder's file, which can only make those stricter that hold otherwise."""
    origins: Mapping[str, str] = field(default_factory=dict)
    withheld: Mapping[str, Any] = field(default_factory=dict)
    """Values in the folder's file that are not used, because the user has not consented to them."""

    def for_model(self, name: str | None) -> "Settings":
        """Return the settings for the model ``name``, with those of its table [models.NAME], if it has one.

        For the model in use, an option on the command line overrides the table. A server in the table gets no key and
        no headers but those of the table.
        """
        table = (self.models or {}).get(name or "")
        if table is None:
            return self if name is None else replace(self, model=name)
        of_server = dict.fromkeys((*KEYS, "headers", "query")) if "base_url" in table else {}
        of_key = dict.fromkeys(KEYS) if any(key in table for key in KEYS) else {}
        options = [field for field, origin in self.origins.items() if name == self.model and origin.startswith("--")]
        values = {**of_server, **of_key, **table}
        values = {field: value for field, value in values.items() if field not in (*_NO_SETTINGS, *options)}
        origin = f"{self.origins.get('models', '')} [models.{name}]"
        origins = {**self.origins, **dict.fromkeys(values, origin)}
        return replace(self, **{**values, "model": name}, origins=origins)

    @property
    def max_import(self) -> int:
        """The most bytes of an import that is read from standard input, or that is held in memory."""
        return 100 * self.max_input

    @property
    def of_this_model(self) -> Mapping[str, Any]:
        """What the table [models.NAME] of the model sets; empty if it has none."""
        return (self.models or {}).get(self.model or "", {})

    @property
    def all_prices(self) -> Mapping[str, Sequence[float]]:
        """The prices of all models, also those in their tables."""
        tables = {name: table["prices"] for name, table in (self.models or {}).items() if "prices" in table}
        return {**(self.prices or {}), **tables}

    @property
    def client_name(self) -> str:
        """The client's name: the one that is set, or the login name."""
        if self.client is not None:
            return self.client
        try:
            return getpass.getuser()
        except (OSError, KeyError, ImportError):
            # A process whose user has no name, as in some containers.
            return "user"


READERS: dict[str, Callable[[object], Any]] = {f.name: f.metadata["read"] for f in fields(Settings) if f.metadata}
"""Reads a value of each setting."""
_NO_SETTINGS = ("model", "prices", "adaptations")
"""What a table [models.NAME] has in another form than the settings, or alone."""
