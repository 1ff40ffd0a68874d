"""Who answers."""

from dataclasses import dataclass

from swarmchat.swarm.records import encode_json

DEFAULT_PROMPT = "You are a helpful assistant. Answer briefly and plainly, and say so when you do not know."


@dataclass(frozen=True)
class Agent:
    """One voice of the chat: a name and the instructions that it works by."""

    name: str
    prompt: str = DEFAULT_PROMPT
    """The system message. Empty: none is sent."""

    def system_messages(self) -> tuple[bytes, ...]:
        """Return the agent's system messages as JSON, in the order in which they are sent."""
        return (encode_json({"role": "system", "content": self.prompt}),) if self.prompt else ()


DEFAULT_AGENT = Agent("assistant")
