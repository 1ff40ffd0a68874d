"""The conformance suite that every backend passes, shipped for other drivers.

Read ``suite`` first: a test class derives from ``BackendConformance``. ``expect`` is its part about Expect,
``model`` compares a driver with a dict by random commits, and ``tools`` holds what the tests share.
"""

from swarmchat.backends.testing.model import check_model
from swarmchat.backends.testing.suite import BackendConformance, MakeBackend

__all__ = ["BackendConformance", "MakeBackend", "check_model"]
