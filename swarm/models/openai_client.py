"""HTTP client for servers with the OpenAI API: API key, retries, and translation of the server's errors."""

import asyncio
import json
import random
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from swarmchat.swarm.errors import (
    ContextTooLong,
    ModelAuthError,
    ModelBusy,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelUnavailable,
)

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import AsyncOpenAI

T = TypeVar("T")

# How servers say that a request is too long. A group captures the window, in tokens, where the text states it; these
# patterns come first.
_TOO_LONG = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # OpenAI, vLLM (vllm-project/vllm#20409), SGLang
        r"maximum context length (?:is|of) (\d[\d,]*)",
        # LM Studio (lmstudio-ai/lmstudio-bug-tracker#546)
        r"context length of only (\d[\d,]*)",
        # llama.cpp and LM Studio (ggml-org/llama.cpp#15780, lmstudio-bug-tracker#2256)
        r"exceeds? the available context size \((\d[\d,]*) tokens\)",
        r"exceeds? the available context size.*?\bn_ctx\W+(\d+)",
        r"greater than the context length.*?\bn_ctx\W+(\d+)",
        # Anthropic behind a proxy with the OpenAI API (anthropics/claude-code#12186, docker/docker-agent#569)
        r"prompt is too long: [\d,]+ tokens > (\d[\d,]*)",
        r"exceed context limit: [\d,]+ \+ [\d,]+ > (\d[\d,]*)",
        # llama-cpp-python (abetlen/llama-cpp-python#416), vLLM's scheduler (vllm-project/vllm#10440)
        r"exceed context window of (\d[\d,]*)",
        r"is too long and exceeds limit of (\d[\d,]*)",
        # Ollama's runner (ITSpecialist111/ai_automation_suggester#37)
        r"input exceeds context length.*?\blimit\W+(\d+)",
        # Gemini
        r"input token count.*?exceeds the maximum number of tokens allowed \((\d[\d,]*)\)",
        r"context_length_exceeded|exceed_context_size_error|ContextWindowExceeded",
        r"(?:exceeds?|greater than|longer than|larger than) (?:\w+ ){0,4}context (?:length|size|window|limit)",
        r"context (?:length|size|window) (?:has been |was )?exceeded",
        # Groq and OpenAI: a request with more tokens than the limit per minute can never succeed.
        r"request too large for",
        r"prompt is too long|input is too long for requested model|reduce the length of the messages",
    )
)


def named_context_limit(text: str) -> tuple[bool, int | None]:
    """Tell whether the error ``text`` says that the context is too long, and the window in tokens if it states it."""
    for pattern in _TOO_LONG:
        if match := pattern.search(text):
            return True, int(match[1].replace(",", "")) if pattern.groups else None
    return False, None


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds to wait before a retry, 0 or more, as the server asks; ``None`` if it does not say.

    Reads ``retry-after-ms`` (OpenAI and Azure), then ``retry-after``: seconds, or an HTTP date (RFC 9110, 10.2.3),
    counted from ``now``. ``headers`` must have keys in lower case or ignore case.
    """
    for field, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", headers.get(field, ""), re.ASCII):
            return float(headers[field]) / unit
    try:
        moment = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - (now or datetime.now(UTC))).total_seconds())


def content_type(response: "Response") -> str:
    """Return the media type of the body, in lower case and without parameters."""
    return response.headers.get("content-type", "").split(";")[0].strip().lower()


class AttemptError(Exception):
    """A failed attempt: the error to raise if it was the last one, and whether and when to retry."""

    def __init__(self, error: ModelError, *, retry_reason: str = "", wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_reason = retry_reason
        """Why a retry may succeed, for the user; empty if it cannot succeed."""
        self.wait = wait
        """Seconds that the server asks to wait; ``None`` if it does not say."""


# Longer error texts are cut to this many characters: the patterns could take minutes on a malicious one.
_MAX_ERROR_TEXT = 4_000

# API keys, also those that the server has masked already ("sk-ab****yz"), and bearer headers.
_SECRETS = (
    r"(?i:bearer\s+)\S+|\b(?:sk|pk|rk|gsk|xai|hf|nvapi|pplx|csk)[-_][\w*.-]{6,}|\bAIza[\w*-]{8,}|[^\s*]{0,64}\*{3,}\S*"
)

# HTTP status for words in the type or code of an error object inside a stream, which has no status.
_STATUS_WORDS = {
    "auth": 401,
    "permission": 403,
    "not_found": 404,
    "notfound": 404,
    "quota": 429,
    "rate_limit": 429,
    "invalid_request": 400,
    "badrequest": 400,
}


def _where_to_look(address: str) -> str:
    if urlsplit(address).hostname == "api.openai.com":
        return "Is this machine online? Check the network and HTTPS_PROXY"
    return "Is the server running there? Check the base URL"


class ServerErrors:
    """Makes an AttemptError from each failure of one server. No message contains the API key.

    ``api``: name of the expected API, for messages.
    """

    def __init__(self, base_url: str, api_key: str | None, api: str = "chat API") -> None:
        self._api = api
        parts = urlsplit(base_url)
        # Without user, password and query, which may be secret.
        self.address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._has_key = bool(api_key)
        echo = "|" + re.escape(api_key[:8]) + r"\S*" if api_key and len(api_key) >= 8 else ""
        self._secrets = re.compile(_SECRETS + echo)

    def clean(self, text: str, length: int = 300) -> str:
        """Return ``text`` for use in a message: without keys, tags and control characters, cut to ``length``."""
        text = re.sub(r"<[^>]{0,200}>", " ", self._secrets.sub("[key]", text[:_MAX_ERROR_TEXT]))
        text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return text if len(text) <= length else text[: length - 1] + "…"

    def status(self, status: int | None, body: object, headers: Mapping[str, str]) -> AttemptError:
        """Return the error for an HTTP ``status`` (``None`` inside a stream) with the decoded ``body``."""
        codes = " ".join(str(body.get(field, "")) for field in ("type", "code")) if isinstance(body, dict) else ""
        status = status or _status_in(body, codes.lower())
        words = self.clean(_message(body)).removesuffix(".") or "no reason given"
        said = f"{self.address} says ({status}): {words}"
        too_long, limit = named_context_limit(json.dumps(body)[:_MAX_ERROR_TEXT])
        if status == 413 or (too_long and status not in (401, 403, 404)):
            window = f"; its window is {limit:,} tokens" if limit else ""
            return AttemptError(ContextTooLong(f"the context is too long{window}. {said}", limit=limit))
        if status in (404, 405) or "model_not_found" in codes:
            if "model_not_found" in codes or re.search(r"\bmodel\b", words, re.IGNORECASE):
                return AttemptError(ModelNotFound(f"{said}. Check the model's name, or install it on the server"))
            return self.wrong_address(f"it says ({status}): {words}")
        if status in (401, 403):
            advice = (
                "check the API key and its permissions" if self._has_key else "the server wants an API key: set one"
            )
            return AttemptError(ModelAuthError(f"{said}. Next: {advice}"))
        if status == 402 or "insufficient_quota" in codes:
            return AttemptError(ModelBusy(f"{said}. The account's quota is used up: see its billing page"))
        wait = retry_after(headers)
        if status == 429:
            return AttemptError(ModelBusy(f"{said}. Try again later"), retry_reason="rate limited", wait=wait)
        if status in (408, 409) or status >= 500:
            error = ModelUnavailable(f"{said}. The server has a problem: try again, or check its log")
            return AttemptError(error, retry_reason=f"server error {status}", wait=wait)
        return AttemptError(ModelRefused(f"{said}. The same request would be refused again"))

    def no_connection(self, why: str) -> AttemptError:
        """Return the error for a failed connection."""
        return AttemptError(
            ModelUnavailable(f"cannot connect to {self.address}: {self.clean(why)}. {_where_to_look(self.address)}"),
            retry_reason="no connection",
        )

    def silence(self, seconds: float) -> AttemptError:
        """Return the error for a server that sent nothing for ``seconds``."""
        return AttemptError(
            ModelUnavailable(f"{self.address} sent nothing for {seconds:g} s. Try again, or allow a longer timeout"),
            retry_reason="timed out",
        )

    def cut_off(self) -> AttemptError:
        """Return the error for an incomplete answer."""
        return AttemptError(
            ModelUnavailable(
                f"the answer of {self.address} was cut off before its end. Try again, or check the server's log"
            ),
            retry_reason="cut off",
        )

    def garbage(self, excerpt: str) -> AttemptError:
        """Return the error for a body that is not an answer of this API."""
        shown = self.clean(excerpt, 80)
        return AttemptError(
            ModelUnavailable(f"{self.address} sent {shown!r} where a JSON object of the {self._api} was expected")
        )

    def web_page(self) -> AttemptError:
        """Return the error for a server that answers with HTML."""
        return self.wrong_address("it answers with a web page")

    def wrong_address(self, why: str) -> AttemptError:
        """Return the error for a base URL without this API."""
        hint = "" if re.search(r"/v\d", self.address) else f"; did you mean {self.address}/v1?"
        return AttemptError(
            ModelNotFound(f"there is no {self._api} at {self.address}: {why}. Check the base URL{hint}")
        )


def _message(body: object) -> str:
    """Return the message in an error body: OpenAI's, vLLM's, FastAPI's (``detail``), or the body itself."""
    if isinstance(body, dict):
        for field in ("message", "error", "detail"):
            if body.get(field):
                return _message(body[field])
    return body if isinstance(body, str) else json.dumps(body)


def _status_in(body: object, codes: str) -> int:
    """Return the HTTP status that an error object inside a stream stands for; 500 if unknown."""
    for field in ("code", "status", "status_code"):
        value = body.get(field) if isinstance(body, dict) else None
        if str(value).isdigit() and 400 <= int(str(value)) <= 599:
            return int(str(value))
    return next((status for word, status in _STATUS_WORDS.items() if word in codes), 500)


OPENAI_URL = "https://api.openai.com/v1"

LONGEST_WAIT = 60.0
"""Seconds; if a server asks for a longer wait, the request fails."""

_FIRST_WAIT, _LONGEST_BACKOFF = 0.5, 8.0


class OpenAIServer:
    """A connection to the server at ``base_url`` (``None``: OpenAI), used by models and embedders.

    ``api``: name of the API, for messages. ``timeout``: seconds without a byte from the server. ``connect_timeout``:
    seconds to connect. ``sleep`` waits between attempts. ``jitter`` returns a random part, 0 to 1, of the second half
    of a backoff. Raises ValueError unless ``base_url`` is an HTTP address.
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
        self.errors = ServerErrors(self._base_url, self._api_key, api)

    def warm_up(self) -> None:
        """Import the openai package and create the client, to save the first request that time.

        May be called from any thread, any number of times. Does not use the network.
        """
        with self._lock:
            if self._client is not None:
                return
            from openai import AsyncOpenAI, Timeout

            self._client = AsyncOpenAI(
                base_url=self._base_url,
                # The package requires a key; servers that need none ignore it.
                api_key=self._api_key or "none",
                timeout=Timeout(self._timeout, connect=self._connect_timeout),
                # This program retries itself, to show each wait.
                max_retries=0,
            )

    async def client(self) -> "AsyncOpenAI":
        """Return the client of the openai package; the first call creates it."""
        while (client := self._client) is None:
            # The import takes half a second, too long for the event loop.
            await asyncio.to_thread(self.warm_up)
        return client

    async def fetch(self, send: "Callable[[AsyncOpenAI], Awaitable[Response]]", parse: Callable[[bytes], T]) -> T:
        """Send a request and return its body as ``parse`` reads it, with retries; ``parse`` may raise AttemptError."""
        self.check_key()
        attempt = 1
        while True:
            try:
                return parse(await self._body(send))
            except AttemptError as failure:
                attempt += 1
                seconds = self.wait_before(attempt, failure)
            await self.sleep(seconds)

    async def _body(self, send: "Callable[[AsyncOpenAI], Awaitable[Response]]") -> bytes:
        """Send a request once and return the body of the response. Raises AttemptError."""
        from openai import APIConnectionError, APIStatusError

        client = await self.client()
        try:
            response = await send(client)
        except APIConnectionError as error:
            raise self.lost(error, opened=False) from error
        except APIStatusError as error:
            raise self.errors.status(error.status_code, error.body, error.response.headers) from error
        if content_type(response) == "text/html":
            raise self.errors.web_page()
        return response.content

    async def close(self) -> None:
        """Close the connections. May be called twice; a later request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            await client.close()

    def check_key(self) -> None:
        """Raise ModelAuthError if the key for OpenAI is missing, or if it cannot be sent in a header."""
        key = self._api_key
        if key is None and urlsplit(self._base_url).hostname == urlsplit(OPENAI_URL).hostname:
            raise ModelAuthError(
                f"{self.errors.address} needs an API key, but none is set: set OPENAI_API_KEY, "
                "or set the base URL of a server that needs no key"
            )
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise ModelAuthError("the API key contains a space, a line break or a non-ASCII character: copy it again")

    def wait_before(self, attempt: int, failure: AttemptError) -> float:
        """Return the seconds to wait after ``failure`` before ``attempt``; the first retry is attempt 2.

        Raises the error of ``failure`` if a retry cannot help or no attempt is left, and ModelBusy if the server asks
        for more than ``LONGEST_WAIT``.
        """
        if not failure.retry_reason or attempt > self._max_retries + 1:
            raise failure.error from None
        if failure.wait is None:
            backoff = min(_FIRST_WAIT * 2.0 ** (attempt - 2), _LONGEST_BACKOFF)
            return backoff * (1 + self._jitter()) / 2
        if failure.wait > LONGEST_WAIT:
            raise ModelBusy(
                f"{self.errors.address} asks to wait {failure.wait:.0f} s, but this program waits for at most "
                f"{LONGEST_WAIT:.0f} s; try again later. {failure.error}"
            ) from None
        return failure.wait

    def lost(self, error: Exception, opened: bool) -> AttemptError:
        """Return the error for a connection that failed before or after the answer began (``opened``)."""
        cause = error.__cause__ or error
        kind = type(cause).__name__
        if kind.startswith("Connect") or not (opened or kind.endswith("Timeout")):
            late = f"no connection within {self._connect_timeout:g} s" if kind == "ConnectTimeout" else ""
            return self.errors.no_connection(late or str(cause) or kind)
        return self.errors.silence(self._timeout) if kind.endswith("Timeout") else self.errors.cut_off()
