"""The check of a swarm: a table of mistakes, each with the finding that it must give."""

import pytest
from swarmchat.swarm.agents.loader import EXAMPLES, load_swarm
from swarmchat.swarm.agents.swarm_check import check_swarm

HEAD = """
import asyncio
from typing import Any, Callable
from swarmchat.swarm import Agent, Context, DemoRule, Policy, State, Storage, Swarm, tool

async def fetch(about: str) -> str:
    return about

"""
TAIL = """
swarm = Swarm("shop", [Agent("clerk", tools=[look])], states=[State("order", default=dict)],
    storages=[Storage("facts", items=["tea"], index=str)])
"""
SOUND = """
async def look(ctx: Context, about: str, limit: int = 3) -> str:
    '''Look something up.'''
    order = ctx.state("order")
    await order.set({"about": about})
    later = fetch(about)
    both = await asyncio.gather(fetch(about), *[fetch(each) for each in about], ctx.memory.get("locale"))
    return await later + str(both) + str(await ctx.storage("facts").take(about))
"""


def findings(folder, code, approve=None):
    (folder / "shop.py").write_text(code)
    return [
        (finding.severity, f"{finding.where}: {finding.problem}; {finding.advice}")
        for finding in check_swarm(load_swarm("shop.py", folder), approve or {})
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_have_no_mistakes(tmp_path, name):
    assert check_swarm(load_swarm(name, tmp_path), {"*": "ask"}) == []


def test_a_sound_swarm_has_no_mistakes(tmp_path):
    assert findings(tmp_path, HEAD + SOUND + TAIL, {"l*": "ask", "*": "auto"}) == []


def test_a_tool_that_is_not_async_may_wait_or_return_the_coroutine(tmp_path):
    code = "def look(ctx: Context, about: str):\n    '''Look.'''\n    ctx.wait(fetch(about))\n    return fetch(about)\n"
    assert findings(tmp_path, HEAD + code + TAIL) == []


UNAWAITED = [
    "fetch(about)",
    "return fetch(about)",
    "return f'{fetch(about)}'",
    "return fetch(about).upper()",
    "return str(fetch(about))",
    "if fetch(about): return ''",
    "text = fetch(about)",
    "text = fetch(about); return text.upper()",
    "text: str = fetch(about); return text",
    "text = fetch(about); return len(text)",
    "return 'a' + fetch(about)",
    "ctx.state('order').set({})",
    "order = ctx.state('order'); order.clear()",
    "return ctx.memory.get('locale')",
    "for item in ctx.storage('facts').list(): pass",
    "return [item for item in ctx.storage('facts').take(about)]",
    "ctx.storage('facts').upsert(about)",
]


@pytest.mark.parametrize("body", UNAWAITED)
def test_a_forgotten_await_is_found(tmp_path, body):
    code = f"async def look(ctx: Context, about: str) -> Any:\n    '''Look.'''\n    {body}\n"
    ((severity, text),) = findings(tmp_path, HEAD + code + TAIL)
    assert severity == "error"
    assert text.startswith("shop.py:11: ")
    assert "(…) is not awaited; write await " in text


def test_a_forgotten_await_is_found_in_what_a_tool_calls(tmp_path):
    code = "async def keep(ctx: Context) -> None:\n    ctx.memory.set('a', 1)\n" + SOUND.replace(
        "order =", "await keep(ctx)\n    order ="
    )
    ((_, text),) = findings(tmp_path, HEAD + code + TAIL)
    assert "ctx.memory.set(…) is not awaited" in text


def test_a_function_that_is_not_async_is_told_to_wait(tmp_path):
    code = "def look(ctx: Context) -> str:\n    '''Look.'''\n    ctx.memory.set('a', 1)\n    return ''\n"
    ((_, text),) = findings(tmp_path, HEAD + code + TAIL)
    assert "write ctx.wait(ctx.memory.set(…))" in text


LOOK = "def look(about: str) -> str:\n    '''Look.'''\n    return about\n"

MISTAKES = [
    (
        "def look(about: str) -> list[str]:\n    '''Look.'''\n    return [helo(each) for each in about]\n",
        TAIL,
        "error",
        "shop.py:11: helo is not defined",
    ),
    (
        "def look(ctx: Context) -> str:\n    '''Look.'''\n    return ctx.spawn('nobody', 'count')\n",
        TAIL,
        "error",
        "ctx.spawn('nobody'): unknown agent",
    ),
    ("def look(about: str) -> str:\n    return about\n", TAIL, "warning", "tool look (shop.py:9): has no docstring"),
    ("def look(about=1) -> str:\n    '''Look.'''\n", TAIL, "warning", "the parameter about has no annotation"),
    ("def look(about: bytes) -> str:\n    '''Look.'''\n", TAIL, "error", "a model cannot fill the parameter about"),
    ("def look(about: Any) -> str:\n    '''Look.'''\n", TAIL, "error", "a model cannot fill the parameter about"),
    ("def look(about: None) -> str:\n    '''Look.'''\n", TAIL, "error", "a model cannot fill the parameter about"),
    ("def look(limit: int = None) -> str:\n    '''Look.'''\n", TAIL, "warning", "the default of limit is None"),
    (
        "def look(ctx: Context) -> str:\n    '''Look.'''\n    ctx.state('ordr')\n",
        TAIL,
        "error",
        "did you mean 'order'?",
    ),
    ("def look(ctx: Context) -> str:\n    '''Look.'''\n    ctx.storage('fact')\n", TAIL, "error", "unknown storage"),
    ("def look(ctx: Context) -> str:\n    '''Look.'''\n    ctx.handoff('clark')\n", TAIL, "error", "unknown agent"),
    (LOOK + "\n@tool\ndef pay() -> str:\n    '''Pay.'''\n", TAIL, "warning", "shop.py:13: no agent has the tool pay"),
    (LOOK + "\ndef pay(ctx: Context) -> str:\n    '''Pay.'''\n", TAIL, "warning", "no agent has the tool pay"),
    (
        LOOK,
        'swarm = Swarm("shop", [Agent("a", tools=[look], handoffs=["c"]), Agent("b", handoffs=["c"]), Agent("c")])',
        "warning",
        "agent b: no handoff leads to it from a",
    ),
    (
        LOOK,
        'swarm = Swarm("s", [Agent("a", tools=[look])], storages=[Storage("f", items=["x"], index=lambda i: i.name)])',
        "error",
        "storage 'f': its index failed",
    ),
    (
        LOOK,
        'swarm = Swarm("s", [Agent("a", tools=[look])], storages=[Storage("f", items=["x"], index=lambda i: 1)])',
        "error",
        "storage f: storage 'f': its index failed",
    ),
    (
        LOOK,
        'swarm = Swarm("s", [Agent("a", tools=[look])], storages=[Storage("f", items=lambda: 1 / 0, index=str)])',
        "error",
        "storage f: storage 'f': the function that returns its items failed",
    ),
    (
        LOOK,
        'swarm = Swarm("s", [Agent("a", tools=[look])], storages=[Storage("f", items=["x"], index=lambda i: " ")])',
        "warning",
        "storage f: item 0 has no text to search",
    ),
    (LOOK, 'swarm = Swarm("s", [Agent("a", tools=[look])], demo=[DemoRule("x", "lok")])', "error", "'lok'; did you"),
    (
        LOOK,
        'swarm = Swarm("s", [Agent("a", tools=[look])], demo=[DemoRule("x", "transfer_to_b")])',
        "error",
        "calls the unknown tool 'transfer_to_b'",
    ),
    (
        LOOK,
        'swarm = Swarm("s", [Agent("a", tools=[look])], demo=[DemoRule("x", "look", {"about": "y", "abot": "y"})])',
        "error",
        "gives look the unknown argument 'abot'; did you mean 'about'?",
    ),
    (
        LOOK,
        'swarm = Swarm("s", [Agent("a", tools=[look])], demo=[DemoRule("x", "look")])',
        "error",
        "calls look without about",
    ),
    (
        LOOK,
        'swarm = Swarm("s", [Agent("a", tools=[look])], policies=[Policy("p", reject_input="")])',
        "error",
        "policy p: reject_input is empty and matches every text",
    ),
    (
        LOOK,
        'swarm = Swarm("s", [Agent("a", tools=[look])], policies=[Policy("p", reject_input=[])])',
        "warning",
        "policy p: reject_input lists no words",
    ),
]


@pytest.mark.parametrize(("code", "tail", "severity", "text"), MISTAKES)
def test_a_mistake_is_found(tmp_path, code, tail, severity, text):
    ((line, message),) = findings(tmp_path, HEAD + code + tail)
    assert (line, text in message) == (severity, True), message


def test_a_rule_of_approval_that_matches_no_tool_is_found(tmp_path):
    ((severity, text),) = findings(tmp_path, HEAD + SOUND + TAIL, {"loook": "deny", "look": "ask"})
    assert (severity, text) == ("error", "approve 'loook': matches no tool of this swarm; did you mean 'look'?")


def test_an_agent_that_a_tool_hands_over_to_is_reachable(tmp_path):
    code = "def look(ctx: Context) -> str:\n    '''Look.'''\n    ctx.handoff('b')\n    return ''\n"
    tail = 'swarm = Swarm("s", [Agent("a", tools=[look]), Agent("b")])'
    assert findings(tmp_path, HEAD + code + tail) == []
    assert findings(tmp_path, HEAD + code.replace("'b'", "ctx.agent") + tail) == []
