"""The search index of a storage: finds the most similar vectors with one matrix product and a partition."""

import asyncio
import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarmchat.swarm.storage.embeddings import PersistEmbedding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from swarmchat.swarm.storage.embeddings import Matrix, Vector

_SLACK = 1e-5
"""How far a product of float32 may be off: scores this near to the limit are computed again, in double precision."""
_DIGITS = 6
_CHUNK = 4096
_LEAST = -2.0
"""Below every cosine."""
_BATCH = 1000
"""The number of items that are embedded before other tasks of this process get a turn."""
_SPARE = 64

Progress = Callable[[int, int], object]
"""Is given how many of the new items are embedded, and how many there are."""

Texts = Callable[[str, bytes], Sequence[str]]
"""From an item's id and stored form to the texts by which it is found."""


class Rows:
    """A matrix (rows x dimension, float32) that grows at its end without being copied each time.

    Several indexes share one, each with the first rows that it knows; those rows never change.
    """

    def __init__(self, matrix: "Matrix", used: int) -> None:
        self.matrix, self.used = matrix, used

    def extended(self, count: int, vectors: "Matrix", expected: int) -> "Rows":
        """Return the first ``count`` of these rows with ``vectors`` behind them.

        Works in place unless another index has already added rows there, or there is no room. ``expected``: the total
        number of rows that will be added.
        """
        import numpy as np

        rows, end = self, count + len(vectors)
        if self.used != count or end > len(self.matrix):
            room = count + max(expected, len(vectors))
            rows = Rows(np.empty((room + room // 8 + _SPARE, vectors.shape[1]), np.float32), count)
            rows.matrix[:count] = self.matrix[:count]
        rows.matrix[count:end] = vectors
        rows.used = end
        return rows


@dataclass(frozen=True)
class SearchIndex:
    """The vectors of items: a row of length 1 or 0 for each text.

    The rows of item ``i`` are ``starts[i]`` up to ``starts[i + 1]``, at least one. Items that were replaced or removed
    stay in ``ids`` and ``rows`` for a while: ``removed`` has their numbers.
    """

    raws: Mapping[str, bytes]
    ids: Sequence[str]
    starts: "NDArray[np.int64]"
    rows: Rows
    removed: "NDArray[np.int64]"

    @property
    def matrix(self) -> "Matrix":
        """The rows of this index."""
        return self.rows.matrix[: self.starts[-1]]

    @property
    def dimension(self) -> int:
        """The length of the vectors; 0 when all texts are blank, or there are none."""
        return int(self.rows.matrix.shape[1])

    def best(self, query: "Vector", total: int, score: float) -> list[tuple[str, float]]:
        """Return the ids of at most ``total`` items that score at least ``score``, best first, with their scores.

        The score of an item is the best cosine of its texts with ``query`` (of length 1 or 0), rounded to 6 digits so
        that an equal text scores 1.0. Equal scores are in the order of the ids.
        """
        import numpy as np

        if not self.ids:
            return []
        if query.size != self.dimension:
            # One side had nothing but blank texts so far.
            query = np.zeros(self.dimension, np.float32)
        rough = self.matrix @ query
        if len(self.ids) != len(rough):
            rough = np.maximum.reduceat(rough, self.starts[:-1])
        rough[self.removed] = -np.inf
        limit = max(score, _LEAST)
        if total < len(rough):
            position = len(rough) - total
            limit = max(limit, float(np.partition(rough, position)[position]))
        near = np.flatnonzero(rough >= limit - _SLACK)
        exact = self._exact(near, query).tolist()
        hits = ((-cosine, self.ids[at]) for at, cosine in zip(near.tolist(), exact, strict=True) if cosine >= score)
        return [(item_id, -negative) for negative, item_id in heapq.nsmallest(total, hits)]

    def _exact(self, items: "NDArray[np.int64]", query: "Vector") -> "NDArray[np.float64]":
        """Return the scores of ``items``, in double precision and independent of where in the matrix they lie."""
        import numpy as np

        wide = query.astype(np.float64)
        scores = np.empty(len(items), np.float64)
        for first in range(0, len(items), _CHUNK):
            chunk = items[first : first + _CHUNK]
            begins, rows = self._rows_of(chunk)
            products = (self.matrix[rows].astype(np.float64) * wide).sum(axis=1)
            scores[first : first + _CHUNK] = np.maximum.reduceat(products, begins)
        return np.round(scores, _DIGITS)

    def _rows_of(self, items: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        """Return the numbers of the rows of ``items``, one item after the other, and where each begins there."""
        import numpy as np

        counts = self.starts[items + 1] - self.starts[items]
        begins = np.cumsum(counts) - counts
        return begins, np.repeat(self.starts[items] - begins, counts) + np.arange(counts.sum())

    def without(self, raws: Mapping[str, bytes]) -> "SearchIndex":
        """Return the index of only those items that are the same in ``raws``."""
        import numpy as np

        dropped = {item_id for item_id, raw in self.raws.items() if raws.get(item_id) != raw}
        if not dropped:
            return self
        positions = {item_id: at for at, item_id in enumerate(self.ids)}
        removed = np.append(self.removed, np.array([positions[item_id] for item_id in dropped], np.int64))
        raws = {item_id: raw for item_id, raw in self.raws.items() if item_id not in dropped}
        index = replace(self, raws=raws, removed=removed)
        return index.compacted() if len(removed) > len(self.ids) // 2 else index

    def compacted(self) -> "SearchIndex":
        """Return the same index without the rows of replaced and removed items."""
        import numpy as np

        items = np.delete(np.arange(len(self.ids)), self.removed)
        _, rows = self._rows_of(items)
        starts = np.append(0, np.cumsum(self.starts[items + 1] - self.starts[items]))
        ids = [self.ids[at] for at in items.tolist()]
        return SearchIndex(self.raws, ids, starts, Rows(self.matrix[rows], len(rows)), self.removed[:0])

    def extended(self, ids: Sequence[str], counts: Sequence[int], vectors: "Matrix", expected: int) -> "SearchIndex":
        """Return this index with the items ``ids`` added; ``counts``: how many of ``vectors`` belong to each."""
        import numpy as np

        rows = self.rows.extended(int(self.starts[-1]), vectors, expected)
        starts = np.append(self.starts, self.starts[-1] + np.cumsum(counts))
        return replace(self, ids=[*self.ids, *ids], starts=starts, rows=rows)


async def build_index(
    raws: Mapping[str, bytes],
    texts: Texts,
    embedding: PersistEmbedding,
    previous: SearchIndex | None = None,
    progress: Progress = lambda done, total: None,
) -> SearchIndex:
    """Return the index of ``raws``, the stored items by id; vectors of unchanged items are taken from ``previous``.

    The cost depends on the number of changed items, but for a look at each id. An item without texts scores 0.
    """
    if previous is not None and previous.raws is raws:
        return previous
    index = _empty(0) if previous is None else previous.without(raws)
    new = [item_id for item_id in raws if item_id not in index.raws]
    for first in range(0, len(new), _BATCH):
        batch = new[first : first + _BATCH]
        progress(first, len(new))
        each = [tuple(texts(item_id, raws[item_id])) or ("",) for item_id in batch]
        vectors = await embedding.vectors([text for some in each for text in some])
        if not index.ids:
            index = _empty(vectors.shape[1])
        if vectors.shape[1] != index.dimension:
            # The earlier rows have the dimension of a stale cache, or all texts were blank.
            return await build_index(raws, texts, embedding, progress=progress)
        index = index.extended(batch, [len(some) for some in each], vectors, len(vectors) * len(new) // len(batch))
        await asyncio.sleep(0)
    if new:
        progress(len(new), len(new))
    return replace(index, raws=raws)


def _empty(dimension: int) -> SearchIndex:
    import numpy as np

    none = np.zeros(0, np.int64)
    return SearchIndex({}, [], np.zeros(1, np.int64), Rows(np.zeros((0, dimension), np.float32), 0), none)
