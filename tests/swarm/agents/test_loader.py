"""Swarms in files: where they are found, and what is said of those that are wrong."""

import sys

import pytest
from swarmchat.swarm.agents.loader import EXAMPLES, load_swarm
from swarmchat.swarm.errors import DefinitionError

MODULE = """
from swarmchat.swarm import Agent, Swarm, tool

@tool
def greet(name: str) -> str:
    return "hello " + name

swarm = Swarm("mine", [Agent("host", tools=[greet])])
lonely = Agent("lonely")
number = 3
"""

TOML = """
name = "shop"
default = "front"

[agents.front]
prompt = "You are the front desk."
description = "Greets."
tools = ["greet"]
handoffs = ["back"]
parameters = { temperature = 0 }

[agents.back]
max_tool_calls = 2

[policies.quiet]
reject_input = ["shout"]
ban = true
ban_for = 60

[states.count]
default = 0

[states.order]
type = "Order"
default = { item = "pen" }

[storages.facts]
index = ["name", "about"]
items = [{ name = "pen", about = "writes" }]

[[demo]]
pattern = "hi"
call = "greet"
arguments = { name = "you" }
"""

TOOLS = """
from dataclasses import dataclass

@dataclass
class Order:
    item: str = ""

def greet(name: str) -> str:
    "Greet somebody."
    return "hello " + name
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "swarm.toml").write_text(TOML)
    (tmp_path / "shop" / "tools.py").write_text(TOOLS)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mine.py", "mine"),
        ("mine.py:lonely", "lonely"),
        ("mine:swarm", "mine"),
        ("shop", "shop"),
        ("shop/swarm.toml", "shop"),
    ],
)
def test_where_a_swarm_is_found(folder, name, expected):
    path = list(sys.path)
    assert load_swarm(name, folder).name == expected
    assert load_swarm(str(folder / name) if not name.startswith("mine:") else name, folder).name == expected
    assert sys.path == path
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_can_be_named(tmp_path, name):
    assert load_swarm(name, tmp_path).name.replace("-", "_") == name


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_toml_file_may_begin_with_a_byte_order_mark(folder, encoding):
    (folder / "shop" / "swarm.toml").write_bytes(TOML.replace("front desk", "Empfang für alle").encode(encoding))
    assert load_swarm("shop", folder).agent("front").prompt == "You are the Empfang für alle."


def test_a_swarm_in_toml(folder):
    swarm = load_swarm("shop", folder)
    front = swarm.agent("front")
    assert swarm.default == "front"
    assert front.own_tools[0].definition["function"]["description"] == "Greet somebody."
    assert (front.handoffs, front.parameters) == (("back",), {"temperature": 0})
    assert swarm.agent("back").max_tool_calls == 2
    assert swarm.policies[0].ban_for == 60
    count, order = swarm.states
    assert count.initial() == 0
    assert order.initial().item == "pen"
    assert list(swarm.storages[0].index(swarm.storages[0].items[0])) == ["pen", "writes"]
    assert swarm.demo[0].call == "greet"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("helpdsk", "did you mean 'helpdesk'"),
        ("nowhere.py", "unknown swarm 'nowhere.py': .*nowhere.py does not exist"),
        ("nowhere:swarm", "unknown module 'nowhere'"),
        ("mine.py:number", "'number' has the type int, expected a Swarm or an Agent; swarms in it: 'swarm'"),
        ("mine.py:nothing", "'nothing' is not defined; swarms in it: 'swarm'"),
        (".", "has no swarm.toml"),
    ],
)
def test_what_is_not_found_is_named(folder, name, message):
    with pytest.raises(DefinitionError, match=message):
        load_swarm(name, folder)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = (", r"broken.py, line 1: "),
        ("\n\nimport nothing_of_this_name", r"broken.py, line 3: ModuleNotFoundError"),
        ("\n1 / 0", r"broken.py, line 2: ZeroDivisionError"),
        ("raise SystemExit", r"broken.py, line 1: SystemExit"),
        (
            "from swarmchat.swarm import Agent, Swarm\n\nswarm = Swarm('s', [Agent('a', handoffs=['b'])])",
            r"broken.py, line 3: agent 'a' hands over to 'b'",
        ),
    ],
)
def test_the_line_that_fails_is_named(tmp_path, code, message):
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(DefinitionError, match=message):
        load_swarm("broken.py", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "shop"', "name = shop", r"swarm.toml: .*line 2"),
        ("handoffs", "handofs", r"swarm.toml: unknown key 'agents.front.handofs'; did you mean 'handoffs'"),
        ("[states.count]", "[state.count]", r"unknown key 'state'; did you mean 'states'"),
        ('["back"]', '["bakc"]', r"did you mean 'back'"),
        (
            'tools = ["greet"]',
            'tools = ["great"]',
            r"front.tools: tools.py has no .great.; did you mean .greet.",
        ),
        ('tools = ["greet"]', 'tools = "greet"', r"agents.front.tools is 'greet', expected a list"),
        ("ban = true", "ban = 1", r"policies.quiet.ban is 1, expected true or false"),
        ("ban_for = 60", "ban_for = true", r"ban_for is True, expected a whole number or a number"),
        ('type = "Order"', 'type = "Ordre"', r"states.order.type: tools.py has no 'Ordre'; did you mean 'Order'"),
        ('index = ["name", "about"]', 'index = ["title"]', r"storages.facts.items\[0\] has no field 'title'"),
        ('index = ["name", "about"]', "", r"storages.facts has no index"),
        ("default = 0", "", r"states.count has no default"),
        ('default = "front"', 'default = "frnt"', r"did you mean 'front'"),
        ('pattern = "hi"', 'pattern = "("', r"not a regular expression"),
        ('pattern = "hi"', "", r"demo\[0\] has no pattern"),
        ('reject_input = ["shout"]', "reject_input = [1]", r"quiet.reject_input is \[1\], expected a list of strings"),
        ('handoffs = ["back"]', 'handoffs = [["x"]]', r"agents.front.handoffs is .*expected a list of strings"),
        ('default = { item = "pen" }', "default = { itm = 1 }", r"states.order.default does not fit Order"),
    ],
)
def test_the_key_that_is_wrong_is_named(folder, old, new, message):
    file = folder / "shop" / "swarm.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(DefinitionError, match=message):
        load_swarm("shop", folder)


def test_a_file_of_tools_that_fails_is_named(folder):
    (folder / "shop" / "tools.py").write_text("\n1 / 0")
    with pytest.raises(DefinitionError, match=r"tools.py, line 2: ZeroDivisionError"):
        load_swarm("shop", folder)
    (folder / "shop" / "tools.py").unlink()
    with pytest.raises(DefinitionError, match=r"agents.front.tools names 'greet', but .*tools.py"):
        load_swarm("shop", folder)
