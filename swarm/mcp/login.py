"""OAuth for MCP servers over HTTP: the login, and the tokens in a file of the user.

The SDK implements the flow. Tokens are stored with the address that they were issued for, and sent to no other.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.files import write_atomically
from swarmchat.swarm.errors import McpError
from swarmchat.swarm.mcp.server import McpServer
from swarmchat.swarm.mcp.texts import visible

if TYPE_CHECKING:
    from mcp.client.auth import OAuthClientProvider
    from mcp.client.auth.oauth2 import OAuthContext
    from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthToken
    from pydantic import BaseModel

_ModelT = TypeVar("_ModelT", bound="BaseModel")

_MARGIN = 30
"""Seconds before its end at which a token is renewed."""
_CALLBACK = "/callback"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TokenFile:
    """The tokens of one server, in a file that only its user can read: the SDK's TokenStorage."""

    def __init__(self, path: Path, server: McpServer, environment: Mapping[str, str]) -> None:
        """Read the tokens for ``server``; those for another address or registration are not used.

        Raises DefinitionError for a variable of the definition that ``environment`` does not have.
        """
        self.path = path
        self.url = server.expanded(server.url, environment)
        self.port = server.callback_port
        self._client_id = server.expanded(server.client_id, environment)
        self._client_secret = server.expanded(server.client_secret, environment)
        self._data = self._read()
        self.context: OAuthContext | None = None
        """The flow that uses the tokens. Where they are renewed is kept with them, as no server is asked again."""

    @property
    def has_tokens(self) -> bool:
        """Whether somebody has logged in."""
        return "tokens" in self._data

    def clear(self) -> None:
        """Forget what is known, so that a login begins anew. The file stays until there are new tokens."""
        self._data = {}

    async def get_tokens(self) -> "OAuthToken | None":
        """Return the tokens, and tell the flow of them all that a process before this one knew."""
        from mcp.shared.auth import OAuthMetadata, OAuthToken, ProtectedResourceMetadata

        context, data = self.context, self._data
        if not self.has_tokens or context is None:
            return None
        context.oauth_metadata = _valid(OAuthMetadata, data.get("metadata"))
        context.protected_resource_metadata = _valid(ProtectedResourceMetadata, data.get("resource"))
        ends, issuer = data.get("expires_at"), data.get("issuer")
        context.token_expiry_time = ends if isinstance(ends, int | float) else None
        context.auth_server_url = issuer if isinstance(issuer, str) else None
        return _valid(OAuthToken, data["tokens"])

    async def set_tokens(self, tokens: "OAuthToken") -> None:
        """Write new tokens into the file."""
        self._data["tokens"] = tokens.model_dump(mode="json", exclude_none=True)
        self._data.pop("expires_at", None)
        if tokens.expires_in is not None:
            self._data["expires_at"] = time.time() + max(0, int(tokens.expires_in) - _MARGIN)
        if (context := self.context) is not None:
            endpoints = {"metadata": context.oauth_metadata, "resource": context.protected_resource_metadata}
            known = {name: each.model_dump(mode="json", exclude_none=True) for name, each in endpoints.items() if each}
            self._data |= known
            if context.auth_server_url:
                self._data["issuer"] = context.auth_server_url
        self._write()

    async def get_client_info(self) -> "OAuthClientInformationFull | None":
        """Return what this program is registered as: by the server's definition, or by an earlier login."""
        from mcp.shared.auth import OAuthClientInformationFull

        if not self._client_id:
            return _valid(OAuthClientInformationFull, self._data.get("client"))
        method = "none"
        if self._client_secret:
            known = self.context.oauth_metadata if self.context else None
            methods = known.token_endpoint_auth_methods_supported if known else None
            # Each server has to take the first by the standard, which says nothing of those that list only the other.
            posted = methods is not None and "client_secret_basic" not in methods and "client_secret_post" in methods
            method = "client_secret_post" if posted else "client_secret_basic"
        return OAuthClientInformationFull(
            client_id=self._client_id, client_secret=self._client_secret or None, token_endpoint_auth_method=method
        )

    async def set_client_info(self, client_info: "OAuthClientInformationFull") -> None:
        """Keep what this program is registered as; it is written with the tokens."""
        self._data["client"] = client_info.model_dump(mode="json", exclude_none=True)

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            data = decode_json(self.path.read_bytes())
            if isinstance(data, dict) and (data.get("url"), data.get("client_id", "")) == (self.url, self._client_id):
                return data
        return {}

    def _write(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps({**self._data, "url": self.url, "client_id": self._client_id}).encode())


def _valid(kind: "type[_ModelT]", data: object) -> "_ModelT | None":
    """Return ``data`` of the file as ``kind``; ``None`` if it is missing or damaged."""
    with suppress(ValueError):
        return kind.model_validate(data)
    return None


Show = Callable[[str], None]
"""Shows the user the address to open."""


async def _never(*arguments: Any) -> Any:
    raise McpError("it wants a login")


def provider(
    tokens: TokenFile,
    redirect_uri: str = "http://127.0.0.1/callback",
    show: Callable[[str], Awaitable[None]] = _never,
    receive: Callable[[], Awaitable["AuthorizationCodeResult"]] = _never,
) -> "OAuthClientProvider":
    """Return what authenticates requests with ``tokens``. Without ``show`` and ``receive``, nobody logs in."""
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import OAuthClientMetadata

    about = OAuthClientMetadata.model_validate(
        {
            "client_name": "swarmchat",
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }
    )
    client = OAuthClientProvider(tokens.url, about, tokens, show, receive)
    tokens.context = client.context
    return client


@dataclass(frozen=True)
class Login:
    """A login that is under way."""

    auth: "OAuthClientProvider"
    """Authenticates requests, once the user has logged in."""
    take: Callable[[str], bool]
    """Takes the address to which the browser came back; returns False for another one."""


@asynccontextmanager
async def login_flow(tokens: TokenFile, show: Show) -> AsyncIterator[Login]:
    """Begin a login: ``show`` gets an address, which the user opens in a browser.

    The browser comes back to a server of this program that listens on this machine only. Raises McpError.
    """
    from mcp.shared.auth import AuthorizationCodeResult

    check_address(tokens.url)
    answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    def take(address: str) -> bool:
        with suppress(ValueError):
            parts = urlsplit(address.strip())
            fields = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == _CALLBACK and ("code" in fields or "error" in fields):
                if not answer.done():
                    answer.set_result(fields)
                return True
        return False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            line = (await reader.readuntil(b"\r\n")).decode("latin-1")
            known = take(line.split(" ")[1])
            text = "You can close this page." if known else "Not found."
            body = f"<!doctype html><title>swarmchat</title><p>{text}</p>".encode()
            status = "200 OK" if known else "404 Not Found"
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    async def receive() -> AuthorizationCodeResult:
        fields = await answer
        if "code" not in fields:
            raise McpError(f"the login failed: {fields.get('error_description', fields['error'])}")
        return AuthorizationCodeResult(code=fields["code"], state=fields.get("state"), iss=fields.get("iss"))

    async def open_address(address: str) -> None:
        check_address(address)
        if (context := tokens.context) is not None:
            if context.oauth_metadata is not None:
                check_address(str(context.oauth_metadata.token_endpoint))
            # Only now it is known how the server wants the secret.
            context.client_info = await tokens.get_client_info()
        show(address)

    try:
        listening = await asyncio.start_server(serve, "127.0.0.1", tokens.port)
    except OSError as error:
        raise McpError(f"the callback_port {tokens.port} is in use: end the program that uses it") from error
    async with listening as server:
        port = server.sockets[0].getsockname()[1]
        tokens.clear()
        yield Login(provider(tokens, f"http://127.0.0.1:{port}{_CALLBACK}", open_address, receive), take)


def check_address(url: str) -> None:
    """Raise McpError unless what is sent to ``url`` stays secret: https, or this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise McpError(f"{parts.scheme}://{parts.hostname} is not safe for a login: expected https://…")


def login_problem(error: BaseException) -> str:
    """Return what to do about an error of the SDK in a login; empty if that is not known."""
    from mcp.client.auth import OAuthRegistrationError, OAuthTokenError

    if isinstance(error, OAuthRegistrationError):
        text = visible(str(error), 100)
        return f"it does not register new programs automatically ({text}): register swarmchat there, and set client_id"
    if isinstance(error, OAuthTokenError) and re.search("invalid_client|unauthorized_client", str(error)):
        return "it rejects client_id or client_secret: compare them with your registration there"
    return ""
