"""An embedder for servers with OpenAI's embeddings API: OpenAI, Ollama, LM Studio, llama.cpp, vLLM."""

import asyncio
import base64
import json
import random
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.bounds import MAX_ANSWER
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.models.openai_client import OpenAIServer

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import AsyncOpenAI
    from swarmchat.swarm.storage.embeddings import Matrix, Vector

_CHARACTERS = 100_000
"""The most in one request: OpenAI takes 300,000 tokens, and some letters are more than one token."""
_VECTOR = 200_000
"""Bytes of one vector in an answer, at most: 8,192 numbers with 24 characters each."""
_CONCURRENT = 4
_SCORES = {"text-embedding-ada": 0.8, "text-embedding-3": 0.3}
"""Unrelated texts measure about 0.75 with ada-002 and 0.2 with its successors:
https://community.openai.com/t/why-are-similarity-scores-lower-with-text-embedding-3-small/1377685"""
_OTHER_SCORE = 0.5


class OpenAIEmbedder:
    """Embeds texts with ``POST BASE_URL/embeddings``.

    ``base_url`` and ``api_key`` are as for ``OpenAIModel``. ``dimensions``: shorter vectors, if the model supports it.
    ``batch``: the largest number of texts in one request. ``timeout``: seconds without a byte from the server.
    ``default_score``: ``None`` for the value known for the model's name. ``prefixes``: texts to put before searches and
    before texts of items, as in the model's training. ``max_retries``: how often a temporary failure is retried.
    ``headers``, ``query``, ``sleep`` and ``jitter`` are as for ``OpenAIServer``. Raises DefinitionError for a
    ``base_url`` that is not HTTP, and for a ``batch`` or ``dimensions`` below 1.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        dimensions: int | None = None,
        batch: int = 256,
        timeout: float = 60.0,
        default_score: float | None = None,
        prefixes: tuple[str, str] = ("", ""),
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        max_retries: int = 4,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if batch < 1 or (dimensions is not None and dimensions < 1):
            raise DefinitionError(f"batch {batch}, dimensions {dimensions}: expected 1 or more")
        self.name = name if dimensions is None else f"{name}@{dimensions}"
        by_name = next((score for start, score in _SCORES.items() if name.startswith(start)), _OTHER_SCORE)
        self.default_score = by_name if default_score is None else default_score
        self.prefixes = prefixes
        """See ``PrefixedEmbedder``."""
        self._model, self._dimensions, self._batch = name, dimensions, batch
        self._base64 = True
        self._server = OpenAIServer(
            base_url,
            api_key,
            api="embeddings API",
            headers=headers,
            query=query,
            timeout=timeout,
            max_retries=max_retries,
            max_answer=max(batch * _VECTOR, MAX_ANSWER),
            sleep=sleep,
            jitter=jitter,
        )

    async def close(self) -> None:
        """Close the connections. Closing twice is no error, and a later request opens new ones."""
        await self._server.close()

    async def embed(self, texts: Sequence[str]) -> "Matrix":
        """Return a row for each of ``texts`` (n x dimension, float32), in their order, as the server sends them.

        Up to 4 requests run at once. Raises the errors of ``ModelError``; no message contains the key.
        """
        import numpy as np

        self._server.check_key()
        slots = asyncio.Semaphore(_CONCURRENT)

        async def ask(batch: list[str]) -> "Matrix":
            async with slots:
                return await self._server.fetch(
                    lambda client: self._post(client, batch), lambda body: self._vectors(body, len(batch))
                )

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(batch)) for batch in _batches(texts, self._batch)]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        try:
            return np.concatenate([task.result() for task in tasks]) if tasks else np.zeros((0, 0), np.float32)
        except ValueError:
            raise self._server.errors.garbage("vectors of different lengths").error from None

    async def _post(self, client: "AsyncOpenAI", texts: list[str]) -> "Response":
        """Send one request, without base64 if the server does not support it."""
        from httpx2 import Response
        from openai import APIStatusError

        while True:
            encoded = self._base64
            body: dict[str, Any] = {"model": self._model, "input": texts}
            if self._dimensions is not None:
                body["dimensions"] = self._dimensions
            if encoded:
                # A quarter of the bytes, and nothing to parse.
                body["encoding_format"] = "base64"
            try:
                return await client.post(
                    self._server.version_path + "/embeddings",
                    content=json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
                    options={"headers": {"Content-Type": "application/json"}},
                    cast_to=Response,
                )
            except APIStatusError as error:
                # vLLM refused it (vllm-project/vllm#6174); others ignore it (lmstudio-ai/lmstudio-bug-tracker#756).
                refused = re.search("base64|encoding_format", error.response.text)
                if not encoded or error.status_code not in (400, 422) or not refused:
                    raise
                self._base64 = False

    def _vectors(self, body: bytes, count: int) -> "Matrix":
        """Return the vectors in the ``body`` of an answer to ``count`` texts. Raises AttemptError."""
        import numpy as np

        try:
            answer = decode_json(body)
            if isinstance(answer, dict) and answer.get("error"):
                raise self._server.errors.status(None, answer["error"], {})
            entries = {entry.get("index", number): entry["embedding"] for number, entry in enumerate(answer["data"])}
            if len(entries) != len(answer["data"]):
                raise ValueError("duplicate index")
            rows = [_decoded(entries.pop(index)) for index in range(count)]
            if entries:
                raise ValueError("more vectors than texts")
            return np.stack(rows)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self._server.errors.garbage(body[:200].decode("utf-8", "replace")) from None


def _decoded(embedding: object) -> "Vector":
    """Return one vector, sent as base64 of little-endian float32 or as a list of numbers."""
    import numpy as np

    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4").astype(np.float32)
    return np.array(embedding, np.float32)


def _batches(texts: Sequence[str], most: int) -> Iterator[list[str]]:
    """Yield ``texts`` in batches of at most ``most`` texts and _CHARACTERS characters, or one text."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == most or size + len(text) > _CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
