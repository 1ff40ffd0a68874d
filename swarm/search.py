"""Nearest vectors: which items of a storage are most like what was searched. One matrix product and a partition."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmchat.swarm.embedding import PersistEmbedding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from swarmchat.swarm.embedding import Matrix, Vector

_SLACK = 1e-5
"""How far a product of float32 may be off: what is this near to the limit is looked at again."""
_DIGITS = 6
_CHUNK = 4096

Texts = Callable[[str, bytes], Sequence[str]]
"""From an item's id and stored form to the texts by which it is found."""


@dataclass(frozen=True)
class SearchIndex:
    """The vectors of items, in the order of their ids.

    ``matrix`` has a row for each text (rows x dimension, float32, each of length 1 or 0); the rows of item ``i`` are
    ``starts[i]`` up to ``starts[i + 1]``, at least one.
    """

    raws: Mapping[str, bytes]
    ids: Sequence[str]
    starts: "NDArray[np.int64]"
    matrix: "Matrix"

    @property
    def dimension(self) -> int:
        """The length of the vectors; 0 when all texts are blank, or there are none."""
        return int(self.matrix.shape[1])

    def best(self, query: "Vector", total: int, score: float) -> list[tuple[str, float]]:
        """Return the ids of at most ``total`` items that score at least ``score``, best first, with their scores.

        The score of an item is the best cosine of its texts with ``query`` (of length 1 or 0), rounded to 6 digits so
        that an equal text scores 1.0. Equal scores are in the order of the ids.
        """
        import numpy as np

        if not self.ids:
            return []
        if query.size != self.matrix.shape[1]:
            # One side had nothing but blank texts so far.
            query = np.zeros(self.matrix.shape[1], np.float32)
        rough = self.matrix @ query
        if len(self.ids) != len(rough):
            rough = np.maximum.reduceat(rough, self.starts[:-1])
        limit = score
        if total < len(rough):
            place = len(rough) - total
            limit = max(limit, float(rough[np.argpartition(rough, place)[place]]))
        near = np.flatnonzero(rough >= limit - _SLACK)
        exact = self._exact(near, query)
        order = [at for at in np.lexsort((near, -exact)).tolist() if exact[at] >= score][:total]
        return [(self.ids[near[at]], float(exact[at])) for at in order]

    def _exact(self, items: "NDArray[np.int64]", query: "Vector") -> "NDArray[np.float64]":
        """Return the scores of ``items``, in double precision and independent of where in the matrix they lie."""
        import numpy as np

        wide = query.astype(np.float64)
        scores = np.empty(len(items), np.float64)
        for first in range(0, len(items), _CHUNK):
            chunk = items[first : first + _CHUNK]
            counts = self.starts[chunk + 1] - self.starts[chunk]
            begins = np.cumsum(counts) - counts
            rows = np.repeat(self.starts[chunk] - begins, counts) + np.arange(counts.sum())
            products = (self.matrix[rows].astype(np.float64) * wide).sum(axis=1)
            scores[first : first + _CHUNK] = np.maximum.reduceat(products, begins)
        return np.round(scores, _DIGITS)


async def build_index(
    raws: Mapping[str, bytes], texts: Texts, embedding: PersistEmbedding, previous: SearchIndex | None = None
) -> SearchIndex:
    """Return the index of ``raws``, the stored items by their ids; what has not changed is taken from ``previous``.

    An item without texts is found as a blank one is: it scores 0.
    """
    import numpy as np

    if previous is not None and (previous.raws is raws or previous.raws == raws):
        return previous
    rows: dict[str, Matrix] = {}
    if previous is not None:
        for at, item_id in enumerate(previous.ids):
            if raws.get(item_id) == previous.raws[item_id]:
                rows[item_id] = previous.matrix[previous.starts[at] : previous.starts[at + 1]]
    new = {item_id: list(texts(item_id, raw)) or [""] for item_id, raw in raws.items() if item_id not in rows}
    vectors = await embedding.vectors([text for each in new.values() for text in each])
    used = 0
    for item_id, each in new.items():
        rows[item_id] = vectors[used : used + len(each)]
        used += len(each)
    if len({row.shape[1] for row in rows.values()}) > 1:
        # What was built earlier is of the dimension that a stale cache had, or there were blank texts only.
        return await build_index(raws, texts, embedding)
    ids = sorted(rows)
    ordered = [rows[item_id] for item_id in ids]
    starts = np.cumsum([0, *(len(row) for row in ordered)])
    return SearchIndex(raws, ids, starts, np.concatenate(ordered) if ordered else vectors)
