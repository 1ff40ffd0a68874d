"""Translate the exceptions of redis-py into the errors of a backend."""

import re
import ssl

import redis.exceptions as theirs
from redis.asyncio.sentinel import MasterNotFoundError
from swarmchat.backends.errors import BackendError, BackendFull, BackendUnavailable, CorruptValue, UnknownBackend
from swarmchat.backends.redis.url import RedisTarget

_CHANGING = re.compile(r"\b(LOADING|CLUSTERDOWN|TRYAGAIN|MASTERDOWN|NOREPLICAS|UNBLOCKED|READONLY|BUSY)\b")
_NO_RIGHT = re.compile("no right to|no permissions|can't (run this command|access at least)", re.IGNORECASE)
_COMMAND = re.compile(r"no right to run [A-Z]+.*")
_DENIED = re.compile(
    r"\b(NOAUTH|WRONGPASS|NOPERM)\b|invalid (username-password|password)|AUTH.*called|No permissions"
    # What a script of Redis 6 may not do.
    r"|can't (run this command|access at least)|no right to run",
    re.IGNORECASE,
)
# Where redis-py has a class for an error, it removes the code from the text.
_CHANGING_KINDS = (
    theirs.ClusterDownError,
    theirs.TryAgainError,
    theirs.MasterDownError,
    theirs.BusyLoadingError,
    theirs.ReadOnlyError,
)
_UNREACHABLE = (theirs.ConnectionError, theirs.TimeoutError, OSError)
_NOT_COVERED = "slots are not covered"
"""What redis-py says when it connects while a slot has no server."""
_FULL = re.compile(r"\bOOM\b")
_WRONG_KIND = re.compile(r"\bWRONGTYPE\b")
_READ_ONLY = re.compile(r"\b(READONLY|MISCONF)\b")


def worth_retrying(error: BaseException) -> bool:
    """Tell whether the same call may succeed in a moment: the connection was lost, or the server is starting."""
    root = _root(error)
    if is_denied(root) or isinstance(root.__context__, ssl.SSLCertVerificationError):
        return False
    return isinstance(root, _UNREACHABLE) or is_changing(root)


def is_changing(error: BaseException) -> bool:
    """Tell whether the server is starting, or a replica is taking over: a new connection may soon succeed."""
    root = _root(error)
    return (
        isinstance(root, _CHANGING_KINDS)
        or _is_moving(root)
        or (isinstance(root, theirs.RedisClusterException) and _NOT_COVERED in str(root))
        or (isinstance(root, theirs.RedisError) and bool(_CHANGING.search(str(root))))
    )


def _is_moving(error: BaseException) -> bool:
    """Whether a slot is being moved: redis-py gives up soon, or does not know the node that it moves to."""
    return type(error) is theirs.ClusterError or isinstance(error, AttributeError)


def is_denied(error: BaseException) -> bool:
    """Return whether the server refused the login or the command for lack of permission."""
    denied = theirs.AuthenticationError | theirs.AuthorizationError | theirs.NoPermissionError
    root = _root(error)
    return isinstance(root, denied) or (isinstance(root, theirs.ResponseError) and bool(_DENIED.search(str(root))))


def _root(error: BaseException) -> BaseException:
    """Return the error that kept a cluster's client from connecting, which wraps it in a generic exception."""
    while isinstance(error, theirs.RedisClusterException) and (inner := error.__cause__ or error.__context__):
        error = inner
    return error


def map_error(error: Exception, target: RedisTarget) -> BackendError:
    """Return the error to raise instead of ``error``: the store, the problem, and what to do. Contains no password."""
    root = _root(error)
    if isinstance(root, Exception) and (isinstance(root, _UNREACHABLE) or is_denied(root)):
        error = root
    reason = target.scrub(str(error)) or type(error).__name__
    where = target.masked
    if isinstance(error, MasterNotFoundError):
        # Its text contains redis-py's objects.
        reason = f"none of the reachable sentinels knows a server {target.service!r}"
    if is_denied(error):
        user = f"the user {target.username!r}" if target.username else "the default user"
        advice = "check the name and the password in the URL, and the user's rights in the server's ACL"
        # In the middle of a script, Redis puts much around it.
        reason = named[0] if (named := _COMMAND.search(reason)) else reason
        if _NO_RIGHT.search(str(error)):
            advice = "give it the rights that swarmchat needs, with ACL SETUSER as in docs/backends.md"
        return BackendUnavailable(f"{where} refuses {user} ({reason}): {advice}")
    if _is_moving(error):
        return BackendUnavailable(f"{where} is not ready: the slot of these keys is being moved: try again in a moment")
    if isinstance(error, theirs.AskError):
        return UnknownBackend(f"{where} is one node of a cluster: write redis+cluster:// instead of its scheme")
    if isinstance(error, theirs.MasterDownError | theirs.BusyLoadingError):
        return BackendUnavailable(f"{where} is not ready ({reason}): try again in a moment")
    if isinstance(error, theirs.RedisClusterException | theirs.ClusterError):
        return BackendUnavailable(f"{where} is not usable as a cluster ({reason}): is every slot served?")
    if isinstance(error, theirs.ResponseError):
        if isinstance(error, theirs.OutOfMemoryError) or _FULL.search(reason):
            return BackendFull(f"{where} is at its maxmemory ({reason}): raise it on the server, or remove sessions")
        if _WRONG_KIND.search(reason):
            return CorruptValue(f"{where} holds another kind of value than expected ({reason})")
        if isinstance(error, theirs.ReadOnlyError) or _READ_ONLY.search(reason):
            return BackendUnavailable(f"{where} accepts no writes ({reason}): name the primary, or fix its disk")
        if "index is out of range" in reason:
            return UnknownBackend(f"{where} has no database {target.db} ({reason}): name a lower one in the URL")
        if is_changing(error):
            return BackendUnavailable(f"{where} is not ready ({reason}): try again in a moment")
        return BackendError(f"{where} refused a command ({reason}): swarmchat needs Redis 6.2 or newer")
    return BackendUnavailable(f"{where} cannot be reached ({reason}): is the server running, and is the URL right?")
