"""Parse a Redis URL and check all of it before connecting, because redis-py ignores mistakes.

redis://[USER:PASSWORD@]HOST[:PORT][/DB]            rediss:// for TLS
unix://[USER:PASSWORD@]/PATH[?db=N]
redis+cluster://[USER:PASSWORD@]HOST[:PORT][,…]
redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,…]/SERVICE[/DB]
"""

import difflib
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from swarmchat.backends.errors import UnknownBackend

_SECONDS = ("deadline", "timeout")
_TEXT = ("username", "password", "sentinel_username", "sentinel_password")
_TLS_TEXT = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")
_FLAGS = ("ssl", "ssl_check_hostname")
_OPTIONS = (*_SECONDS, "db", *_TEXT, *_TLS_TEXT, *_FLAGS)
_SECRET = ("password", "sentinel_password")
_MASK = "***"
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class RedisTarget:
    """Where and how to connect. ``hosts``: one, several for a cluster or sentinels, none for a socket."""

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    path: str
    service: str
    db: int
    deadline: float
    """Seconds that one call may take, retries included."""
    timeout: float
    """Seconds to wait for one connection or one reply."""
    tls: dict[str, Any]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    masked: str = ""
    """The URL without passwords, for messages."""

    def scrub(self, text: str) -> str:
        """Return ``text`` without the passwords: a server quotes an AUTH command that it cannot parse."""
        for secret in (self.password, self.sentinel_password):
            if secret:
                for form in sorted({secret, quote(secret, safe=""), quote(secret)}, key=len, reverse=True):
                    text = text.replace(form, _MASK)
        return text


def parse_redis_url(url: str) -> RedisTarget:
    """Parse ``url``. Raises UnknownBackend, without quoting a password, for anything invalid."""
    try:
        parts = urlsplit(url)
    except ValueError:
        _refuse(url, "the host is invalid: write HOST, HOST:PORT or [IPV6]:PORT")
    if any(ord(character) < 32 for character in url):
        _refuse(url, "it contains control characters")
    if parts.fragment or "#" in url:
        _refuse(url, "a # in a password must be written %23")
    scheme = parts.scheme.lower()
    options = _options(url, parts.query)
    userinfo, _, location = parts.netloc.rpartition("@")
    username, colon, password = userinfo.partition(":")
    hosts = () if scheme == "unix" else _hosts(url, scheme, location)
    path, service, database = _path(url, scheme, parts.path, location)
    db = _database(url, scheme, options.get("db", database))
    user = unquote(username) or options.get("username")
    secret = unquote(password) if colon else options.get("password")
    target = RedisTarget(
        scheme=scheme,
        hosts=hosts,
        path=path,
        service=service,
        db=db,
        deadline=_seconds(url, options, "deadline", 5.0),
        timeout=_seconds(url, options, "timeout", 2.0),
        tls=_tls(url, scheme, options),
        username=user or None,
        password=secret or None,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        masked=_masked(scheme, userinfo, location, parts.path, options),
    )
    if target.username and not target.password:
        _refuse(url, "it has a user name but no password: write USER:PASSWORD@")
    return target


def _refuse(url: str, reason: str) -> NoReturn:
    # Only the host is shown, and without an @ not even that: anything else may be a password in the wrong place.
    scheme, _, rest = url.partition(":")
    userinfo, at, location = rest.rpartition("@")
    location = f"{_MASK}@{re.split('[/?#]', location)[0]}" if at else "…"
    if at and scheme != "unix" and re.search("[/?#]", userinfo.removeprefix("//")):
        reason = "write /, ? and # in a password as %2F, %3F and %23, and @ after the host as %40"
    # "from None": the parser's own exceptions quote the URL.
    raise UnknownBackend(f"{scheme}://{location}: {reason}") from None


def _options(url: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            # Its name is not quoted: it may be the end of a password with a ?.
            similar = difflib.get_close_matches(name, _OPTIONS, n=1)
            hint = f", did you mean {similar[0]}?" if similar else "."
            _refuse(url, f"unknown option after the ?{hint} Known: {', '.join(_OPTIONS)}")
        if name in options:
            _refuse(url, f"the option {name} appears twice: give it once")
        options[name] = value
    return options


def _hosts(url: str, scheme: str, location: str) -> tuple[tuple[str, int], ...]:
    default_port = 26379 if scheme == "redis+sentinel" else 6379
    names = location.split(",")
    if len(names) > 1 and scheme in ("redis", "rediss"):
        _refuse(url, "several hosts need redis+cluster:// or redis+sentinel://")
    hosts = []
    for name in names:
        match = re.fullmatch(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:/\s]*)(?::([0-9]*))?", name)
        if match is None:
            _refuse(url, "the host is invalid: write HOST, HOST:PORT or [IPV6]:PORT")
        port = int(match[2]) if match[2] else default_port
        if not 0 < port < 65536:
            _refuse(url, f"the port is {port}, expected 1 to 65535")
        host = match[1].strip("[]") or "localhost"
        try:
            host.encode("idna")
        except UnicodeError:
            _refuse(url, "the host name is invalid")
        hosts.append((host, port))
    return tuple(hosts)


def _path(url: str, scheme: str, path: str, location: str) -> tuple[str, str, str]:
    """Return the path of the socket, the sentinel service and the text of the database number."""
    if scheme == "unix":
        if location or not path.strip("/"):
            _refuse(
                url, "the path of the socket is missing: write it after three slashes, as in unix:///run/redis.sock"
            )
        return unquote(path), "", "0"
    components = [unquote(component) for component in path.strip("/").split("/")]
    if scheme == "redis+sentinel":
        service, *rest = components
        if not service or len(rest) > 1:
            _refuse(url, "expected the service after the hosts: redis+sentinel://HOST:PORT/SERVICE[/DB]")
        return "", service, rest[0] if rest else "0"
    if len(components) > 1:
        _refuse(url, "expected only a database number after the host")
    return "", "", components[0] or "0"


def _database(url: str, scheme: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        _refuse(url, "the database is not a number, such as the 0 in redis://localhost/0")
    if scheme == "redis+cluster" and int(text):
        _refuse(url, "a cluster has only database 0")
    return int(text)


def _seconds(url: str, options: dict[str, str], name: str, default: float) -> float:
    text = options.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not 0 < float(text) <= 3600:
        _refuse(url, f"{name} is {text!r}, expected seconds above 0 and up to 3600")
    return float(text)


def _tls(url: str, scheme: str, options: dict[str, str]) -> dict[str, Any]:
    """Return the TLS arguments of the connection; empty when it is not encrypted."""
    flags = {}
    for name in _FLAGS:
        if name in options:
            if options[name].lower() not in _BOOLEANS:
                _refuse(url, f"{name} is {options[name]!r}, expected true or false")
            flags[name] = _BOOLEANS[options[name].lower()]
    if scheme == "rediss" and flags.get("ssl") is False:
        _refuse(url, "rediss:// always encrypts: write redis:// for no encryption")
    if scheme != "rediss" and not flags.get("ssl"):
        for name in (*_TLS_TEXT, "ssl_check_hostname"):
            if name in options:
                _refuse(url, f"{name} is for TLS only: write rediss://, or add ssl=true")
        return {}
    if scheme == "unix":
        _refuse(url, "TLS is not possible over a socket file: remove ssl=true")
    requirement = options.get("ssl_cert_reqs", "required")
    if requirement not in ("required", "none"):
        _refuse(url, f"ssl_cert_reqs is {requirement!r}, expected required or none")
    files = {name: options[name] for name in _TLS_TEXT[:3] if name in options}
    check_hostname = requirement == "required" and flags.get("ssl_check_hostname", True)
    return {"ssl": True, "ssl_cert_reqs": requirement, "ssl_check_hostname": check_hostname, **files}


def _masked(scheme: str, userinfo: str, location: str, path: str, options: dict[str, str]) -> str:
    username, colon, _ = userinfo.partition(":")
    user = f"{username}{':' + _MASK if colon else ''}@" if userinfo else ""
    masked = {name: _MASK if name in _SECRET else value for name, value in options.items()}
    query = "?" + urlencode(masked, safe="*/:") if masked else ""
    return f"{scheme}://{user}{location}{path}{query}"
