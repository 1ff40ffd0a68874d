"""A GET request without an HTTP client library, for facts that a server can return at once."""

import time
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

_MAX_BODY = 1_000_000
"""Bytes of an answer that are read."""


class _NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: it would take the key to an address that nobody chose."""

    def redirect_request(self, *args: object) -> None:
        """Refuse."""


def quick_get(url: str, headers: dict[str, str], seconds: float, *, proxy: bool) -> bytes | None:
    """Return the body of the answer within ``seconds``; nothing if there is none, ``None`` for a status of 503.

    ``url`` is an HTTP address. Without ``proxy``, the proxies of the environment do not count. Blocks.
    """
    with suppress(OSError, HTTPException, ValueError):
        opener = build_opener(_NoRedirect, *([] if proxy else [ProxyHandler({})]))
        try:
            response = opener.open(Request(url, headers=headers), timeout=seconds)  # noqa: S310 - see ``url``
        except HTTPError as error:
            # Read to its end, too: a server takes a connection that ends before for a fault.
            response = error
        with response:
            body = b""
            deadline = time.monotonic() + seconds
            while len(body) < _MAX_BODY and time.monotonic() < deadline and (part := response.read1(65_536)):
                body += part
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return None
        return body if response.status == HTTPStatus.OK else b""
    return b""
