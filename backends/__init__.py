"""Storage of bytes in memory, on disk or in Redis, behind one Protocol; knows nothing of chats. Read `base` first."""

from swarmchat.backends.base import Append, Backend, Delete, Expect, ExpectLength, Lease, Put, Touch, Truncate, Write
from swarmchat.backends.errors import (
    BackendError,
    BackendFull,
    BackendUnavailable,
    Conflict,
    CorruptValue,
    LeaseLost,
    LengthConflict,
    UnknownBackend,
)
from swarmchat.backends.registry import open_backend

__all__ = [
    "Append",
    "Backend",
    "BackendError",
    "BackendFull",
    "BackendUnavailable",
    "Conflict",
    "CorruptValue",
    "Delete",
    "Expect",
    "ExpectLength",
    "Lease",
    "LeaseLost",
    "LengthConflict",
    "Put",
    "Touch",
    "Truncate",
    "UnknownBackend",
    "Write",
    "open_backend",
]
