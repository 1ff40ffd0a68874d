"""The Protocol of embedders, which turn texts into vectors, and a cache so that no text is embedded twice."""

import asyncio
import struct
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable
from weakref import WeakKeyDictionary

from swarmchat.backends import Put
from swarmchat.swarm.common.author_functions import without_exits
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.errors import EmbeddingError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    Matrix = NDArray[np.float32]

_BATCH = 1000
"""Texts between two writes to the cache: the most that an interruption can lose."""
_HEADER = struct.Struct("<I")
_LONGEST = 1 << 16
"""More dimensions than any model has: a header with a larger number is damaged."""
_TOLERANCE = 1e-3


_Computing: TypeAlias = "dict[tuple[int, str, str], asyncio.Future[dict[str, Vector] | None]]"

_COMPUTING: WeakKeyDictionary[asyncio.AbstractEventLoop, _Computing] = WeakKeyDictionary()
"""The texts that each event loop computes now, by the ``id`` of the backend, the embedder's name, and the text.

All storages and sessions of a program share it, so none computes what another already does.
"""


class Embedder(Protocol):
    """Turns texts into vectors whose cosine measures how similar the texts are."""

    @property
    def name(self) -> str:
        """Identifies the model and its dimension: vectors of the same name are compared with each other."""
        ...

    @property
    def default_score(self) -> float:
        """The lowest cosine at which a text is likely to match a search."""
        ...

    async def embed(self, texts: Sequence[str]) -> "Matrix":
        """Return a row for each of ``texts`` (n x dimension, float32), in their order, of any length but finite.

        No text is blank. May raise the errors of ``ModelError``.
        """
        ...


@runtime_checkable
class PrefixedEmbedder(Embedder, Protocol):
    """An embedder of a model that was trained with words before each text, such as e5."""

    prefixes: tuple[str, str]
    """What stands before a search and before a text of an item: ``("query: ", "passage: ")``."""


class PersistEmbedding:
    """The vectors of an embedder, cached in a store's backend for ``store.lifetimes.embedding`` seconds.

    The cache is written at once even if ``store`` stages changes: a vector is valid whether or not they are committed.
    ``remembered``: how many of the most recently used vectors stay in memory. Serves one event loop at a time.
    """

    def __init__(self, store: Store, embedder: Embedder, *, remembered: int = 10_000) -> None:
        self.embedder = embedder
        self._prefixes = embedder.prefixes if isinstance(embedder, PrefixedEmbedder) else ("", "")
        self._store = store
        self._remembered = remembered
        self._recent: OrderedDict[str, Vector] = OrderedDict()
        self._dimension: int | None = None
        # Whether the embedder itself returned it; cached vectors may come from another model of the same name.
        self._proven = False
        self._others: dict[str, PersistEmbedding] = {}

    def using(self, embedder: Embedder | None) -> "PersistEmbedding":
        """Return the cache for ``embedder`` in the same store, always the same object; for ``None``, this cache."""
        if embedder is None or embedder.name == self.embedder.name:
            return self
        if embedder.name not in self._others:
            self._others[embedder.name] = PersistEmbedding(self._store, embedder, remembered=self._remembered)
        return self._others[embedder.name]

    async def vectors(self, texts: Sequence[str], *, searched: bool = False) -> "Matrix":
        """Return a row of length 1 for each of ``texts``, searches or texts of items: n x dimension, float32.

        A blank text gets zeros, and so does a text for which the embedder returns zeros. While all texts have been
        blank, the dimension is unknown and 0. Each text is computed once, even if it is repeated in a call, in
        concurrent calls in this event loop, or cached in the store. Texts that failed are computed again by the next
        call.

        Raises EmbeddingError, and the errors of the embedder and the backend.
        """
        import numpy as np

        prefix = self._prefixes[0 if searched else 1]
        texts = [prefix + text if text.strip() else text for text in texts]
        distinct = list(dict.fromkeys(text for text in texts if text.strip()))
        vectors: dict[str, Vector] = {}
        computing = _COMPUTING.setdefault(asyncio.get_running_loop(), {})
        # Cached vectors turn out to have the wrong dimension if the embedder returns another for the rest.
        while missing := [text for text in distinct if text not in vectors or vectors[text].size != self._dimension]:
            # Claim every unclaimed text before the first await, or two calls would claim the same.
            mine, theirs = [], {}
            for text in missing:
                if (vector := self._recall(text)) is not None:
                    vectors[text] = vector
                elif (future := computing.get(self._claim(text))) is not None:
                    theirs[text] = future
                else:
                    mine.append(text)
            vectors |= await self._compute(mine, computing)
            for text, future in theirs.items():
                # None: the other call was cancelled, so this one computes the text in the next round.
                if (result := await asyncio.shield(future)) is not None:
                    vectors[text] = result[text]
                    self._dimension = self._dimension or result[text].size
                    self._remember(text, result[text])
        zero = np.zeros(self._dimension or 0, np.float32)
        return np.stack([vectors.get(text, zero) for text in texts]) if texts else zero.reshape(1, -1)[:0]

    def _claim(self, text: str) -> tuple[int, str, str]:
        # The id stays the backend's: this object keeps it alive while it computes.
        return id(self._store.backend), self.embedder.name, text

    async def _compute(self, texts: list[str], computing: _Computing) -> "dict[str, Vector]":
        """Return the vectors of ``texts``, which no other call computes, from the cache or the embedder."""
        batches = [texts[first : first + _BATCH] for first in range(0, len(texts), _BATCH)]
        futures = [asyncio.get_running_loop().create_future() for _ in batches]
        for batch, future in zip(batches, futures, strict=True):
            computing |= dict.fromkeys(map(self._claim, batch), future)
        vectors: dict[str, Vector] = {}
        try:
            for batch, future in zip(batches, futures, strict=True):
                computed = await self._batch(batch)
                vectors |= computed
                future.set_result(computed)
        except Exception as error:
            for future in futures:
                if not future.done():
                    future.set_exception(error)
                    # Marked as retrieved: there may be no waiting call.
                    future.exception()
            raise
        finally:
            for text in texts:
                del computing[self._claim(text)]
            for future in futures:
                if not future.done():
                    future.set_result(None)
        return vectors

    async def _batch(self, texts: list[str]) -> "dict[str, Vector]":
        places = [keys.embedding(self.embedder.name, text) for text in texts]
        vectors = await self._read(texts, places)
        for text, vector in vectors.items():
            self._remember(text, vector)
        missing = {text: place for text, place in zip(texts, places, strict=True) if text not in vectors}
        if missing:
            with without_exits():
                embedded = await self.embedder.embed([*missing])
            rows = self._checked(embedded, len(missing))
            # Remembered first, so that nothing is computed again if the cache cannot be written.
            for text, vector in zip(missing, rows, strict=True):
                self._remember(text, vector)
                vectors[text] = vector
            await self._write(dict(zip(missing.values(), rows, strict=True)))
        return vectors

    def _checked(self, answer: "Matrix", number: int) -> "list[Vector]":
        """Return the rows of the embedder's ``answer``, each scaled to length 1. Raises EmbeddingError."""
        import numpy as np

        rows = np.asarray(answer, np.float32)
        name = self.embedder.name
        if rows.ndim != 2 or rows.shape[0] != number or not rows.shape[1]:
            raise EmbeddingError(f"the embedder {name!r} returned {rows.shape} numbers for {number} texts")
        if not np.isfinite(rows).all():
            raise EmbeddingError(f"the embedder {name!r} returned numbers that are not finite")
        dimension = rows.shape[1]
        if self._proven and dimension != self._dimension:
            raise EmbeddingError(
                f"the embedder {name!r} returned vectors of {dimension} numbers, and of {self._dimension} before: "
                "vectors of different models cannot be compared. Did the server change its model? Start again"
            )
        self._dimension, self._proven = dimension, True
        # In double precision: the squares of large numbers must not overflow.
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        return list((rows / np.where(lengths, lengths, 1)).astype(np.float32))

    async def _read(self, texts: list[str], places: list[str]) -> "dict[str, Vector]":
        """Return the undamaged cached vectors of ``texts`` that have the known dimension, or else the first one's.

        ``places`` are their keys in the store.
        """
        values = await self._store.backend.get_many(places)
        if self._dimension is None:
            first = next((each for each in map(decode_vector, values) if each is not None), None)
            if first is None:
                return {}
            self._dimension = first.size
        return {texts[at]: row for at, row in decode_vectors(values, self._dimension).items()}

    async def _write(self, vectors: "dict[str, Vector]") -> None:
        """Store ``vectors``, by their keys."""
        ttl = self._store.lifetimes.embedding
        puts = [Put(key, encode_vector(vector), ttl) for key, vector in vectors.items()]
        await run_to_completion(self._store.backend.commit(*puts))

    def _recall(self, text: str) -> "Vector | None":
        """Return the vector of ``text`` in memory, unless its dimension turned out to be of another model."""
        vector = self._recent.get(text)
        if vector is None or vector.size != self._dimension:
            return None
        self._recent.move_to_end(text)
        return vector

    def _remember(self, text: str, vector: "Vector") -> None:
        if self._recall(text) is not vector:
            # A copy: a row would keep the whole batch in memory.
            self._recent[text] = vector.copy()
            self._recent.move_to_end(text)
        while len(self._recent) > self._remembered:
            self._recent.popitem(last=False)


def encode_vector(vector: "Vector") -> bytes:
    """Return ``vector`` as it is stored: its dimension (uint32), then its numbers (float32), little-endian."""
    return _HEADER.pack(vector.size) + vector.astype("<f4").tobytes()


def decode_vector(value: bytes | None) -> "Vector | None":
    """Return the vector stored in ``value``; ``None`` for anything but a vector of length 1 or of zeros."""
    if value is None or len(value) <= _HEADER.size:
        return None
    (dimension,) = _HEADER.unpack_from(value)
    return decode_vectors([value], dimension).get(0) if 0 < dimension <= _LONGEST else None


def decode_vectors(values: "Sequence[bytes | None]", dimension: int) -> "dict[int, Vector]":
    """Return the undamaged vectors of ``dimension`` among ``values``, by their index there."""
    import numpy as np

    head, size = _HEADER.pack(dimension), _HEADER.size + 4 * dimension
    fitting = {at: value for at, value in enumerate(values) if value and len(value) == size and value.startswith(head)}
    # The header is as wide as a number: it is the first column.
    table = np.frombuffer(b"".join(fitting.values()), "<f4").reshape(len(fitting), dimension + 1)
    rows = table[:, 1:].astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    sound = (lengths == 0) | (np.abs(lengths - 1) <= _TOLERANCE)
    return {at: row for at, row, whole in zip(fitting, rows, sound.tolist(), strict=True) if whole}
