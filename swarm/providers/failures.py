"""Translate the error responses of servers, in every shape: error bodies, delays, rejections.

Nothing here sends anything. Each failure becomes an ``AttemptError``: what to raise, and whether a retry may help.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.errors import (
    ContextTooLong,
    ModelAuthError,
    ModelBusy,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelUnavailable,
)
from swarmchat.swarm.providers.retry_after import retry_after

# How servers say that a request is too long. A group captures the window, in tokens, where the text states it; these
# patterns come first.
_TOO_LONG = tuple(
    lazy_pattern(pattern, re.IGNORECASE)
    for pattern in (
        # OpenAI, vLLM (vllm-project/vllm#20409, thu-coai/Glyph#9), SGLang
        r"maximum (?:context|model) length(?: is| of|:) (\d[\d,]*)",
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
            limit = match[1].replace(",", "") if pattern.groups else ""
            # A longer number is no window of any model.
            return True, int(limit) if 0 < len(limit) < 12 else None
    return False, None


class AttemptError(Exception):
    """A failed attempt: the error to raise if it was the last one, and whether and when to retry."""

    def __init__(
        self,
        error: ModelError,
        *,
        retry_reason: str = "",
        wait: float | None = None,
        loading: bool = False,
        dropped: bool = False,
        generation: str | None = None,
        wrong_address: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_reason = retry_reason
        """Why a retry may succeed, for the user; empty if it cannot succeed."""
        self.wait = wait
        """Seconds that the server asks to wait; ``None`` if it does not say."""
        self.loading = loading
        """Whether the server still loads its model: it is waited for longer than for other failures."""
        self.dropped = dropped
        """Whether a kept connection was gone: a new one is opened at once."""
        self.generation = generation
        """What the model wrote, if the server refused the model's answer and not the request."""
        self.wrong_address = wrong_address
        """Whether something else than the expected API answers at the base URL."""
        self.refusal = (0, "")
        """Status and body of the error, to learn adaptations from."""


# Longer error texts are cut to this many characters: the patterns could take minutes on a malicious one.
_MAX_ERROR_TEXT = 4_000

# API keys, also those that the server has masked already ("sk-ab****yz"), and bearer headers.
_SECRETS = (
    r"(?i:bearer\s+)\S+|\b(?:sk|pk|rk|gsk|xai|hf|nvapi|pplx|csk)[-_][\w*.-]{6,}|\bAIza[\w*-]{8,}|[^\s*]{0,64}\*{3,}\S*"
)

_USER_INFO = re.compile(r"(\b[a-z][a-z0-9]{1,9}://)[^/\s@]{1,200}@", re.IGNORECASE)
"""User and password in an address, such as that of a proxy."""

# Where servers put the words of an error, in lower case and without "_": OpenAI, Mistral; Cloudflare; FastAPI and vLLM;
# MiniMax; Chinese gateways; Apigee; AWS.
_MESSAGES = (
    *("message", "error", "errors", "faultstring", "fault", "detail", "statusmsg", "msg", "errormsg", "errormessage"),
    *("reason", "title"),
)
_CODES = ("type", "code", "status", "error_type", "error_code")
_SIGNS_OF_ERROR = frozenset(("detail", "msg", "message", "errors", "error_code", "error_msg", "error_message", "fault"))
"""Fields of an object without choices that make it an error, whatever its status."""

# HTTP status for words in the type, code or status of an error object inside a stream, which has no status.
_STATUS_WORDS = {
    "auth": 401,
    "permission": 403,
    "not_found": 404,
    "notfound": 404,
    "quota": 429,
    "rate_limit": 429,
    "resource_exhausted": 429,
    "invalid_request": 400,
    "invalid_argument": 400,
    "badrequest": 400,
}

# Codes of MiniMax: a limit of requests or tokens; a wrong key; a bad request, also for its content.
_MINIMAX = {"1002": 429, "1039": 429, "1004": 401, "2049": 401, "1026": 400, "1027": 400, "2013": 400}

# A 500 for a request that would fail again: a missing switch of llama.cpp, a request that llama-cpp-python cannot read.
_REFUSAL_IN_500 = re.compile(r"--jinja|validation errors? for|unsupported param|tools param requires", re.IGNORECASE)
_NO_MEMORY = re.compile(r"requires more (?:system )?memory|out of memory|insufficient (?:memory|vram)", re.IGNORECASE)
LOADING = re.compile(r"loading model|model(?: \S{1,200})? is (?:currently )?loading|still loading", re.IGNORECASE)
_NO_MONEY = re.compile(r"insufficient[_ ](?:quota|balance|funds|credit)|payment required|budget has been exc", re.I)
_QUOTA = re.compile("exceeded your current quota", re.I)  # Gemini says it of a limit per minute too, with a delay.
_NOT_FOUND = re.compile(r"unexpected endpoint|.{0,40}invalid model name passed", re.I)  # LM Studio: 200; litellm: 400


def _where_to_look(address: str) -> str:
    if urlsplit(address).hostname == "api.openai.com":
        return "Is this machine online? Check the network and HTTPS_PROXY"
    return "Is the server running there? Check the base URL"


class ServerErrors:
    """Makes an AttemptError from each failure of one server. No message contains one of ``secrets``.

    ``secrets``: the API key, empty if there is none, then others. ``api``: name of the expected API, for messages.
    """

    def __init__(self, base_url: str, secrets: Sequence[str] = ("",), api: str = "chat API") -> None:
        self._api = api
        parts = urlsplit(base_url)  # Messages show the address: no user, password and query.
        self.address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._has_key = bool(secrets[0])
        echoes = [re.escape(secret[:8]) + r"\S*" for secret in secrets if len(secret) >= 8]
        self._secrets = re.compile("|".join([_SECRETS, *echoes]))

    def clean(self, text: str, length: int = 300) -> str:
        """Return ``text`` for use in a message: without keys, tags and control characters, cut to ``length``."""
        text = _USER_INFO.sub(r"\1", self._secrets.sub("[key]", text[:_MAX_ERROR_TEXT]))
        text = re.sub(r"<[^>]{0,200}>", " ", text)
        text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return text if len(text) <= length else text[: length - 1] + "…"

    def status(self, status: int | None, body: object, headers: Mapping[str, str]) -> AttemptError:
        """Return the error for an HTTP ``status`` (``None`` inside a stream) with the decoded ``body``."""
        body = error_object(body)
        codes = _codes(body)
        status = status or _status_in(body, codes.lower())
        words = self.clean(_message(body)).removesuffix(".") or "no reason given"
        message = f"{self.address} says ({status}): {words}"
        if isinstance(body, dict) and isinstance(generation := body.get("failed_generation"), str):
            # Groq: the model's call was malformed (huggingface/smolagents#1119); the request was fine.
            return AttemptError(ModelRefused(message), generation=generation)
        too_long, limit = named_context_limit(_as_json(body)[:_MAX_ERROR_TEXT])
        if status == 413 or (too_long and status not in (401, 403, 404)):
            window = f"; its window is {limit:,} tokens" if limit else ""
            return AttemptError(ContextTooLong(f"the context is too long{window}. {message}", limit=limit))
        if status in (404, 405) or "model_not_found" in codes or _NOT_FOUND.match(words):
            if "model_not_found" in codes or re.search(r"\bmodel\b", words, re.IGNORECASE):
                return AttemptError(ModelNotFound(f"{message}. Check the model's name, or install it on the server"))
            return self.wrong_address(f"it says ({status}): {words}")
        if status in (401, 403) or words == "No connected db":  # litellm, for an unknown key
            if re.search("country|region|territory|location", words, re.I):
                return AttemptError(ModelAuthError(f"{message}. Next: use a server that serves your region"))
            check, get = "check the API key and its permissions", "the server requires an API key: set one"
            advice = check if self._has_key else get
            return AttemptError(ModelAuthError(f"{message}. Next: {advice}"))
        wait = retry_after(headers, body, words)
        if status == 402 or _NO_MONEY.search(f"{codes} {words}") or (wait is None and _QUOTA.search(words)):
            return AttemptError(ModelBusy(f"{message}. The account's quota is used up: see its billing page"))
        if 300 <= status < 400:
            target = self.clean(headers.get("location", "")) or "elsewhere"
            return AttemptError(ModelNotFound(f"{message}. It redirects to {target}: set the base URL of that server"))
        if status == 429:
            return AttemptError(ModelBusy(f"{message}. Try again later"), retry_reason="rate limited", wait=wait)
        if status >= 500 and LOADING.search(words):
            error = ModelUnavailable(f"{message}. Try again when it has loaded its model")
            return AttemptError(error, retry_reason="the server is loading its model", wait=wait or 1.0, loading=True)
        if status >= 500 and _REFUSAL_IN_500.search(words):
            advice = "start it with --jinja" if "--jinja" in words else "the same request would be refused again"
            return AttemptError(ModelRefused(f"{message}. Next: {advice}"))
        if status >= 500 and _NO_MEMORY.search(words):
            return AttemptError(ModelUnavailable(f"{message}. Use a smaller model or context, or free some memory"))
        if status in (408, 409) or status >= 500:
            error = ModelUnavailable(f"{message}. The server has a problem: try again, or check its log")
            return AttemptError(error, retry_reason=f"server error {status}", wait=wait)
        return AttemptError(ModelRefused(f"{message}. The same request would be refused again"))

    def in_answer(self, event: Mapping[str, object]) -> AttemptError | None:
        """Return the error that an object of an answer reports, ``None`` if it reports none.

        Servers report errors under ``error``, as the object itself, as ``base_resp`` (MiniMax), and gateways such as
        OpenRouter on a choice (genkit-ai/genkit#6259).
        """
        if event.get("error") or event.get("object") == "error":
            return self.status(None, event.get("error") or event, {})
        feedback = event.get("promptFeedback") or event.get("prompt_feedback")
        if isinstance(feedback, dict) and not event.get("choices") and not event.get("candidates"):
            # Gemini answers 200 and nothing else for a request that its filter blocks.
            blocked = feedback.get("blockReason") or feedback.get("block_reason") or "no reason given"
            reason = self.clean(str(blocked), 60)
            return AttemptError(ModelRefused(f"{self.address} blocked the request ({reason}): change your message"))
        base = event.get("base_resp")
        if isinstance(base, dict) and base.get("status_code"):
            return self.status(_MINIMAX.get(str(base["status_code"])), base, {})
        choices = event.get("choices")
        if choices is None and not _SIGNS_OF_ERROR.isdisjoint(event):
            error = self.status(None, event, {})
            # A welcome page in JSON looks the same.
            error.wrong_address = not _codes(event).strip()
            return error
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("error"):
                return self.status(None, choice["error"], {})
        return None

    def broken_off(self, reason: str) -> AttemptError:
        """Return the error for an answer that the server ended for ``reason``, a finish reason of its own."""
        return AttemptError(
            ModelUnavailable(f"{self.address} ended the answer with {self.clean(reason, 60)!r}. Try again"),
            retry_reason=f"the server said {self.clean(reason, 60)!r}",
        )

    def nothing_sent(self, *, wrong_address: bool = False) -> AttemptError:
        """Return the error for an answer without a single choice."""
        return AttemptError(
            ModelUnavailable(f"{self.address} sent an empty answer. Try again, or check the server's log"),
            retry_reason="empty answer",
            wrong_address=wrong_address,
        )

    def no_connection(self, why: str, advice: str = "", *, final: bool = False) -> AttemptError:
        """Return the error for a failed connection; ``final`` if a retry would fail, too."""
        advice = self.clean(advice, 400) or _where_to_look(self.address)
        return AttemptError(
            ModelUnavailable(f"cannot connect to {self.address}: {self.clean(why)}. {advice}"),
            retry_reason="" if final else "no connection",
        )

    def dropped(self) -> AttemptError:
        """Return the error for a connection that the server closed before it answered."""
        return AttemptError(
            ModelUnavailable(f"{self.address} closed the connection without an answer. Is the server running there?"),
            retry_reason="connection closed",
            dropped=True,
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

    def too_long(self, limit: int) -> AttemptError:
        """Return the error for an answer, or another body, that is longer than ``limit``."""
        return AttemptError(
            ModelUnavailable(
                f"the answer of {self.address} is longer than the {limit:,} characters that max_answer allows. "
                "Ask for less, or raise max_answer"
            )
        )

    def too_slow(self, seconds: float) -> AttemptError:
        """Return the error for an answer that did not end within ``seconds``."""
        return AttemptError(
            ModelUnavailable(
                f"the answer of {self.address} did not end within the {seconds:g} s that max_answer_time allows. "
                "Ask for less, or raise max_answer_time"
            )
        )

    def late(self, seconds: float) -> AttemptError:
        """Return the error for a request that should be quick, and was not answered within ``seconds``."""
        problem = f"{self.address} did not answer within {seconds:g} s. Try again, or check the server's log"
        return AttemptError(ModelUnavailable(problem))

    def garbage(self, excerpt: str, why: str = "") -> AttemptError:
        """Return the error for a body that is not an answer of this API."""
        shown = self.clean(excerpt, 80)
        because = f" ({why})" if why else ""
        return AttemptError(
            ModelUnavailable(
                f"{self.address} sent {shown!r} where a JSON object of the {self._api} was expected{because}"
            ),
            wrong_address=True,
        )

    def web_page(self) -> AttemptError:
        """Return the error for a server that answers with HTML."""
        return self.wrong_address("it answers with a web page")

    def wrong_address(self, why: str) -> AttemptError:
        """Return the error for a base URL without this API."""
        return AttemptError(
            ModelNotFound(f"there is no {self._api} at {self.address}: {why}. Check the base URL"), wrong_address=True
        )


def error_object(body: object) -> object:
    """Return the error in a decoded ``body``: the first of a list (Gemini), or what is under ``error``."""
    for _ in range(4):
        if isinstance(body, list) and body:
            body = body[0]
        elif isinstance(body, dict) and isinstance(body.get("error"), dict | list) and body["error"]:
            body = body["error"]
        else:
            break
    return body


def _codes(body: object) -> str:
    """Return the fields of an error object that name the kind of error."""
    return " ".join(str(body.get(field, "")) for field in _CODES) if isinstance(body, dict) else ""


def _message(body: object, levels: int = 10) -> str:
    """Return the message in an error body, whatever its key, or the body itself; nothing below ``levels``."""
    if levels == 0:
        return ""
    if isinstance(body, dict):
        fields = {str(field).lower().replace("_", ""): value for field, value in body.items()}
        for name in _MESSAGES:
            if fields.get(name):
                metadata = fields.get("metadata")
                raw = metadata.get("raw") if isinstance(metadata, dict) else None
                if isinstance(raw, str):
                    with suppress(ValueError, RecursionError):
                        raw = json.loads(raw)
                # OpenRouter itself says no more than "Provider returned error".
                reason = f": {_message(error_object(raw), levels - 1)}" if raw else ""
                return _message(fields[name], levels - 1) + reason
    if isinstance(body, list):
        # FastAPI lists the error of each field.
        parts = [
            f"{'.'.join(map(str, part['loc']))}: {part['msg']}"
            if isinstance(part, dict) and isinstance(part.get("loc"), list) and "msg" in part
            else _message(part, levels - 1)
            for part in body[:5]
        ]
        return "; ".join(parts)
    if isinstance(body, str) and body.startswith(("{", "[")):
        # Gateways put the whole error of the provider into the text of their own.
        with suppress(ValueError, RecursionError):
            return _message(error_object(json.loads(body)), levels - 1)
    return body if isinstance(body, str) else _as_json(body)


def _as_json(body: object) -> str:
    """Return ``body`` as JSON; nothing if it is nested too deeply."""
    with suppress(RecursionError):
        return json.dumps(body, default=str)
    return ""


def _status_in(body: object, codes: str) -> int:
    """Return the HTTP status that an error object inside a stream stands for; 500 if unknown."""
    for field in ("code", "status", "status_code", "error_code"):
        value = body.get(field) if isinstance(body, dict) else None
        if re.fullmatch(r"[45]\d\d", str(value), re.ASCII):
            return int(str(value))
    return next((status for word, status in _STATUS_WORDS.items() if word in codes), 500)
