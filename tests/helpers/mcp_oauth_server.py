"""An MCP server over HTTP that wants a login: `python mcp_oauth_server.py PORT`. Whoever comes is logged in at once.

Each access token holds for LIFETIME seconds, which is how long a server says, not how long it checks. With CALLBACK,
the server takes no new programs: it knows ``desk`` with the secret ``s3cret``, and sends browsers to that address only.
"""

import os
import sys
from itertools import count
from typing import Any

from mcp.server.auth.provider import AccessToken, AuthorizationCode, RefreshToken, construct_redirect_uri
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

PORT = int(sys.argv[1])
URL = f"http://127.0.0.1:{PORT}"
CALLBACK = os.environ.get("CALLBACK")


class Provider:
    """Clients and tokens in memory."""

    def __init__(self) -> None:
        self.numbers = count()
        self.clients: dict[str, Any] = {}
        if CALLBACK:
            self.clients["desk"] = OAuthClientInformationFull.model_validate(
                {
                    "client_id": "desk",
                    "client_secret": "s3cret",
                    "redirect_uris": [CALLBACK],
                    "token_endpoint_auth_method": "client_secret_basic",
                }
            )
        self.codes: dict[str, AuthorizationCode] = {}
        self.tokens: dict[str, AccessToken] = {}
        self.renewals: dict[str, RefreshToken] = {}

    async def get_client(self, client_id: str) -> Any:
        return self.clients.get(client_id)

    async def register_client(self, client_info: Any) -> None:
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: Any, params: Any) -> str:
        code = f"code{len(self.codes)}"
        self.codes[code] = AuthorizationCode(
            code=code,
            scopes=params.scopes or [],
            expires_at=9e12,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        return construct_redirect_uri(str(params.redirect_uri), code=code, state=params.state)

    async def load_authorization_code(self, client: Any, authorization_code: str) -> Any:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client: Any, authorization_code: Any) -> OAuthToken:
        return self.issue(client.client_id, authorization_code.resource)

    async def load_refresh_token(self, client: Any, refresh_token: str) -> Any:
        return self.renewals.get(refresh_token)

    async def exchange_refresh_token(self, client: Any, refresh_token: Any, scopes: list[str]) -> OAuthToken:
        del self.renewals[refresh_token.token]
        return self.issue(client.client_id, f"{URL}/mcp")

    async def load_access_token(self, token: str) -> Any:
        return self.tokens.get(token)

    async def revoke_token(self, token: Any) -> None:
        self.tokens.pop(token.token, None)

    def issue(self, client_id: str, resource: str | None) -> OAuthToken:
        number = next(self.numbers)
        token, renewal = f"access{number}", f"refresh{number}"
        self.tokens = {token: AccessToken(token=token, client_id=client_id, scopes=[], resource=resource)}
        self.renewals[renewal] = RefreshToken(token=renewal, client_id=client_id, scopes=[])
        return OAuthToken(access_token=token, expires_in=int(os.environ["LIFETIME"]), refresh_token=renewal)


server = MCPServer(
    "locked",
    auth_server_provider=Provider(),
    auth=AuthSettings(
        issuer_url=URL,
        resource_server_url=f"{URL}/mcp",
        validate_token_resource=True,
        client_registration_options=ClientRegistrationOptions(enabled=not CALLBACK),
    ),
)


@server.tool()
def secret() -> str:
    """Tell a secret."""
    return "the tea is green"


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=PORT)
