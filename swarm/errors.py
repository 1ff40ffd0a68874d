"""The errors of a chat, with the exit code of each.

    SwarmError                  base class: exit code 1
    ├── SessionBusy             another process has the session open: 75
    ├── BadRecord               a log line is invalid, or of a newer version: 65
    ├── OverBudget              the request does not fit into the context window: 5
    ├── NothingToCompact        too little history to summarize: 1
    ├── CompactFailed           the model's summary cannot be used: 1
    ├── PinError                a turn cannot be pinned or unpinned: 1
    ├── LimitReached            a turn hit one of its limits: 5
    │   ├── RequestLimit        too many requests in one turn
    │   ├── RepeatedCall        the same tool call again and again
    │   └── HandoffLoop         agents hand over in a circle
    ├── OutputError             the model gave no answer of the required type: 4
    ├── DefinitionError         the definition of a swarm, agent, tool or policy is invalid: 78
    ├── ClientBanned        a policy has banned the client; nothing was changed: 77
    ├── HookError               a function of the swarm's author raised an error: 1
    ├── RequestDenied           a hook refused to send a request: 1
    ├── AskError                a tool got no answer from the user: 1
    │   └── NobodyToAsk         there is no user at a prompt
    ├── McpError                an MCP server cannot be reached, or returns an error: 69
    ├── MailError               a message cannot be sent to a session: 1
    │   └── MailboxFull         too many messages wait for it: 75
    ├── TaskError               no such background task, or it cannot be started or stopped: 1
    ├── StateError              a stored state does not fit its type: 65
    ├── StorageError            an item of a storage is invalid: 65
    ├── TranscriptError         a file of conversations is invalid: 65
    ├── ImageError              a file is not an image that can be sent: 65
    ├── EmbeddingError          an embedder returned vectors that cannot be used: 1
    └── ModelError              the model gave no answer: 1
        ├── ModelUnavailable    no connection, a timeout, a server error, an invalid answer: 69
        ├── ConnectionSettingsError  a proxy or certificate variable that cannot be used: 78
        ├── ModelBusy           rate limited or out of quota (429): 75
        ├── ModelAuthError      the key is missing, wrong, or not allowed (401, 403): 77
        ├── ModelNotFound       no such model or no such address (404): 66
        ├── ModelRefused        the server rejects the request (400 and similar): 1
        ├── ContextTooLong      the server reports that the context exceeds its window: 5
        ├── NetworkForbidden    a test has forbidden requests to model servers: 1
        └── ScriptError         a scripted model got a request that its script does not cover: 1

A message names the bad value, what was expected, and what to do next. ``exit_code`` is the exit code for a program
that ends because of the error. Errors of the store are ``swarmchat.backends.BackendError`` and pass through.
"""


class SwarmError(Exception):
    """Base class of all errors of a chat."""

    exit_code = 1


class SessionBusy(SwarmError):
    """Another process has this session open."""

    exit_code = 75


class LogLost(SwarmError):
    """The store holds less of a session than this process has stored in it. Nothing was written."""

    exit_code = 75

    def __init__(self, message: str, stored: int) -> None:
        super().__init__(message)
        self.stored = stored
        """The number of records that the store still holds."""


class BadRecord(SwarmError):
    """A log line cannot be read: not JSON, not a record, or of a newer version than this program knows.

    ``newer_version`` marks the last case: the log is valid, and must not be changed.
    """

    exit_code = 65

    def __init__(self, message: str, *, newer_version: bool = False) -> None:
        super().__init__(message)
        self.newer_version = newer_version


class OverBudget(SwarmError):
    """The parts that every request must contain need more tokens than the context window has.

    ``needed`` and ``available`` are in tokens.
    """

    exit_code = 5

    def __init__(self, message: str, *, needed: int, available: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available


class NothingToCompact(SwarmError):
    """The history is too short to be summarized."""


class CompactFailed(SwarmError):
    """The model gave no usable summary; nothing was changed."""


class PinError(SwarmError):
    """The turn does not exist, is already pinned (or not pinned), or needs too many tokens."""


class LimitReached(SwarmError):
    """A turn hit one of the limits that keep it from running for ever."""

    exit_code = 5


class RequestLimit(LimitReached):
    """The model called tools in every request of a turn and never answered."""


class RepeatedCall(LimitReached):
    """The model made the same call, with the same arguments, too often in one turn."""


class HandoffLoop(LimitReached):
    """A handoff would visit an agent a second time in one turn."""


class TaskLimit(LimitReached):
    """A task of an agent that is used as a tool has used up its tokens."""


class TaskError(SwarmError):
    """No such background task, or it cannot be started or stopped."""


class OutputError(SwarmError):
    """The turn ended without an answer of the requested type. The conversation can continue."""

    exit_code = 4


class DefinitionError(SwarmError):
    """The definition of a swarm, or of a part of it, is invalid. The message names the part and what was expected."""

    exit_code = 78


class ClientBanned(SwarmError):
    """A policy has banned the client, who can read but not act or change the conversation."""

    exit_code = 77


class HookError(SwarmError):
    """A function of the swarm's author (a prompt, a condition, a policy) raised an error."""


class RequestDenied(SwarmError):
    """A hook refused to send a request to the model."""


class AskError(SwarmError):
    """A tool asked the user and got no answer: there is no user at a prompt, or the user declined."""


class NobodyToAsk(AskError):
    """A tool asked the user where nobody can be asked."""


class McpError(SwarmError):
    """An MCP server cannot be reached, or refuses a request for a resource or a prompt. The message names it."""

    exit_code = 69


class MailError(SwarmError):
    """A message cannot be put into the mailbox of a session."""


class MailboxFull(MailError):
    """Too many messages wait in the mailbox of a session, or too many processes write to it."""

    exit_code = 75


class StateError(SwarmError):
    """A stored state does not fit its type. It was not changed."""

    exit_code = 65


class StorageError(SwarmError):
    """An item cannot be stored, indexed, or read back as its type. The store was not changed."""

    exit_code = 65


class TranscriptError(SwarmError):
    """A file of conversations is invalid. The message names file and line; nothing was written."""

    exit_code = 65


class ImageError(SwarmError):
    """A file is not an image that can be sent. The message says why, and what was expected."""

    exit_code = 65


class EmbeddingError(SwarmError):
    """An embedder returned no vectors, or vectors of another dimension than before."""


class ModelError(SwarmError):
    """The model gave no answer. The history was not changed."""


class ModelUnavailable(ModelError):
    """The server cannot be reached, failed, did not answer in time, or sent an invalid answer."""

    exit_code = 69


class ConnectionSettingsError(ModelError):
    """A proxy or a certificate file that the environment names cannot be used."""

    exit_code = 78


class ModelBusy(ModelError):
    """The server refuses requests for now: rate limit or quota."""

    exit_code = 75


class ModelAuthError(ModelError):
    """The server does not accept the key."""

    exit_code = 77


class ModelNotFound(ModelError):
    """The server has no such model, or the address is not a model API."""

    exit_code = 66


class ModelRefused(ModelError):
    """The server rejects the request; sending it again would not help."""


class ContextTooLong(ModelError):
    """The server reports that the request exceeds its context window.

    ``limit`` is that window in tokens if the server's message names it, else ``None``.
    """

    exit_code = 5

    def __init__(self, message: str, *, limit: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit


class NetworkForbidden(ModelError):
    """A test has forbidden requests to model servers."""


class ScriptError(ModelError):
    """A scripted model got more, fewer or other requests than its script expects."""
