"""A GET request without an HTTP client library, for facts that a server can return at once."""

import socket
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Timer
from typing import Any
from urllib.error import HTTPError
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

_MAX_BODY = 1_000_000
"""Bytes of an answer that are read."""


class _NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: it would take the key to an address that nobody chose."""

    def redirect_request(self, *args: object) -> None:
        """Refuse."""


class _Connection(HTTPConnection):
    opened: list[socket.socket]

    def connect(self) -> None:
        super().connect()
        # A copy: TLS takes the socket itself over.
        self.opened.append(self.sock.dup())


class _TlsConnection(HTTPSConnection, _Connection):
    """Connects as ``_Connection`` does before TLS begins."""


class _Handler(HTTPHandler, HTTPSHandler):
    """Makes connections that can be cut: their timeout begins anew with each byte that a server sends."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[socket.socket] = []

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._connection(_Connection), req)

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(self._connection(_TlsConnection), req)

    def _connection(self, kind: type[_Connection]) -> Any:
        def make(host: str, **options: Any) -> _Connection:
            connection = kind(host, **options)
            connection.opened = self.opened
            return connection

        return make

    def cut(self) -> None:
        """Have nothing more arrive."""
        for each in self.opened:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def quick_get(url: str, headers: dict[str, str], seconds: float, *, proxy: bool) -> bytes | None:
    """Return the body of the answer within ``seconds``; nothing if there is none, ``None`` for a status of 503.

    ``url`` is an HTTP address. Without ``proxy``, the proxies of the environment do not count. Blocks.
    """
    handler = _Handler()
    timer = Timer(seconds, handler.cut)
    timer.daemon = True
    timer.start()
    try:
        opener = build_opener(_NoRedirect, handler, *([] if proxy else [ProxyHandler({})]))
        return _get(opener, Request(url, headers=headers), seconds)  # noqa: S310 - see ``url``
    except (OSError, HTTPException, ValueError):
        return b""
    finally:
        timer.cancel()
        for each in handler.opened:
            each.close()


def _get(opener: OpenerDirector, request: Request, seconds: float) -> bytes | None:
    try:
        response = opener.open(request, timeout=seconds)
    except HTTPError as error:
        # Read to its end, too: a server takes a connection that ends before for a fault.
        response = error
    with response:
        body = b""
        while len(body) < _MAX_BODY and (part := response.read1(65_536)):
            body += part
    if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return None
    return body if response.status == HTTPStatus.OK else b""
