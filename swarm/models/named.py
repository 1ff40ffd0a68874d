"""Create models from their names, with key and address from the environment."""

import os
from collections.abc import Sequence

from swarmchat.swarm.models.base import Model
from swarmchat.swarm.models.demo import DemoModel, DemoRule
from swarmchat.swarm.models.openai_chat import OpenAIModel


def named_model(name: str, demo: Sequence[DemoRule] = ()) -> Model:
    """Return the model ``name`` of the server at ``OPENAI_BASE_URL``, or of OpenAI, with the key ``OPENAI_API_KEY``.

    These are the variables of the openai package. ``demo`` is the built-in model, which needs no server and follows the
    rules ``demo``.
    """
    if name == "demo":
        return DemoModel(rules=demo)
    return OpenAIModel(
        name, base_url=os.environ.get("OPENAI_BASE_URL") or None, api_key=os.environ.get("OPENAI_API_KEY")
    )
