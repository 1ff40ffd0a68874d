"""What can go wrong in a chat.

    SwarmError                  the base: exit code 1
    ├── SessionBusy             another process holds the session: 75
    ├── BadRecord               a log line that is no record of a version we know: 65
    ├── OverBudget              what must be sent does not fit the context window: 5
    ├── NothingToCompact        there is nothing that could be summed up: 1
    ├── CompactFailed           a summary cannot be used: 1
    ├── PinError                a turn cannot be pinned or unpinned: 1
    ├── LimitReached            a bound on the turn was hit: 5
    │   ├── RequestLimit        too many requests in one turn
    │   ├── RepeatedCall        the same call again and again
    │   └── HandoffLoop         agents hand over in a circle
    ├── DefinitionError         a swarm, agent, tool or policy is not as it must be: 78
    ├── HookError               a function of the swarm's author failed: 1
    ├── StateError              a state holds what it cannot: 65
    ├── StorageError            an item of a storage is not what it must be: 65
    ├── TranscriptError         a file of conversations is not what it must be: 65
    ├── EmbeddingError          vectors that cannot be compared: 1
    └── ModelError              the model gave no answer: 1
        ├── ModelUnavailable    no connection, a timeout, a server error, a broken answer: 69
        ├── ModelBusy           rate limited or out of quota (429): 75
        ├── ModelAuthError      the key is missing, wrong, or not allowed (401, 403): 77
        ├── ModelNotFound       no such model or no such address (404): 66
        ├── ModelRefused        the server does not take the request (400 and its kind): 1
        ├── ContextTooLong      the server says that the context exceeds its window: 5
        └── ScriptError         a scripted model was asked for what its script does not hold: 1

A message names the bad value, what was expected, and what to do next. ``exit_code`` is what a program that ends
because of the error should return. Errors of the store are ``swarmchat.backends.BackendError`` and pass through.
"""


class SwarmError(Exception):
    """Base of all errors of this room."""

    exit_code = 1


class SessionBusy(SwarmError):
    """Another process is talking in this session."""

    exit_code = 75


class LogLost(SwarmError):
    """The store holds less of a session than this process has stored in it. Nothing was written."""

    exit_code = 75

    def __init__(self, message: str, stored: int) -> None:
        super().__init__(message)
        self.stored = stored
        """The number of records that the store still holds."""


class BadRecord(SwarmError):
    """A line of a log cannot be read: not JSON, not a record, or of a newer version than this program knows.

    ``newer_version`` tells the last case: the log is sound, and must not be touched.
    """

    exit_code = 65

    def __init__(self, message: str, *, newer_version: bool = False) -> None:
        super().__init__(message)
        self.newer_version = newer_version


class OverBudget(SwarmError):
    """What must be sent needs more tokens than the context window leaves.

    ``needed`` and ``available`` are in tokens.
    """

    exit_code = 5

    def __init__(self, message: str, *, needed: int, available: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available


class NothingToCompact(SwarmError):
    """What is sent is too little to be summed up."""


class CompactFailed(SwarmError):
    """The model gave no summary that could be used; all is as it was."""


class PinError(SwarmError):
    """A turn is not there, is pinned already or not at all, or takes too much room."""


class LimitReached(SwarmError):
    """A bound that keeps a turn from running for ever was hit."""

    exit_code = 5


class RequestLimit(LimitReached):
    """The model asked for tools in every request of a turn, and never answered."""


class RepeatedCall(LimitReached):
    """The model made the same call, with the same arguments, too often in one turn."""


class HandoffLoop(LimitReached):
    """A handoff would visit an agent a second time in one turn."""


class DefinitionError(SwarmError):
    """A swarm, or a part of one, is not as it must be. The message names the part and what was expected."""

    exit_code = 78


class HookError(SwarmError):
    """A function of the swarm's author (a prompt, a condition, a policy) raised an error."""


class StateError(SwarmError):
    """A state holds what its type does not allow. It was left as it is."""

    exit_code = 65


class StorageError(SwarmError):
    """An item cannot be stored, indexed, or read back as its type. Nothing stored was changed."""

    exit_code = 65


class TranscriptError(SwarmError):
    """A file of conversations is not what it must be. The message names file and line; nothing was written."""

    exit_code = 65


class EmbeddingError(SwarmError):
    """An embedder returned what is no set of vectors, or vectors of another dimension than before."""


class ModelError(SwarmError):
    """The model gave no answer. The history is as it was."""


class ModelUnavailable(ModelError):
    """The server cannot be reached, failed, did not answer in time, or sent what is no answer."""

    exit_code = 69


class ModelBusy(ModelError):
    """The server refuses for now: rate limit or quota."""

    exit_code = 75


class ModelAuthError(ModelError):
    """The server does not accept the key."""

    exit_code = 77


class ModelNotFound(ModelError):
    """The server has no such model, or the address is no model API."""

    exit_code = 66


class ModelRefused(ModelError):
    """The server rejects the request as it is; sending it again would not help."""


class ContextTooLong(ModelError):
    """The server says that the request exceeds its context window.

    ``limit`` is the window in tokens where the server's text names it, else ``None``.
    """

    exit_code = 5

    def __init__(self, message: str, *, limit: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit


class ScriptError(ModelError):
    """A scripted model was asked more, less or other than its script says."""
