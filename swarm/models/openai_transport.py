"""HTTP client for model servers that limits the size of every response body."""

from typing import Any

from httpx2 import Request, Response
from openai import DefaultAsyncHttpxClient
from swarmchat.swarm.models.bounded_body import STREAM_OVERHEAD, bound_body

_MAX_ERROR_BODY = 65_536
"""Bytes of an error body that are read; no server needs more to say what is wrong."""


class BoundedClient(DefaultAsyncHttpxClient):
    """Asks for gzip only, decompresses it in small pieces, and limits every body.

    ``max_body``: bytes of a body after decompression. A stream may have 100 times as many, as its text is counted by
    its reader. Of an error body, only the beginning is read.
    """

    def __init__(self, *, max_body: int, **options: Any) -> None:
        super().__init__(headers={"Accept-Encoding": "gzip"}, **options)
        self._max_body = max_body

    async def send(self, request: Request, *, stream: bool = False, **options: Any) -> Response:
        """Send ``request``; see ``AsyncClient.send``. Reading may raise BodyTooLarge or DecodingError."""
        response = await super().send(request, stream=True, **options)
        failed = response.status_code >= 300
        limit = _MAX_ERROR_BODY if failed else self._max_body * (STREAM_OVERHEAD if stream else 1)
        bound_body(response, limit, cut=failed)
        try:
            if not stream:
                await response.aread()
        except BaseException:
            await response.aclose()
            raise
        return response
