"""How long a server asks to wait before a retry, in headers, error bodies and texts."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from swarmchat.swarm.common.patterns import lazy_pattern

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = lazy_pattern(r"(\d+(?:\.\d+)?)\s*(ms|[smh])", re.ASCII)
_LIMITS = (
    "x-ratelimit-*-requests",
    "x-ratelimit-*-tokens",
    "x-ratelimit-*",
    "anthropic-ratelimit-requests-*",
    "anthropic-ratelimit-tokens-*",
)
"""Headers of limits, with ``remaining`` and ``reset`` for the star (OpenAI, Groq; OpenRouter; Claude)."""
_FIELDS = {"retry_after_ms": 1000, "retry_after": 1, "retry_after_seconds": 1, "resets_in_seconds": 1}
"""Fields of an error that hold the wait, and how many of their units are a second."""
_A_YEAR = 31_622_400.0
_MILLISECONDS = 100_000_000_000
"""A larger number is a moment in milliseconds, not seconds."""
_WAIT_IN_TEXT = lazy_pattern(
    r"(?:try again|retry|wait|resets?)\s+(?:in|after|for)?\s*((?:\d+(?:\.\d+)?\s*(?:ms|[smh])[a-z]*\s*)+)",
    re.IGNORECASE | re.ASCII,
)


def retry_after(
    headers: Mapping[str, str], error: object = None, text: str = "", now: datetime | None = None
) -> float | None:
    """Return the seconds to wait before a retry, 0 or more, as the server asks; ``None`` if it does not say.

    Reads ``retry-after-ms`` (OpenAI and Azure); ``retry-after`` as seconds or as an HTTP date (RFC 9110, 10.2.3),
    counted from ``now``; in the ``error`` object ``RetryInfo.retryDelay`` or ``quotaResetDelay`` (google.rpc, Gemini)
    or a field such as ``resets_in_seconds``; the reset of a used-up limit in the headers, also those that the error
    repeats (OpenRouter); and "try again in 20s" in its ``text``. ``headers`` must have keys in lower case or ignore
    case.
    """
    now = now or datetime.now(UTC)
    # litellm passes on the provider's headers under its own names.
    prefix = "llm_provider-"
    behind = {name.lower().removeprefix(prefix): headers[name] for name in headers if name.lower().startswith(prefix)}
    headers = {**behind, **{name.lower(): headers[name] for name in headers}} if behind else headers
    for field, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", headers.get(field, ""), re.ASCII):
            return float(headers[field]) / unit
    if (seconds := _seconds_until(headers.get("retry-after", ""), now)) is not None:
        return seconds
    fields = error if isinstance(error, dict) else {}
    details = fields.get("details")
    for detail in details if isinstance(details, list) else ():
        detail = detail if isinstance(detail, dict) else {}
        metadata = detail.get("metadata")
        delay = detail.get("retryDelay") or (metadata.get("quotaResetDelay") if isinstance(metadata, dict) else None)
        seconds = _number(delay.get("seconds")) if isinstance(delay, dict) else _duration(str(delay))
        if seconds is not None:
            return seconds
    for field, unit in _FIELDS.items():
        if (number := _number(fields.get(field))) is not None:
            return number / unit
    for each in (headers, _repeated_headers(fields)):
        for limit in _LIMITS:
            if each.get(limit.replace("*", "remaining")) == "0":
                return _reset(each.get(limit.replace("*", "reset"), ""), now)
    match = _WAIT_IN_TEXT.search(text)
    return _duration(match[1]) if match else None


def _repeated_headers(error: Mapping[str, object]) -> dict[str, str]:
    """Return the headers of the provider behind a gateway, which OpenRouter puts into the error."""
    metadata = error.get("metadata")
    headers = metadata.get("headers") if isinstance(metadata, dict) else None
    return {str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}


def _number(value: object) -> float | None:
    """Return ``value`` as a number of seconds or milliseconds, ``None`` if it is none."""
    text = str(value)
    return float(text) if re.fullmatch(r"\d{1,11}(?:\.\d{1,17})?", text, re.ASCII) else None


def _reset(text: str, now: datetime) -> float | None:
    """Return the seconds until a reset: a duration, seconds, or a moment in seconds, milliseconds or ISO 8601."""
    if re.fullmatch(r"\d{1,13}(?:\.\d{1,9})?", text, re.ASCII):
        number = float(text)
        if number < _A_YEAR:
            return number
        return max(0.0, (number / 1000 if number > _MILLISECONDS else number) - now.timestamp())
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())
    return _duration(text)


def _duration(text: str) -> float | None:
    """Return the seconds in a text such as ``9s``, ``1m20.5s`` or ``20 seconds``; ``None`` if there are none."""
    parts = _DURATION.findall(text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else None


def _seconds_until(date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (aware - now).total_seconds())
    except (ValueError, OverflowError, TypeError):
        return None
