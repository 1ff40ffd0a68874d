"""From a URL to a backend. Drivers are imported only when one is opened."""

import difflib
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from swarmchat.backends.base import Backend
from swarmchat.backends.errors import UnknownBackend

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

ENTRY_POINTS = "swarmchat.backends"
"""Entry-point group for other people's drivers: the name is a URL scheme, the value a callable ``(url) -> Backend``."""

_BUILT_IN = {
    "memory": "swarmchat.backends.memory:open_memory",
    "disk": "swarmchat.backends.disk:open_disk",
    "redis": "swarmchat.backends.redis.backend:open_redis",
    "rediss": "swarmchat.backends.redis.backend:open_redis",
    "unix": "swarmchat.backends.redis.backend:open_redis",
    "redis+cluster": "swarmchat.backends.redis.backend:open_redis",
    "redis+sentinel": "swarmchat.backends.redis.backend:open_redis",
}

_EXAMPLES = {
    "memory": "memory:",
    "disk": "disk:PATH",
    "redis": "redis://HOST:PORT/DB",
    "rediss": "rediss://HOST:PORT/DB",
    "unix": "unix:///PATH/TO/SOCKET",
    "redis+cluster": "redis+cluster://HOST:PORT,HOST:PORT",
    "redis+sentinel": "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB",
}
"""What a URL of each looks like, for those who give the scheme alone."""


def open_backend(url: str) -> Backend:
    """Return the backend that ``url`` names: ``memory:``, ``disk:PATH``, ``redis://HOST:PORT/DB`` and so on.

    Does no I/O beyond importing the driver. Raises UnknownBackend for a scheme nobody registered and for a URL
    that the driver cannot use.
    """
    # Not urlsplit: it drops tabs and newlines, and raises ValueError for some host names.
    scheme, colon, _ = url.partition(":")
    return _find_driver(scheme.lower() if colon else "", url)(url)


def schemes() -> list[str]:
    """Return every URL scheme that can be opened, built in or registered by an installed package."""
    return sorted({*_BUILT_IN, *(point.name for point in _entry_points())})


def _find_driver(scheme: str, url: str) -> Callable[[str], Backend]:
    if scheme in _BUILT_IN:
        module, _, name = _BUILT_IN[scheme].partition(":")
        driver: Callable[[str], Backend] = getattr(import_module(module), name)
        return driver
    for point in _entry_points().select(name=scheme):
        try:
            loaded: Callable[[str], Backend] = point.load()
        except (ImportError, AttributeError) as error:
            source = f" of {point.dist.name}" if point.dist else ""
            raise UnknownBackend(f"the driver for {scheme}:{source} cannot be imported: {error}") from error
        return loaded
    raise UnknownBackend(_unknown(scheme, url))


def _unknown(scheme: str, url: str) -> str:
    # Only the scheme is quoted, or a bare word: anything else may hold a password.
    known = schemes()
    if not scheme and url in _EXAMPLES:
        return f"{url!r} is no URL; write one, such as {_EXAMPLES[url]}"
    word = scheme or (url if url.isidentifier() else "")
    near = difflib.get_close_matches(word, known, n=1)
    hint = f"; did you mean {near[0]}:?" if near else "."
    what = f"no backend for {word + ':'!r}" if word else "a backend is named by a URL such as memory: or disk:PATH"
    return f"{what}{hint} Known: {', '.join(known)}"


def _entry_points() -> "EntryPoints":
    # Not above: it costs as much as the rest of this room together, and a built-in driver needs none of it.
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINTS)
