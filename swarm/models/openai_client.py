"""HTTP client for servers with the OpenAI API: address, API key, proxies and retries."""

import asyncio
import math
import random
import re
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined] # typeshed omits them

from swarmchat.swarm.common.bounds import MAX_ANSWER, MAX_ANSWER_TIME
from swarmchat.swarm.errors import (
    ConnectionSettingsError,
    DefinitionError,
    ModelAuthError,
    ModelBusy,
    ModelError,
    NetworkForbidden,
)
from swarmchat.swarm.models.quick_get import quick_get
from swarmchat.swarm.providers.failures import AttemptError, ServerErrors

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import APIStatusError, AsyncOpenAI

T = TypeVar("T")


def content_type(response: "Response") -> str:
    """Return the media type of the body, in lower case and without parameters."""
    return response.headers.get("content-type", "").split(";")[0].strip().lower()


OPENAI_URL = "https://api.openai.com/v1"

LONGEST_WAIT = 60.0
"""Seconds; if a server asks for a longer wait, the request fails."""

_FIRST_WAIT, _LONGEST_BACKOFF = 0.5, 8.0
_DROPPED = ("RemoteProtocolError", "ReadError", "WriteError")
"""What the HTTP client reports when a kept connection was closed by the server meanwhile."""
_SECRET = re.compile("auth|key|token|secret|pass|cookie", re.IGNORECASE)
"""Names of headers and parameters whose values no message may contain."""
_LOADING_RETRIES = 300
"""A large model may take minutes to load; each of these retries waits a second, or as long as the server asks."""


def _split_address(base_url: str) -> tuple[str, dict[str, str]]:
    """Return the address to which paths are added, and its query. Raises DefinitionError unless it is an HTTP address.

    Portals show the whole address of an endpoint, so ``/chat/completions`` at its end is left out.
    """
    with suppress(ValueError):
        parts = urlsplit(base_url.strip())
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            path = re.sub(r"/chat/completions$", "", parts.path.rstrip("/")).rstrip("/")
            return urlunsplit((parts.scheme, parts.netloc, path, "", "")), dict(parse_qsl(parts.query))
    raise DefinitionError(f"base_url is {base_url!r}: expected an address such as http://localhost:11434/v1")


class OpenAIServer:
    """A connection to the server at ``base_url`` (``None``: OpenAI), used by models and embedders.

    ``api``: name of the API, for messages. ``headers`` and ``query`` are added to each request; a header replaces one
    of the same name. ``timeout``: seconds without a byte from the server. ``connect_timeout``: seconds to connect.
    ``max_answer``: the most bytes of a body. ``max_answer_time``: the most seconds of a request and its answer.
    ``sleep`` waits between attempts. ``jitter`` returns a random part, 0 to 1, of the second half of a backoff. Raises
    DefinitionError unless ``base_url`` is an HTTP address.
    """

    forbidden = False
    """Whether no server may be asked: set in tests."""

    def __init__(
        self,
        base_url: str | None,
        api_key: str | None,
        *,
        api: str = "chat API",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        timeout: float,
        connect_timeout: float = 10.0,
        max_retries: int = 4,
        max_answer: int = MAX_ANSWER,
        max_answer_time: float = MAX_ANSWER_TIME,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._base_url, in_address = _split_address(base_url or OPENAI_URL)
        self._query = {**in_address, **(query or {})}
        self._headers = dict(headers or {})
        self.version_path = ""
        """What is added to the base URL: /v1 where that turned out to be missing."""
        self._api_key = (api_key or "").strip() or None
        self._timeout, self._connect_timeout = timeout, connect_timeout
        self._max_retries = max_retries
        self.max_answer, self.max_answer_time = max_answer, max_answer_time
        self._jitter = jitter
        self._lock = threading.Lock()
        self._client: AsyncOpenAI | None = None
        self.sleep = sleep
        secrets = [value for name, value in {**self._headers, **self._query}.items() if _SECRET.search(name)]
        self.errors = ServerErrors(self._base_url, [self._api_key or "", *secrets], api)

    def warm_up(self) -> None:
        """Import the openai package and create the client, to save the first request that time.

        May be called from any thread, any number of times. Does not use the network.
        """
        with self._lock:
            if self._client is not None:
                return
            from openai import AsyncOpenAI, Timeout
            from swarmchat.swarm.models.openai_transport import BoundedClient

            timeout = Timeout(self._timeout, connect=self._connect_timeout)
            key_header = {"api-key": self._api_key} if self._is_azure and self._api_key else {}
            try:
                if proxy := self._proxy().partition("=")[2]:
                    # Raises ValueError; the client would find out too late.
                    _ = urlsplit(proxy if "://" in proxy else f"http://{proxy}").port
                http = BoundedClient(
                    max_body=self.max_answer,
                    timeout=timeout,
                    # No proxy is needed to reach this machine. Certificates may be: Python itself reads SSL_CERT_FILE.
                    trust_env=not self.is_local,
                    verify=self._trust(encrypted=bool(proxy) or self._is_https),
                    # A redirect would take the conversation and the key to an address that the user did not choose.
                    follow_redirects=False,
                )
            except (ImportError, OSError, ValueError) as error:
                raise self._bad_environment(error) from error
            self._client = AsyncOpenAI(
                base_url=self._base_url,
                # The package requires a key; servers that need none ignore it.
                api_key=self._api_key or "none",
                default_headers=key_header | self._headers,
                default_query=self._query,
                http_client=http,
                timeout=timeout,
                # This program retries itself, to show each wait.
                max_retries=0,
            )

    def _trust(self, encrypted: bool) -> ssl.SSLContext | bool:
        """Return the certificates to trust; ``True``: those that the HTTP client chooses."""
        if not encrypted:
            # None: nothing encrypted can be reached, and reading them takes a tenth of a short answer's time.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return ssl.create_default_context() if self.is_local and self._is_https else True

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine."""
        host = urlsplit(self._base_url).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or host.startswith("127.") or host == "::1"

    @property
    def _is_https(self) -> bool:
        return urlsplit(self._base_url).scheme == "https"

    def _proxy(self) -> str:
        """Return the environment variable that names the proxy of the connection, with its value; empty if none."""
        parts = urlsplit(self._base_url)
        proxies = getproxies_environment()
        if not self.is_local and not proxy_bypass_environment(parts.hostname or "", proxies):
            for scheme in (parts.scheme, "all"):
                if url := proxies.get(scheme):
                    return f"{scheme.upper()}_PROXY={url}"
        return ""

    @property
    def _is_azure(self) -> bool:
        """Whether the server wants the key in a header of its own."""
        parts = urlsplit(self._base_url)
        return (parts.hostname or "").endswith(".azure.com") or "/openai/deployments/" in parts.path

    def _unreachable(self, why: str) -> AttemptError:
        """Return the error for a connection that failed, with the variable that it may be due to."""
        proxy, untrusted = self._proxy(), "CERTIFICATE_VERIFY_FAILED" in why
        if untrusted and re.search("not valid for|mismatch", why):
            advice = "Use a base URL with the name in the certificate"
        elif untrusted:
            advice = (
                "If you trust the server, set SSL_CERT_FILE to a file with its certificate; if SSL_CERT_FILE or "
                "SSL_CERT_DIR is set already, check what it names"
            )
        elif proxy and "407" in why:
            advice = f"The proxy of {proxy} requires a user and a password: http://USER:PASSWORD@HOST:PORT"
        elif proxy:
            advice = f"The proxy comes from {proxy}: is it running? If not, unset it or set NO_PROXY"
        else:
            advice = ""
        return self.errors.no_connection(why, advice, final=untrusted or "407" in why)

    def _bad_environment(self, error: Exception) -> ConnectionSettingsError:
        """Return the error for a proxy or a certificate file that the HTTP client cannot use."""
        advice = "correct it"
        if isinstance(error, OSError):
            # Only the file for the keys of connections is named by the error.
            key_log = f"SSLKEYLOGFILE={error.filename}" if error.filename else ""
            names = key_log or "the file that SSL_CERT_FILE or SSL_CERT_DIR names"
        else:
            proxies = getproxies_environment()
            names = ", ".join(f"{scheme.upper()}_PROXY={url}" for scheme, url in proxies.items() if scheme != "no")
            if "socks://" in str(error).lower():
                advice = "write socks5:// and install the socksio package"
            elif "socks" in str(error).lower():
                advice = "install the socksio package for SOCKS proxies"
        return ConnectionSettingsError(
            f"{self.errors.clean(names)} cannot be used to connect to {self.errors.address} "
            f"({self.errors.clean(str(error), 100)}): unset the variable, or {advice}"
        )

    async def client(self) -> "AsyncOpenAI":
        """Return the client of the openai package; the first call creates it."""
        while (client := self._client) is None:
            # The import takes half a second, too long for the event loop.
            await asyncio.to_thread(self.warm_up)
        return client

    async def fetch(
        self,
        send: "Callable[[AsyncOpenAI], Awaitable[Response]]",
        parse: Callable[[bytes], T],
        seconds: float = math.inf,
        on_wait: Callable[[str], object] = lambda reason: None,
    ) -> T:
        """Send a request and return its body as ``parse`` reads it, with retries; ``parse`` may raise AttemptError.

        No attempt takes longer than ``seconds``, nor than ``max_answer_time``. ``on_wait`` gets the reason before each
        wait.
        """
        self.check_key()
        attempt, redialled = 1, False
        while True:
            try:
                return parse(await self._body(send, min(seconds, self.max_answer_time)))
            except AttemptError as failure:
                if failure.dropped and not redialled:
                    redialled = True
                    continue
                if self.try_version_path(failure):
                    continue
                attempt += 1
                wait = self.wait_before(attempt, failure)
                on_wait(failure.retry_reason)
            await self.sleep(wait)

    def try_version_path(self, failure: AttemptError) -> bool:
        """Whether to try again with /v1: ``failure`` says that no API is at the base URL, which has no version.

        If it is not there either, the error is that of the base URL.
        """
        if not failure.wrong_address or self._is_azure or re.search(r"/v\d", self._base_url):
            return False
        if self.version_path:
            self.version_path = ""
            return False
        self.version_path = "/v1"
        return True

    async def _body(self, send: "Callable[[AsyncOpenAI], Awaitable[Response]]", seconds: float) -> bytes:
        """Send a request once and return the body of the response. Raises AttemptError."""
        from openai import APIConnectionError, APIStatusError

        client = await self.client()
        try:
            async with asyncio.timeout(seconds):
                response = await send(client)
        except TimeoutError as error:
            is_setting = seconds == self.max_answer_time
            raise (self.errors.too_slow if is_setting else self.errors.late)(seconds) from error
        except APIConnectionError as error:
            raise self.lost(error, opened=False) from error
        except APIStatusError as error:
            raise self.refused(error) from error
        if content_type(response) == "text/html":
            raise self.errors.web_page()
        return response.content

    async def read(self, url: str, seconds: float = 2.0) -> bytes | None:
        """Return the reply to ``GET url``, an address of this server, within ``seconds``; nothing if it fails.

        ``None``: the server is still loading its model.
        """
        with suppress(ModelError):
            self.check_key()
            headers = ({"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}) | self._headers
            url += f"?{urlencode(self._query)}" if self._query else ""
            # A thread: if the caller is cancelled, the openai package may leave a half-open connection behind.
            return await asyncio.to_thread(quick_get, url, headers, seconds, proxy=not self.is_local)
        return b""

    async def close(self) -> None:
        """Close the connections. May be called twice; a later request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            await client.close()

    def check_key(self) -> None:
        """Raise ModelAuthError if the key for OpenAI is missing, or if it cannot be sent in a header.

        Raises NetworkForbidden if no server may be asked.
        """
        if self.forbidden:
            raise NetworkForbidden(
                f"{self.errors.address} was about to be asked, but forbid_network_models() forbids it: use a "
                "ScriptedModel in tests"
            )
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
        retries = _LOADING_RETRIES if failure.loading and self._max_retries else self._max_retries
        if not failure.retry_reason or attempt > retries + 1:
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

    def refused(self, error: "APIStatusError") -> AttemptError:
        """Return the error for a response with an error status."""
        if error.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and self._proxy():
            return self._unreachable("407 Proxy Authentication Required")
        failure = self.errors.status(error.status_code, error.body, error.response.headers)
        failure.refusal = error.status_code, error.response.text
        return failure

    def lost(self, error: Exception, opened: bool) -> AttemptError:
        """Return the error for a connection that failed before or after something of the answer came (``opened``)."""
        cause = error.__cause__ or error
        kind = type(cause).__name__
        if kind == "BodyTooLarge":
            return self.errors.too_long(self.max_answer)
        if kind == "DecodingError":
            return self.errors.garbage(str(cause))
        if kind in _DROPPED and not opened:
            return self.errors.dropped()
        if kind.startswith("Connect") or not (opened or kind.endswith("Timeout")):
            late = f"no connection within {self._connect_timeout:g} s" if kind == "ConnectTimeout" else ""
            return self._unreachable(late or str(cause) or kind)
        return self.errors.silence(self._timeout) if kind.endswith("Timeout") else self.errors.cut_off()
