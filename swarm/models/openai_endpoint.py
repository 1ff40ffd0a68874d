"""A model server under inspection: the models that it lists, and the raw objects of its answers."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.models.openai_chat import OpenAIModel
from swarmchat.swarm.models.openai_client import AttemptError
from swarmchat.swarm.models.streaming import DataLines

if TYPE_CHECKING:
    from httpx2 import Response


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that a server says it has."""

    id: str
    owner: str = ""


class OpenAIEndpoint(OpenAIModel):
    """The model ``name`` of a server, and the server itself; made like an ``OpenAIModel``."""

    on_object: Callable[[Mapping[str, Any]], None] | None = None
    """See ``ObservableModel``."""

    @property
    def address(self) -> str:
        """Where the server is, without user, password and query."""
        return self._refusals.address

    async def list_models(self) -> list[ListedModel]:
        """Return what ``GET BASE_URL/models`` lists, by name.

        Raises ModelUnavailable, ModelBusy, ModelAuthError, ModelNotFound and ModelRefused, after the same attempts as a
        chat request.
        """
        self._server.check_key()
        attempt = 1
        while True:
            try:
                return self._listed(await self._get_models())
            except AttemptError as failure:
                attempt += 1
                seconds = self._server.wait_before(attempt, failure)
            await self._server.sleep(seconds)

    async def _events(self, response: "Response", lines: DataLines) -> AsyncGenerator[Mapping[str, Any], None]:
        async with aclosing(super()._events(response, lines)) as events:
            async for event in events:
                if self.on_object is not None:
                    self.on_object(event)
                yield event

    async def _get_models(self) -> bytes:
        """Send the request once. Raises AttemptError."""
        from httpx2 import Response
        from openai import APIConnectionError, APIStatusError

        client = await self._server.client()
        try:
            response = await client.get("/models", cast_to=Response)
        except APIConnectionError as error:
            raise self._server.lost(error, opened=False) from error
        except APIStatusError as error:
            raise self._refusals.status(error.status_code, error.body, error.response.headers) from error
        if response.headers.get("content-type", "").split(";")[0].strip().lower() == "text/html":
            raise self._refusals.wrong_address("it answers with a web page")
        return response.content

    def _listed(self, body: bytes) -> list[ListedModel]:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        # Some send the bare list.
        entries = answer.get("data") if isinstance(answer, dict) else answer
        if isinstance(answer, dict) and answer.get("error"):
            raise self._refusals.status(None, answer["error"], {})
        # Some send null where they have none.
        if entries is None and isinstance(answer, dict) and "data" in answer:
            entries = []
        if not isinstance(entries, list):
            raise self._refusals.garbage(body[:200].decode("utf-8", "replace"))
        named = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
        listed = [ListedModel(entry["id"], str(entry.get("owned_by") or "")) for entry in named]
        return sorted(listed, key=lambda each: each.id)
