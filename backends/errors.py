"""The errors of a backend, with the exit code of each.

    BackendError                base class: exit code 1
    ├── UnknownBackend          unknown scheme, or an invalid URL: 78 (configuration)
    ├── BackendUnavailable      the server or the folder cannot be reached: 69
    ├── BackendFull             no room left to write: 69
    ├── LeaseLost               another process holds the lease now; nothing was written: 75
    ├── Conflict                a value is not what a commit expected; nothing was written: 75
    │   └── LengthConflict      a list does not have the length that a commit expected
    └── CorruptValue            a key holds another kind of value, or damaged data: 65

Drivers raise no other errors for failures of their store. A message names the store (its URL with the password
masked), the problem, and what to do next. ``exit_code`` is the exit code for a program that ends because of the error:
the value in BSD's sysexits.h where one fits.
"""

from swarmchat.backends.base import Expect, ExpectLength


class BackendError(Exception):
    """Base class of all errors of a backend."""

    exit_code = 1


class UnknownBackend(BackendError):
    """The URL names no known backend, or is invalid."""

    exit_code = 78


class BackendUnavailable(BackendError):
    """The store cannot be reached, opened, or did not answer in time."""

    exit_code = 69


class BackendFull(BackendError):
    """The store has no room: the disk is full, or Redis is at its ``maxmemory``."""

    exit_code = 69


class LeaseLost(BackendError):
    """A commit used a lease that is no longer held. Nothing was written."""

    exit_code = 75


class Conflict(BackendError):
    """A value is not what a commit expected; nothing was written: read again and retry."""

    exit_code = 75


class LengthConflict(Conflict):
    """A list does not have the length that a commit expected; nothing was written. A mere retry fails again."""


class CorruptValue(BackendError):
    """A key holds another kind of value than expected, or bytes that cannot be trusted."""

    exit_code = 65


def lease_lost(key: str, store: str = "") -> LeaseLost:
    """Return the error that the lease ``key`` is lost. ``store``: its URL, unless the driver adds that later."""
    return LeaseLost(f"{store} the lease {key!r} is held by another process, or has expired".strip())


def unmet(condition: Expect | ExpectLength, store: str = "") -> Conflict:
    """Return the error that ``condition`` does not hold, so that nothing of its commit was written."""
    if isinstance(condition, ExpectLength):
        reason = f"the list {condition.key!r} does not have the {condition.length} values that this commit expected"
        return LengthConflict(f"{store} {reason}: nothing was written".strip())
    reason = f"{condition.key!r} is not what this commit expected, and nothing was written"
    return Conflict(f"{store} {reason}: read it again and retry".strip())
