"""The message of a turn: a text, a list of content parts, or chat messages of which the user's question is the last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.common.messages import others_of, texts_of
from swarmchat.swarm.errors import DefinitionError

if TYPE_CHECKING:
    from swarmchat.swarm.tools.output import OutputType

Asked = str | Sequence[Mapping[str, Any]]
"""What a turn is begun with."""

_EXPECTED = "expected a text, a list of content parts, or a list of chat messages of which the last is the user's"


@dataclass(frozen=True)
class Question:
    """The user's message, and the messages that were given with it, which come before it."""

    message: Mapping[str, Any]
    earlier: Sequence[Mapping[str, Any]] = ()
    before: str = ""
    """The beginning of the message that is not the user's: no policy checks it."""

    @property
    def text(self) -> str:
        """The text of the user's message."""
        return "\n".join(texts_of(self.message))

    @property
    def checked_text(self) -> str:
        """All that the policies check: the texts of all messages of the user."""
        users = [message for message in self.earlier if message["role"] == "user"]
        text = "\n".join(text for message in (*users, self.message) for text in texts_of(message))
        return text.removeprefix(self.before)

    def with_text(self, text: str) -> "Question":
        """Return the question with ``text`` in place of all texts of its message. Pictures stay."""
        others = others_of(self.message)
        text = self.before + text
        parts = [{"type": "text", "text": text}, *others] if others else text
        return replace(self, message={"role": "user", "content": parts})


def read_question(asked: object) -> Question:
    """Return the question ``asked`` as messages.

    Raises DefinitionError if they are not messages of the chat API, and ImageError for an image that cannot be sent.
    """
    if isinstance(asked, str):
        return Question({"role": "user", "content": clean_text(asked)})
    if not isinstance(asked, Sequence) or isinstance(asked, bytes) or not asked:
        raise DefinitionError(f"the message is {asked!r:.80}: {_EXPECTED}")
    # Not needed for a text.
    from swarmchat.swarm.images.files import check_total, checked
    from swarmchat.swarm.importers.record_builder import message_problem

    if all(isinstance(part, Mapping) and "role" not in part for part in asked):
        asked = [{"role": "user", "content": list(asked)}]
    messages = [dict(each) if isinstance(each, Mapping) else each for each in asked]
    for index, message in enumerate(messages):
        if problem := message_problem(message):
            raise DefinitionError(f"message[{index}]{'' if problem.startswith('.') else ' '}{problem}")
        if isinstance(content := message.get("content"), list):
            message["content"] = content = list(map(checked, content))
            check_total(content)
    if messages[-1]["role"] != "user" or not messages[-1].get("content"):
        raise DefinitionError(f"the message ends with {messages[-1]!r:.80}: {_EXPECTED}")
    return Question(messages[-1], messages[:-1])


def wanted_type(output: Any) -> "OutputType | None":
    """Return the type of answer that ``output`` asks for; ``None`` for none. Raises DefinitionError."""
    if output is None:
        return None
    from swarmchat.swarm.tools.output import output_type

    return output_type(output)
