"""Open the backend that a URL names. A driver is imported only when it is used."""

import difflib
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from swarmchat.backends.base import Backend
from swarmchat.backends.errors import UnknownBackend

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

ENTRY_POINTS = "swarmchat.backends"
"""Entry-point group for third-party drivers: the name is a URL scheme, the value a callable ``(url) -> Backend``."""

_DRIVERS = {
    "memory": ("memory:open_memory", "memory:"),
    "disk": ("disk:open_disk", "disk:PATH"),
    "redis": ("redis.backend:open_redis", "redis://HOST:PORT/DB"),
    "rediss": ("redis.backend:open_redis", "rediss://HOST:PORT/DB"),
    "unix": ("redis.backend:open_redis", "unix:///PATH/TO/SOCKET"),
    "redis+cluster": ("redis.backend:open_redis", "redis+cluster://HOST:PORT,HOST:PORT"),
    "redis+sentinel": ("redis.backend:open_redis", "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB"),
}
"""The built-in drivers by scheme: module and function, and an example of a URL."""


def open_backend(url: str) -> Backend:
    """Return the backend that ``url`` names: ``memory:``, ``disk:PATH``, ``redis://HOST:PORT/DB`` and so on.

    Does no I/O beyond importing the driver. Raises UnknownBackend for an unknown scheme and for a URL that the driver
    does not accept.
    """
    if not isinstance(url, str):
        raise UnknownBackend(f"the URL of a backend is {url!r:.80}, expected a text such as 'disk:chats'")
    # Not urlsplit: it drops tabs and newlines, and raises ValueError for some host names.
    scheme, colon, _ = url.partition(":")
    return _find_driver(scheme.lower() if colon else "", url)(url)


def schemes() -> list[str]:
    """Return every URL scheme that can be opened, built in or registered by an installed package."""
    return sorted({*_DRIVERS, *(point.name for point in _entry_points())})


def _find_driver(scheme: str, url: str) -> Callable[[str], Backend]:
    if scheme in _DRIVERS:
        module, _, name = _DRIVERS[scheme][0].partition(":")
        driver: Callable[[str], Backend] = getattr(import_module(f"swarmchat.backends.{module}"), name)
        return driver
    for point in _entry_points().select(name=scheme):
        try:
            loaded: Callable[[str], Backend] = point.load()
        except (ImportError, AttributeError) as error:
            source = f" of {point.dist.name}" if point.dist else ""
            raise UnknownBackend(f"the driver for {scheme}:{source} cannot be imported: {error}") from error
        return loaded
    raise UnknownBackend(_unknown_backend(scheme, url))


def _unknown_backend(scheme: str, url: str) -> str:
    # Only a scheme or a bare word is quoted: anything else may contain a password.
    known = schemes()
    if not scheme and url in _DRIVERS:
        return f"{url!r} is not a URL: write one, such as {_DRIVERS[url][1]}"
    word = scheme or (url if url.isidentifier() else "")
    matches = difflib.get_close_matches(word, known, n=1)
    hint = f"; did you mean {matches[0]}:?" if matches else "."
    problem = f"unknown backend {word + ':'!r}" if word else "expected a URL such as memory: or disk:PATH"
    return f"{problem}{hint} Known: {', '.join(known)}"


def _entry_points() -> "EntryPoints":
    # Not at the top: it takes as long to import as the rest of the package, and built-in drivers do not need it.
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINTS)
