"""A server that speaks OpenAI's HTTP API: its client, its key, what its failures mean, and when to try again."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from swarmchat.swarm.errors import ModelAuthError, ModelBusy
from swarmchat.swarm.models.model_errors import AttemptError, Refusals

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_URL = "https://api.openai.com/v1"
LONGEST_WAIT = 60.0
"""Seconds: a server that asks for a longer wait is given up on."""

_FIRST_WAIT, _LONGEST_BACKOFF = 0.5, 8.0


class OpenAIServer:
    """The server at ``base_url`` (OpenAI's own when ``None``), as the models and embedders behind it share it.

    ``api``: what is asked of it, in words, for messages. ``timeout``: seconds without a byte; ``connect_timeout``:
    seconds to connect. ``sleep`` waits between attempts, ``jitter`` returns the part, 0 to 1, of a backoff's second
    half that is waited. Raises ValueError for an address that is no HTTP address.
    """

    def __init__(
        self,
        base_url: str | None,
        api_key: str | None,
        *,
        api: str = "chat API",
        timeout: float,
        connect_timeout: float = 10.0,
        max_retries: int = 4,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._base_url = (base_url or OPENAI_URL).strip().rstrip("/")
        self._api_key = (api_key or "").strip() or None
        parts = urlsplit(self._base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"base_url {base_url!r}: expected an address such as http://localhost:11434/v1")
        self._timeout, self._connect_timeout = timeout, connect_timeout
        self._max_retries = max_retries
        self._jitter = jitter
        self._lock = threading.Lock()
        self._client: AsyncOpenAI | None = None
        self.sleep = sleep
        self.refusals = Refusals(self._base_url, self._api_key, api)

    def warm_up(self) -> None:
        """Import the openai package and make the client, so that the first request need not wait for that.

        May be called from any thread, and more than once. Does no network access.
        """
        with self._lock:
            if self._client is not None:
                return
            from openai import AsyncOpenAI, Timeout

            self._client = AsyncOpenAI(
                base_url=self._base_url,
                # The package insists on a key; servers without keys ignore it.
                api_key=self._api_key or "none",
                timeout=Timeout(self._timeout, connect=self._connect_timeout),
                # Retries are ours, so that each wait can be shown.
                max_retries=0,
            )

    async def client(self) -> "AsyncOpenAI":
        """Return the package's client, made by the first call."""
        while (client := self._client) is None:
            # The import takes half a second: off the event loop.
            await asyncio.to_thread(self.warm_up)
        return client

    async def close(self) -> None:
        """Close the connections. Closing twice is no error, and a later request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            await client.close()

    def check_key(self) -> None:
        """Raise ModelAuthError where no request could succeed: no key for OpenAI, or one that no header can hold."""
        key = self._api_key
        if key is None and urlsplit(self._base_url).hostname == urlsplit(OPENAI_URL).hostname:
            raise ModelAuthError(
                f"{self.refusals.address} needs an API key and none is set: set OPENAI_API_KEY, "
                "or give the address of a server that needs none as base URL"
            )
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise ModelAuthError("the API key holds a space, a line break or a letter outside ASCII: copy it again")

    def wait_before(self, attempt: int, failure: AttemptError) -> float:
        """Return the seconds to wait before ``attempt`` (2 is the first retry), after ``failure``.

        Raises the error of ``failure`` when it will not pass or attempts are used up, and ModelBusy when the server
        asks for too long a wait.
        """
        if not failure.passing or attempt > self._max_retries + 1:
            raise failure.error from None
        if failure.wait is None:
            backoff = min(_FIRST_WAIT * 2.0 ** (attempt - 2), _LONGEST_BACKOFF)
            return backoff * (1 + self._jitter()) / 2
        if failure.wait > LONGEST_WAIT:
            raise ModelBusy(
                f"{self.refusals.address} asks to wait {failure.wait:.0f} s, more than the {LONGEST_WAIT:.0f} s "
                f"that this program waits; try again then. {failure.error}"
            ) from None
        return failure.wait

    def lost(self, error: Exception, opened: bool) -> AttemptError:
        """Return what the loss of the connection means, before (``opened`` false) or after the answer began."""
        cause = error.__cause__ or error
        kind = type(cause).__name__
        if kind.startswith("Connect") or not (opened or kind.endswith("Timeout")):
            late = f"no connection within {self._connect_timeout:g} s" if kind == "ConnectTimeout" else ""
            return self.refusals.no_connection(late or str(cause) or kind)
        return self.refusals.silence(self._timeout) if kind.endswith("Timeout") else self.refusals.cut_off()
