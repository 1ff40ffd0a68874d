"""Agents as tools: how they are defined, and what their authors get wrong."""

from pathlib import Path

import pytest
from swarmchat.swarm import Agent, DefinitionError, Swarm, load_swarm
from swarmchat.swarm.agents.swarm_check import check_swarm

READER = Agent("reader", description="Reads a source")


def test_an_agent_that_is_used_as_a_tool_belongs_to_the_swarm():
    swarm = Swarm("s", [Agent("desk", tools=[READER.as_tool()])])
    (tool,) = swarm.agent("desk").agent_tools
    assert [agent.name for agent in swarm.agents] == ["desk", "reader"]
    assert tool.definition["function"]["description"] == "Reads a source"
    assert list(tool.definition["function"]["parameters"]["properties"]) == ["task"]
    assert Swarm("s", swarm.agents).agents == swarm.agents


def test_a_file_names_agents_as_tools_with_their_limits(tmp_path: Path):
    text = """
[agents.desk]
tools = ["agent:reader"]
[agents.reader]
description = "Reads"
[agents.reader.as_tool]
description = "Reads a source for you"
history = "all"
requests = 3
seconds = 1.5
"""
    (tmp_path / "swarm.toml").write_text(text)
    (tool,) = load_swarm(str(tmp_path), tmp_path).agent("desk").agent_tools
    assert (tool.agent_name, tool.signature.description) == ("reader", "Reads a source for you")
    assert (tool.history, tool.requests, tool.tokens, tool.seconds) == ("all", 3, None, 1.5)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: [Agent("desk", tools=["agent:raeder"]), READER], "unknown agent; did you mean 'reader'?"),
        (lambda: [Agent("desk", tools=["agent:desk"])], "agent 'desk' is its own tool: remove it from its tools"),
        (lambda: [Agent("desk", tools=[READER.as_tool(), READER.as_tool()])], "two tools named 'reader'"),
        (lambda: [Agent("desk", tools=[READER.as_tool()]), Agent("reader", "other")], "two agents are named 'reader'"),
        (lambda: [Agent("desk", tools=[READER.as_tool(history="some")])], "history is 'some', expected none, summary"),
        (lambda: [Agent("desk", tools=[READER.as_tool(requests=0)])], "requests is 0, expected a whole number above 0"),
        (lambda: [Agent("desk", tools=[READER.as_tool(name="transfer_back")])], "reserved for a handoff"),
        (lambda: [Agent("desk", tools=[READER])], "tools[0] is an Agent"),
    ],
)
def test_mistakes_of_authors(make, problem):
    with pytest.raises(DefinitionError) as error:
        Swarm("s", make())
    assert problem in str(error.value)


def test_check_finds_circles_and_tasks_that_are_nested_too_deep():
    chain = [Agent(name, tools=[f"agent:{target}"]) for name, target in ("ab", "bc", "cd", "db")]
    findings = {f"{finding.where}: {finding.problem}" for finding in check_swarm(Swarm("s", chain), {})}
    assert "agent b: is, through other agents, a tool of itself: b → c → d → b" in findings
    assert "agent d: gets no tasks: it is a tool 3 levels deep, and tasks may be nested 2 deep" in findings
    assert "tool b: has no description of what the agent is for" in findings
    assert not any("gets no tasks" in each.problem for each in check_swarm(Swarm("s", chain), {}, 3))
