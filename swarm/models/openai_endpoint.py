"""A model that also gives access to its server: the list of models, and the raw objects of the answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.models.openai_chat import OpenAIModel
from swarmchat.swarm.models.server_facts import MAX_MODEL_NAME, MAX_MODELS, is_model_name

_LIST_TIME = 30.0
"""The most seconds of a list of models, which a server has at hand."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """An entry of a server's list of models."""

    id: str
    owner: str = ""


class OpenAIEndpoint(OpenAIModel):
    """An ``OpenAIModel`` that can list the server's models and pass on the raw objects of answers."""

    @property
    def on_object(self) -> Callable[[Mapping[str, Any]], None] | None:
        """See ``ObservableModel``."""
        return self._body.on_object

    @on_object.setter
    def on_object(self, on_object: Callable[[Mapping[str, Any]], None] | None) -> None:
        self._body.on_object = on_object

    async def list_models(self, on_wait: Callable[[str], object] = lambda reason: None) -> list[ListedModel]:
        """Return the models that ``GET BASE_URL/models`` lists, sorted by name; ``on_wait`` gets the reason of a wait.

        Raises ModelUnavailable, ModelBusy, ModelAuthError, ModelNotFound and ModelRefused, after the same retries as a
        chat request.
        """
        from httpx2 import Response

        server = self._server
        return await server.fetch(
            lambda client: client.get(server.version_path + "/models", cast_to=Response),
            self._listed,
            _LIST_TIME,
            on_wait,
        )

    def _listed(self, body: bytes) -> list[ListedModel]:
        """Return the models in the ``body`` of the list, sorted by name. Raises AttemptError."""
        try:
            answer = decode_json(body)
        except ValueError:
            answer = None
        # Some servers send the bare list.
        entries = answer.get("data") if isinstance(answer, dict) else answer
        if isinstance(answer, dict) and answer.get("error"):
            raise self._errors.status(None, answer["error"], {})
        # Some servers send null if they have no model.
        if entries is None and isinstance(answer, dict) and "data" in answer:
            entries = []
        if not isinstance(entries, list):
            raise self._errors.garbage(body[:200].decode("utf-8", "replace"))
        models = [
            ListedModel(entry["id"], str(entry.get("owned_by") or "")[:MAX_MODEL_NAME])
            for entry in entries
            if isinstance(entry, dict) and is_model_name(entry.get("id"))
        ]
        return sorted(models, key=lambda model: model.id)[:MAX_MODELS]
