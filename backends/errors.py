"""The errors of a backend, with the exit code of each.

    BackendError                base class: exit code 1
    ├── UnknownBackend          unknown scheme, or an invalid URL: 78 (configuration)
    ├── BackendUnavailable      the server or the folder cannot be reached: 69
    ├── BackendFull             no room left to write: 69
    ├── LeaseLost               somebody else holds the key now; nothing was written: 75
    ├── Conflict                a value that a commit relied on has changed; nothing was written: 75
    └── CorruptValue            a key holds another kind of value, or damaged data: 65

Drivers raise nothing else for what their store does. A message names the store (its URL with the password
masked), what was wrong, and what to do next. ``exit_code`` is what a program that ends because of the error
should return (the values of BSD's sysexits.h where one fits).
"""


class BackendError(Exception):
    """Base class of all errors of a backend."""

    exit_code = 1


class UnknownBackend(BackendError):
    """The URL names no known backend, or cannot be used as it is written."""

    exit_code = 78


class BackendUnavailable(BackendError):
    """The store cannot be reached, opened, or did not answer in time."""

    exit_code = 69


class BackendFull(BackendError):
    """The store refuses to take more: the disk is full, or Redis is at its ``maxmemory``."""

    exit_code = 69


class LeaseLost(BackendError):
    """A commit came with a lease that is no longer held. Nothing was written."""

    exit_code = 75


class Conflict(BackendError):
    """A value that a commit relied on has changed; nothing was written: read again and retry."""

    exit_code = 75


class LengthConflict(Conflict):
    """A list is not as long as a commit relied on; nothing was written. Retrying does not help by itself."""


class CorruptValue(BackendError):
    """A key holds another kind of value than asked for, or bytes that cannot be trusted."""

    exit_code = 65
