"""OAuth for MCP servers that are reached over HTTP: tokens in a file of the user, and the login that gets them.

The SDK carries the flow out. Tokens are kept with the address that they were given for, and go to no other one.
"""

import asyncio
import html
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from swarmchat.swarm.common.files import write_atomically
from swarmchat.swarm.errors import McpError

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

    def __init__(self, path: Path, url: str) -> None:
        """``url`` is the address of the server; tokens for another one are not used."""
        self.path = path
        self._url = url
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
            found = {"metadata": context.oauth_metadata, "resource": context.protected_resource_metadata}
            known = {name: each.model_dump(mode="json", exclude_none=True) for name, each in found.items() if each}
            self._data |= known
            if context.auth_server_url:
                self._data["issuer"] = context.auth_server_url
        self._write()

    async def get_client_info(self) -> "OAuthClientInformationFull | None":
        """Return what this program is registered as."""
        from mcp.shared.auth import OAuthClientInformationFull

        return _valid(OAuthClientInformationFull, self._data.get("client"))

    async def set_client_info(self, client_info: "OAuthClientInformationFull") -> None:
        """Keep what this program is registered as; it is written with the tokens."""
        self._data["client"] = client_info.model_dump(mode="json", exclude_none=True)

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            data = json.loads(self.path.read_bytes())
            if isinstance(data, dict) and data.get("url") == self._url:
                return data
        return {}

    def _write(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps({**self._data, "url": self._url}).encode())


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
    url: str,
    redirect_uri: str = "http://127.0.0.1/callback",
    show: Callable[[str], Awaitable[None]] = _never,
    receive: Callable[[], Awaitable["AuthorizationCodeResult"]] = _never,
) -> "OAuthClientProvider":
    """Return what authenticates requests to the server at ``url``. Without ``show`` and ``receive``, nobody logs in."""
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
    made = OAuthClientProvider(url, about, tokens, show, receive)
    tokens.context = made.context
    return made


@asynccontextmanager
async def login_flow(tokens: TokenFile, url: str, show: Show) -> AsyncIterator["OAuthClientProvider"]:
    """Return what authenticates requests by a login: ``show`` gets an address, which the user opens in a browser.

    The browser comes back to a server of this program that listens on this machine only. Raises McpError.
    """
    from mcp.shared.auth import AuthorizationCodeResult

    check_address(url)
    answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            line = (await reader.readuntil(b"\r\n")).decode("latin-1")
            target = urlsplit(line.split(" ")[1])
            fields = {name: values[0] for name, values in parse_qs(target.query).items()}
            known = target.path == _CALLBACK and ("code" in fields or "error" in fields)
            text = "You can close this page." if known else "Not found."
            if "error" in fields:
                text = f"The login failed: {html.escape(fields['error'])}"
            body = f"<!doctype html><title>swarmchat</title><p>{text}</p>".encode()
            status = "200 OK" if known else "404 Not Found"
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
            if known and not answer.done():
                answer.set_result(fields)
        writer.close()

    async def receive() -> AuthorizationCodeResult:
        fields = await answer
        if "code" not in fields:
            raise McpError(f"the login failed: {fields.get('error_description', fields['error'])}")
        return AuthorizationCodeResult(code=fields["code"], state=fields.get("state"), iss=fields.get("iss"))

    async def open_address(address: str) -> None:
        check_address(address)
        show(address)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        tokens.clear()
        yield provider(tokens, url, f"http://127.0.0.1:{port}{_CALLBACK}", open_address, receive)


def check_address(url: str) -> None:
    """Raise McpError unless what is sent to ``url`` stays secret: https, or this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise McpError(f"{parts.scheme}://{parts.hostname} is not safe for a login: expected https://…")
