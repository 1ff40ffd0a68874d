"""Bodies of HTTP responses, decompressed and counted while they arrive, so that none exceeds its limit."""

import asyncio
import codecs
import zlib
from collections.abc import AsyncIterator

from httpx2 import AsyncByteStream, DecodingError, Request, Response, SSEError, StreamError

STREAM_OVERHEAD = 100
"""Bytes of a stream for each that its text may have: servers write some 300 bytes around each token."""
_PIECE = 65_536
"""Bytes that are decompressed at once."""


class BodyTooLarge(SSEError, StreamError):
    """A body, or a line of it, has more bytes than allowed. The SDK of MCP catches the one base or the other."""


def bound_body(response: Response, limit: int, *, cut: bool = False, max_line: int | None = None) -> None:
    """Have the body of ``response``, which is not read yet, end after ``limit`` bytes, counted after decompression.

    Reading more raises BodyTooLarge, unless it is to be ``cut`` there; a line of more than ``max_line`` bytes, too.
    Only gzip is decompressed: ask for no other. Reading may raise DecodingError.
    """
    encoding = response.headers.pop("content-encoding", "identity").strip().lower()
    # Python also has codecs that are no text encodings, such as rot13 and zlib.
    response.encoding = "utf-8"
    assert isinstance(response.stream, AsyncByteStream)
    response.stream = _BoundedStream(response.stream, response.request, encoding, limit, cut=cut, max_line=max_line)


class _BoundedStream(AsyncByteStream):
    def __init__(
        self, raw: AsyncByteStream, request: Request, encoding: str, limit: int, *, cut: bool, max_line: int | None
    ) -> None:
        self._raw = raw
        self._request = request
        self._encoding = encoding
        self._limit = limit
        self._cut = cut
        self._max_line = max_line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = line = 0
        async for piece in _as_utf8(self._decoded()):
            left = self._limit - count
            if len(piece) > left:
                if not self._cut:
                    raise self._too_large(self._limit)
                yield piece[:left]
                return
            count += len(piece)
            if self._max_line is not None:
                first, last = piece.find(b"\n"), piece.rfind(b"\n")
                if line + (len(piece) if first < 0 else first) > self._max_line:
                    raise self._too_large(self._max_line)
                line = line + len(piece) if last < 0 else len(piece) - last - 1
            yield piece
            # Pieces that are there already would keep Ctrl-C and other tasks waiting.
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        await self._raw.aclose()

    def _too_large(self, limit: int) -> BodyTooLarge:
        return BodyTooLarge(f"it sent more than the {limit:,} bytes that max_answer allows", request=self._request)

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
