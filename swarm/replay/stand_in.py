"""Choose the swarm of a replay: the one that the transcript names, or an agent with the tools called in it."""

from pathlib import Path
from typing import Any

from swarmchat.swarm.agents.agent import BACK, DEFAULT_SWARM, Agent, Swarm
from swarmchat.swarm.agents.loader import EXAMPLES, load_swarm
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.messages import calls_of
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.tools.context import ArgumentsError
from swarmchat.swarm.tools.tool import Tool


def named_swarm(conversation: RecordedConversation, plain: Swarm = DEFAULT_SWARM) -> Swarm | None:
    """Return the swarm that ``conversation`` names, if it comes with the program; ``plain`` is the plain assistant.

    A transcript is data: no other swarm that it names is ever loaded.
    """
    name = conversation.about.get("swarm")
    if name in EXAMPLES:
        return load_swarm(str(name), Path("/nowhere"))
    # An imported conversation does not say which agent continued it.
    agents = {record.agent for record in conversation.records if record.type == "request"}
    is_plain = name == DEFAULT_SWARM.name or (not name and agents == DEFAULT_SWARM.names)
    return plain if is_plain and not conversation.foreign else None


def lacks_swarm(conversation: RecordedConversation, mode: str = "verify") -> str | None:
    """Return why a stand-in will not do for ``conversation``, ``None`` if it will."""
    name = conversation.about.get("swarm")
    who = f"the swarm {name!r}" if name else "a swarm that is not named"
    if conversation.whole or (conversation.by_hand and name):
        return f"it was recorded with {who}: name its file with -S"
    if mode in ("tools", "live") and _tools_called(conversation):
        return f"its tools are those of {who}, and --mode {mode} runs them: name its file with -S"
    return None


def swarm_of(conversation: RecordedConversation) -> Swarm:
    """Return a swarm of one agent without instructions: a conversation from elsewhere brings its own."""
    agent = Agent("assistant", "", tools=[_AnyTool(name, _never) for name in _tools_called(conversation)])
    return Swarm(str(conversation.about.get("swarm") or "replay"), [agent])


def offered_tools(conversation: RecordedConversation, swarm: Swarm) -> list[Record]:
    """Return the records of what MCP servers offered; for a hand-written conversation, made of the tools it calls."""
    if not conversation.by_hand:
        return [record for record in conversation.records if record.type == "tools"]
    own = {tool.name for agent in swarm.agents for tool in agent.own_tools}
    names = [name for name in _tools_called(conversation) if name not in own]
    # Nobody wrote down their schemas, so any arguments fit.
    tools = [{"name": name, "parameters": {"type": "object"}} for name in names]
    return [Record("tools", -1, 0, "", agent.name, {"tools": tools}) for agent in swarm.agents if tools]


def _tools_called(conversation: RecordedConversation) -> list[str]:
    names = {
        call.name
        for record in conversation.records
        if record.type == "assistant"
        for call in calls_of(record.message)
        if call.name
    }
    # A call in the text counts only if the tool exists.
    names |= {str(record.data["name"]) for record in conversation.records if record.data.get("name") and record.turn}
    fields = ("tools", "tools_unordered", "tools_at_least", "tools_never")
    expected = [tool for each in conversation.expectations for name in fields for tool in each.fields.get(name, ())]
    names |= {str(name) for tool in expected for name in (tool if isinstance(tool, dict) else [tool])}
    # The way back is a handoff's, whatever a tool was called.
    return sorted(names - {BACK})


class _AnyTool(Tool):
    """A tool that accepts any name and any arguments."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "signature", Tool("stand_in", _never).signature)

    def read_arguments(self, arguments: str) -> dict[str, Any]:
        """Return the arguments, whatever they are. Raises ArgumentsError when they are no JSON object."""
        try:
            values = decode_json(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise ArgumentsError(f"the arguments are not valid JSON ({error})") from error
        if not isinstance(values, dict):
            raise ArgumentsError("the arguments are not a JSON object")
        return values


def _never() -> str:
    """Never called: results come from the transcript."""
    raise AssertionError("a replay calls no tool of its own")
