"""The quick request for what a server has at hand, against servers that never come to an end."""

import socket
import threading
import time
from contextlib import suppress

import pytest
from swarmchat.swarm.models.quick_get import quick_get

ENDLESS = {
    "continue": ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "header": ("http", b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "body": ("http", b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "handshake of TLS": ("https", b"\x16\x03\x03\x40\x00", b"\0"),
}


@pytest.mark.parametrize(("scheme", "opening", "rest"), ENDLESS.values(), ids=ENDLESS)
def test_a_server_that_trickles_is_left(scheme: str, opening: bytes, rest: bytes) -> None:
    def trickle() -> None:
        with listener.accept()[0] as connection, suppress(OSError):
            connection.sendall(opening)
            # Fewer than any limit of size. A client that stayed would get its answer in the end.
            for _ in range(10_000):
                connection.sendall(rest)
                time.sleep(0.001)
            connection.sendall(b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\nlate")
            left.append(False)

    left: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=trickle)
        server.start()
        quick_get(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", {}, 0.1, proxy=False)
        server.join()
    assert left == []
