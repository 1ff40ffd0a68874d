"""HTTP client for model servers: decompresses and counts what arrives, so that no response grows without end."""

import asyncio
import codecs
import zlib
from collections.abc import AsyncIterator
from typing import Any

from httpx2 import AsyncByteStream, DecodingError, Request, RequestError, Response
from openai import DefaultAsyncHttpxClient

_PIECE = 65_536
"""Bytes that are decompressed at once."""
_MAX_ERROR_BODY = 65_536
"""Bytes of an error body that are read; no server needs more to say what is wrong."""
_STREAM_OVERHEAD = 100
"""Bytes of a stream for each character of the answer: servers write some 300 bytes around each token."""


class BodyTooLarge(RequestError):
    """A body has more bytes than allowed."""


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
        limit = _MAX_ERROR_BODY if failed else self._max_body * (_STREAM_OVERHEAD if stream else 1)
        encoding = response.headers.pop("content-encoding", "identity").strip().lower()
        assert isinstance(response.stream, AsyncByteStream)
        response.stream = _BoundedStream(response.stream, request, encoding, limit, cut=failed)
        try:
            if not stream:
                await response.aread()
        except BaseException:
            await response.aclose()
            raise
        return response


class _BoundedStream(AsyncByteStream):
    """The decompressed body of a response: ``cut`` after ``limit`` bytes, or an error there."""

    def __init__(self, raw: AsyncByteStream, request: Request, encoding: str, limit: int, *, cut: bool) -> None:
        self._raw = raw
        self._request = request
        self._encoding = encoding
        self._limit = limit
        self._cut = cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for piece in _as_utf8(self._decoded()):
            left = self._limit - count
            if len(piece) > left:
                if not self._cut:
                    raise BodyTooLarge(f"{self._limit:,} bytes", request=self._request)
                yield piece[:left]
                return
            count += len(piece)
            yield piece
            # Pieces that are there already would keep Ctrl-C and other tasks waiting.
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        await self._raw.aclose()

    async def _decoded(self) -> AsyncIterator[bytes]:
        if self._encoding == "identity":
            async for received in self._raw:
                yield received
            return
        if self._encoding not in ("gzip", "x-gzip"):
            raise DecodingError(f"compressed with {self._encoding[:40]!r}", request=self._request)
        decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        async for received in self._raw:
            while received and not decompressor.eof:
                try:
                    piece = decompressor.decompress(received, _PIECE)
                except zlib.error as error:
                    raise DecodingError(str(error), request=self._request) from error
                received = decompressor.unconsumed_tail
                yield piece
        yield decompressor.flush()


async def _as_utf8(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield ``parts`` of a body as UTF-8: a byte order mark tells that they are UTF-16."""
    decoder, opening = None, bytearray()
    async for part in parts:
        if len(opening) < len(codecs.BOM_UTF16):
            opening += part
            if len(opening) < len(codecs.BOM_UTF16):
                continue
            part = bytes(opening)
            if part.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                decoder = codecs.getincrementaldecoder("utf-16")("replace")
        yield part if decoder is None else decoder.decode(part).encode("utf-8", "replace")
    if len(opening) < len(codecs.BOM_UTF16):
        yield bytes(opening)
