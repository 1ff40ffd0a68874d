"""The HTTP client for a server with the OpenAI API: key, retries, and the translation of its errors."""

import asyncio
import json
import random
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
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
    from openai import AsyncOpenAI


_TOO_LONG = tuple(
    re.compile(wording, re.IGNORECASE)
    for wording in (
        # OpenAI, vLLM (vllm-project/vllm#20409), SGLang
        r"maximum context length (?:is|of) (\d[\d,]*)",
        # LM Studio (lmstudio-ai/lmstudio-bug-tracker#546)
        r"context length of only (\d[\d,]*)",
        # llama.cpp and LM Studio (ggml-org/llama.cpp#15780, lmstudio-bug-tracker#2256)
        r"exceeds? the available context size \((\d[\d,]*) tokens\)",
        r"exceeds? the available context size.*?\bn_ctx\W+(\d+)",
        r"greater than the context length.*?\bn_ctx\W+(\d+)",
        # Anthropic behind a compatible front (anthropics/claude-code#12186, docker/docker-agent#569)
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
        # Groq and OpenAI: one request above the tokens allowed in a minute never gets through.
        r"request too large for",
        r"prompt is too long|input is too long for requested model|reduce the length of the messages",
    )
)


def named_context_limit(text: str) -> tuple[bool, int | None]:
    """Tell whether a server's error ``text`` says that the context is too long, and the window in tokens it names."""
    for wording in _TOO_LONG:
        if found := wording.search(text):
            return True, int(found[1].replace(",", "")) if wording.groups else None
    return False, None


def asked_wait(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a busy server asks to wait, never less than 0; ``None`` if it does not say.

    Reads ``retry-after-ms`` (OpenAI and Azure), then ``retry-after`` in seconds or as an HTTP date (RFC 9110, 10.2.3),
    which is measured from ``now``. Keys of ``headers`` are looked up in lower case.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None or (seconds := _number(value)) is not None:
        return None if value is None else seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - (now or datetime.now(UTC))).total_seconds())


def _number(value: str | None) -> float | None:
    if value is None or not re.fullmatch(r"\s*\d+(\.\d+)?\s*", value, re.ASCII):
        return None
    return float(value)


class AttemptError(Exception):
    """A failed request: the error to raise, and whether and when to retry."""

    def __init__(self, error: ModelError, *, passing: str = "", wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.passing = passing
        """Why a retry may succeed, in a few words; empty if it cannot."""
        self.wait = wait
        """Seconds that the server asks to wait."""


# Characters of an error text that are looked at: a hostile one could keep the patterns busy for minutes.
_READ = 4_000

# Words that look like a key, or like one that a server has masked itself ("sk-ab****yz"), and bearer headers.
_SECRETS = (
    r"(?i:bearer\s+)\S+|\b(?:sk|pk|rk|gsk|xai|hf|nvapi|pplx|csk)[-_][\w*.-]{6,}|\bAIza[\w*-]{8,}|[^\s*]{0,64}\*{3,}\S*"
)

# Error objects inside a stream have no status: what their type or code stands for.
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


class Refusals:
    """Turns what one server answers instead of an answer into AttemptError; no message holds the key.

    ``api`` is what the server was taken for, in words.
    """

    def __init__(self, base_url: str, api_key: str | None, api: str = "chat API") -> None:
        self._api = api
        parts = urlsplit(base_url)
        # Without user, password and query: they may be secrets.
        self.address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._has_key = bool(api_key)
        echo = "|" + re.escape(api_key[:8]) + r"\S*" if api_key and len(api_key) >= 8 else ""
        self._secrets = re.compile(_SECRETS + echo)

    def clean(self, text: str, length: int = 300) -> str:
        """Return ``text`` fit for a message: no keys, no tags, no control characters, at most ``length`` characters."""
        text = re.sub(r"<[^>]{0,200}>", " ", self._secrets.sub("[key]", text[:_READ]))
        text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
        return text if len(text) <= length else text[: length - 1] + "…"

    def status(self, status: int | None, body: object, headers: Mapping[str, str]) -> AttemptError:
        """Return what an HTTP ``status`` with a decoded error ``body`` means; ``None`` for an error inside a stream."""
        codes = " ".join(str(body.get(field, "")) for field in ("type", "code")) if isinstance(body, dict) else ""
        status = status or _status_in(body, codes.lower())
        words = self.clean(_message(body)).removesuffix(".") or "no reason given"
        said = f"{self.address} says ({status}): {words}"
        too_long, limit = named_context_limit(json.dumps(body)[:_READ])
        if status == 413 or (too_long and status not in (401, 403, 404)):
            window = f"; its window is {limit:,} tokens" if limit else ""
            return AttemptError(ContextTooLong(f"the context is too long{window}. {said}", limit=limit))
        if status in (404, 405) or "model_not_found" in codes:
            if "model_not_found" in codes or re.search(r"\bmodel\b", words, re.IGNORECASE):
                return AttemptError(ModelNotFound(f"{said}. Check the model's name, or install it on the server"))
            return self.wrong_address(f"it says ({status}): {words}")
        if status in (401, 403):
            advice = (
                "check the API key and what it is allowed" if self._has_key else "the server wants an API key: set one"
            )
            return AttemptError(ModelAuthError(f"{said}. Next: {advice}"))
        if status == 402 or "insufficient_quota" in codes:
            return AttemptError(ModelBusy(f"{said}. The account's quota is used up: see its billing page"))
        wait = asked_wait(headers)
        if status == 429:
            return AttemptError(ModelBusy(f"{said}. Try again later"), passing="rate limited", wait=wait)
        if status in (408, 409) or status >= 500:
            error = ModelUnavailable(f"{said}. The server has trouble: try again, or look into its log")
            return AttemptError(error, passing=f"server error {status}", wait=wait)
        return AttemptError(ModelRefused(f"{said}. The same request would be refused again"))

    def no_connection(self, why: str) -> AttemptError:
        """Return the error for a server that cannot be reached."""
        return AttemptError(
            ModelUnavailable(f"cannot connect to {self.address}: {self.clean(why)}. {_where_to_look(self.address)}"),
            passing="no connection",
        )

    def silence(self, seconds: float) -> AttemptError:
        """Return the error for a server that sent nothing for ``seconds``."""
        return AttemptError(
            ModelUnavailable(f"{self.address} sent nothing for {seconds:g} s. Try again, or allow a longer timeout"),
            passing="timed out",
        )

    def cut_off(self) -> AttemptError:
        """Return the error for an answer that broke off."""
        return AttemptError(
            ModelUnavailable(
                f"the answer of {self.address} was cut off before its end. Try again, or look into its log"
            ),
            passing="cut off",
        )

    def garbage(self, excerpt: str) -> AttemptError:
        """Return the error for a body that is not an answer."""
        shown = self.clean(excerpt, 80)
        return AttemptError(
            ModelUnavailable(f"{self.address} sent {shown!r} where a JSON object of the {self._api} was expected")
        )

    def wrong_address(self, why: str) -> AttemptError:
        """Return the error for an address without the OpenAI API."""
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
    """Return the HTTP status of an error object inside a stream; 500 if it names none."""
    for field in ("code", "status", "status_code"):
        value = body.get(field) if isinstance(body, dict) else None
        if str(value).isdigit() and 400 <= int(str(value)) <= 599:
            return int(str(value))
    return next((status for word, status in _STATUS_WORDS.items() if word in codes), 500)


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
        """Return the error for a lost connection, before (``opened`` false) or after the answer began."""
        cause = error.__cause__ or error
        kind = type(cause).__name__
        if kind.startswith("Connect") or not (opened or kind.endswith("Timeout")):
            late = f"no connection within {self._connect_timeout:g} s" if kind == "ConnectTimeout" else ""
            return self.refusals.no_connection(late or str(cause) or kind)
        return self.refusals.silence(self._timeout) if kind.endswith("Timeout") else self.refusals.cut_off()
