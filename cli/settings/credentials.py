"""The API key, and masks for keys and passwords in settings, requests and answers before they are shown."""

import json
import re
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import quote, unquote

from swarmchat.cli.environment import environment
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.folder import file_of, from_folder
from swarmchat.cli.settings.named_models import KEYS
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.common.patterns import lazy_pattern

HIDDEN = "***"
_SECONDS = 60
"""How long ``api_key_command`` may take: it may ask for a passphrase in a window."""
_SHORTEST = 6
"""Length from which a secret is searched for by its value: shorter ones occur in harmless words."""
_LOGIN = lazy_pattern(r"(\b[A-Za-z][A-Za-z0-9+.-]{1,30}://)[^\s/\"'<>]+@")
_OPTION = lazy_pattern(r"([?&;][\w.-]{0,40}(?:pass|key|token|secret|auth)[\w.-]{0,40}=)[^&;\s\"'<>]+", re.IGNORECASE)
_HEADER = lazy_pattern(
    r"(\b(?:authorization|[\w-]{0,40}api[-_]?key)\b[\\\"']{0,4}\s{0,3}[:=]\s{0,3}[\\\"']{0,4}(?:(?:bearer|basic|token)\s+)?)"
    r"[^\s\"'\\,;&]{6,}",
    re.IGNORECASE,
)
_BEARER = lazy_pattern(r"(\bbearer\s+)[\w.~+/=-]{12,}", re.IGNORECASE)
_KEY = lazy_pattern(r"()\b(?:sk-|gsk_|hf_|xai-|gh[pousr]_|github_pat_|AKIA|AIza)[\w-]{12,}")
"""Keys of model servers and code hosts, by their prefixes."""


def has_key(settings: Settings) -> bool:
    """Whether a key, a variable or a command for one is set."""
    return any(getattr(settings, name) for name in KEYS)


def key_origin(settings: Settings) -> str:
    """Return the origin of the key."""
    return next((settings.origins.get(name, "") for name in KEYS if getattr(settings, name)), "")


def read_key(settings: Settings) -> str | None:
    """Return the key; ``None`` if none is set. Runs the command at most once. Raises ConfigError."""
    if settings.api_key_command is not None:
        return _printed(settings.api_key_command)
    if settings.api_key_env is None:
        return settings.api_key
    if not (key := environment().get(settings.api_key_env)):
        origin = settings.origins.get("api_key_env", "")
        raise ConfigError(f"{origin}: api_key_env names {settings.api_key_env}, which is not set in the environment")
    return key


def secrets_of(settings: Settings) -> set[str]:
    """Return the keys and the passwords in the settings, so that they can be masked."""
    urls = [settings.backend, settings.redis_url, settings.embedding_base_url]
    secrets = set()
    for each in (settings, *map(settings.for_model, settings.models or ())):
        urls.append(each.base_url or "")
        secrets |= {value for table in (each.headers, each.query) for value in (table or {}).values()}
        with suppress(ConfigError):
            secrets.add((read_key(each) or "").strip())
    for server in (settings.mcp or {}).values():
        secrets |= {*server.get("env", {}).values(), *server.get("headers", {}).values()}
        secrets.add(server.get("client_secret", ""))
    return secrets | {password for url in urls if url for password in url_passwords(url)}


@cache
def _printed(command: str) -> str:
    import shlex
    import subprocess

    # Errors contain neither the command nor its output: both may hold the key.
    problem, hint = "", "run it yourself to see why"
    try:
        words = shlex.split(command)
        # Standard input may be the user's question.
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS)  # noqa: S603 - the user's own
    except (ValueError, OSError, IndexError) as error:
        problem = f"cannot be run ({getattr(error, 'strerror', None) or error})"
        hint = "write a program with its arguments, as for a shell"
    except subprocess.TimeoutExpired:
        problem = f"has not ended within {_SECONDS} s"
    else:
        key = done.stdout.decode("utf-8", "replace").strip()
        if done.returncode == 0 and key:
            return key
        problem = f"ended with exit code {done.returncode}" if done.returncode else "printed nothing"
    raise ConfigError(f"api_key_command {problem}: {hint}")


def shown_value(name: str, value: Any) -> Any:
    """Return the value of a setting without keys and passwords."""
    if value is None and name.endswith("lifetime"):
        return "none"
    if value is None or isinstance(value, bool | int | float):
        return value
    if name in ("api_key", "headers", "query", "env", "client_secret"):
        return dict.fromkeys(value, HIDDEN) if isinstance(value, Mapping) else HIDDEN
    if name in ("models", "mcp"):
        return {model: {each: shown_value(each, table[each]) for each in table} for model, table in value.items()}
    if name == "api_key_command":
        # Its arguments may contain a secret.
        return f"{str(value).split()[0]} {HIDDEN}" if len(str(value).split()) > 1 else value
    if isinstance(value, str):
        return mask_url(value)
    return dict(value) if hasattr(value, "items") else list(value)


def mask_url(text: str) -> str:
    """Return ``text`` without the login and the options of a URL, if it is one."""
    if not (scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text)):
        return text
    # Up to the last @: a password that should have been percent-encoded may contain more.
    text = re.sub(rf"\A({re.escape(scheme[0])}//)[^\s]*@", rf"\1{HIDDEN}@", text)
    # A database that is no number may be a password that was meant for another place.
    place = r"\A((?:rediss?|redis\+cluster)(?:://[^/?\s]*/|:(?!//)))(?!\d*(?:\?|\Z))[^?\s]*"
    text = re.sub(place, rf"\1{HIDDEN}", text)
    return re.sub(
        r"([?&;][^=&;]{0,80}(?:pass|key|token|secret|auth)[^=&;]{0,80}=)[^&;\s]*", rf"\1{HIDDEN}", text, flags=re.I
    )


def mask_secrets(value: Any, secrets: Iterable[str]) -> Any:
    """Return ``value``, which is JSON, with each of ``secrets`` masked in texts and numbers.

    So is whatever looks like a secret: logins in URLs, authorization headers, and keys of well-known servers.
    """
    forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
    # The longest first: one may be part of another.
    return _masked(value, sorted(forms, key=len, reverse=True))


def _forms(secret: str) -> set[str]:
    """Return ``secret`` as it is written in a text, in a URL, and in JSON inside a string."""
    return {
        secret,
        quote(secret, safe="", errors="surrogatepass"),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }


def _masked(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {_masked(name, secrets): _masked(each, secrets) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, secrets) for each in value]
    if not isinstance(value, str):
        # A key may consist of digits.
        return HIDDEN if any(secret in json.dumps(value) for secret in secrets) else value
    for secret in secrets:
        value = value.replace(secret, HIDDEN)
    for pattern in (_LOGIN, _HEADER, _BEARER, _KEY):
        value = pattern.sub(rf"\1{HIDDEN}{'@' if pattern is _LOGIN else ''}", value)
    return _OPTION.sub(rf"\1{HIDDEN}", value)


def url_passwords(text: str) -> set[str]:
    """Return the password in ``text``, if it is a URL, as it is written and decoded."""
    match = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/]*?:(.*)@", text)
    return {match[1], unquote(match[1])} if match else set()


def as_text(value: Any) -> str:
    """Return a value as it is written in TOML; tables are written as JSON."""
    if value is None:
        return "(not set)"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def check_key_stays_home(settings: Settings, name: str = "base_url") -> None:
    """Refuse to send the user's key or headers to an address that came with a folder, perhaps somebody else's."""
    origin = settings.origins.get(name, "")
    if not from_folder(origin):
        return
    origins = {"key": key_origin(settings) if has_key(settings) else ""}
    origins |= {each: settings.origins.get(each, "") for each in ("headers", "query") if getattr(settings, each)}
    for secret, ours in origins.items():
        if ours and file_of(ours) != file_of(origin):
            raise ConfigError(
                f"{origin} sets {name}, and the {secret} comes from {ours}: a folder must not choose who gets your "
                f"{secret}. If you trust it, set {name} = {getattr(settings, name)} yourself"
            )


def traceback_of(error: Exception, settings: Settings) -> str:
    """Return the traceback of ``error`` for the author of a tool, without the secrets in ``settings``."""
    return str(mask_secrets("".join(traceback.format_exception(error)), secrets_of(settings))).rstrip()
