"""The commands that look at a swarm and at what is kept: agents, tools, init, state, storage, memory, bans, online."""

import json
import re
from pathlib import Path

import pytest
from terminal import CTRL_D, ENTER, at_prompt

SHOP = ("-S", "shop")


@pytest.fixture(params=["disk", "redis"])
def place(request: pytest.FixtureRequest) -> list[str]:
    """The options that name an empty store of each kind that outlives a process."""
    if request.param == "disk":
        return []
    return ["-b", "redis", "--redis-url", request.getfixturevalue("redis_url")]


@pytest.fixture
def shop(program):
    """The program in a folder with the template's swarm in ``shop``."""
    assert program.invoke("init", "shop").code == 0
    return program


def ok(program, *arguments: str) -> str:
    """Return what the command prints, which must end well and complain of nothing."""
    done = program.invoke(*arguments)
    assert (done.err, done.code) == ("", 0)
    return done.out


def refused(program, *arguments: str, code: int) -> str:
    """Return the one line that the command complains with."""
    done = program.invoke(*arguments)
    assert (done.out, done.code) == ("", code)
    assert re.fullmatch(r"error: [^\n]+\n", done.err)
    return done.err.removeprefix("error: ").strip()


def answer(program, *arguments: str) -> str:
    done = program.invoke("chat", *arguments)
    assert done.code == 0
    return done.out.strip()


# What a swarm consists of.


def test_agents_are_listed_and_shown(program):
    listed = ok(program, "agents", "list", "-S", "helpdesk")
    assert listed.startswith("* triage  Answers questions and plays.\n    tools: find_fact, ")
    assert "    handoffs: sales, refunds, support\n  sales  Takes orders.\n" in listed
    agents = json.loads(ok(program, "agents", "list", "-S", "helpdesk", "--json"))
    assert [(agent["name"], agent["default"]) for agent in agents] == [
        ("triage", True),
        ("sales", False),
        ("refunds", False),
        ("support", False),
        ("researcher", False),
    ]
    assert "    agents as tools: researcher\n" in listed
    assert agents[0]["agents"] == ["researcher"]

    triage = ok(program, "agents", "show", "triage", "-S", "helpdesk")
    assert "  gives tasks to researcher (6 requests, 60 s)\n" in triage
    shown = ok(program, "agents", "show", "sales", "-S", "helpdesk")
    assert "You sell phones" in shown
    assert "(made by about_client)" in shown
    assert "  show_order()  Show the order" in shown
    assert shown.endswith("  hands over to triage, refunds\n")
    page = json.loads(ok(program, "agents", "show", "sales", "-S", "helpdesk", "--json"))
    assert page["tools"][0]["function"]["name"] == "fill_order"
    wrong = refused(program, "agents", "show", "sale", "-S", "helpdesk", code=78)
    assert wrong == "swarm 'helpdesk' has no agent 'sale'; did you mean 'sales'?"


def test_the_assistant_is_the_default_swarm(program):
    assert ok(program, "agents", "list") == "* assistant\n"
    assert ok(program, "agents", "graph") == "assistant\n"
    assert ok(program, "tools", "list") == ""


def test_the_graph(program):
    assert ok(program, "agents", "graph", "-S", "helpdesk").splitlines() == [
        "triage",
        "├─ sales",
        "│  ├─ triage ↑",
        "│  └─ refunds",
        "│     ├─ triage ↑",
        "│     ├─ sales ↑",
        "│     └─ support",
        "├─ refunds ↑",
        "└─ support ↑",
        "triage gives tasks to researcher",
    ]
    drawn = ok(program, "agents", "graph", "-S", "helpdesk", "--mermaid").splitlines()
    assert drawn[:3] == ["flowchart LR", '    agent0(["triage"])', '    agent1["sales"]']
    assert "    agent2 --> agent1" in drawn


def test_tools_are_listed_and_called(program):
    assert "show_order()  Show the order and what is still missing.\n    sales, refunds\n" in ok(
        program, "tools", "list", "-S", "helpdesk"
    )
    tools = json.loads(ok(program, "tools", "list", "-S", "helpdesk", "--json"))
    assert tools[0]["name"] == "find_fact"
    assert set(tools[0]["parameters"]["properties"]) == {"about", "limit"}

    call = ["tools", "call", "-S", "helpdesk"]
    assert "a banana is a berry" in ok(program, *call, "find_fact", '{"about": "banana berries"}')
    assert "did you mean 'find_fact'?" in refused(program, *call, "find_fac", code=66)
    assert refused(program, *call, "find_fact", code=2) == "find_fact: about: Field required"
    assert "not valid JSON" in refused(program, *call, "find_fact", "{", code=2)
    # Its author gets the traceback, too.
    failed = program.invoke(*call, "play", '{"square": 99}')
    assert (failed.out, failed.code) == ("", 1)
    assert failed.err.startswith("Traceback (most recent call last):\n")
    assert failed.err.endswith("\nerror: play: ValueError: square 99 is not free\n")


BROKEN = """
from swarmchat.swarm import Agent, DemoRule, Swarm, tool


@tool
def broken(city: str) -> str:
    \"\"\"Fail.\"\"\"
    return {}["sk-abcdefghijklmnop" + city]


swarm = Swarm("broken", [Agent("clerk", "Help.", [broken])], demo=[DemoRule("weather", "broken", {"city": "Rome"})])
"""


def test_the_author_of_a_tool_sees_why_it_failed(program):
    (program.folder / "broken.py").write_text(BROKEN, "utf-8")
    question = ["-S", "broken.py", "-m", "demo", "-b", "memory", "the weather?"]
    assert "Traceback" not in program.invoke(*question).err
    shown = program.invoke("chat", "--debug", *question).err
    assert 'broken.py", line 8, in broken' in shown
    assert 'return {}["***" + city]' in shown


def test_a_tool_called_by_hand_changes_the_session_it_is_called_in(program, place):
    call = ["tools", "call", "-S", "helpdesk", "fill_order", '{"item": "phone"}']
    ok(program, *call)
    assert "has no session on" in refused(program, "state", *place, code=66)
    ok(program, *call, "-s", "s", *place)
    assert json.loads(ok(program, "state", *place, "--json"))["order"]["item"] == "phone"


def test_the_result_of_a_tool_cannot_control_the_terminal(program):
    (program.folder / "loud.py").write_text(
        "from swarmchat.swarm import Agent, Swarm\n"
        "def shout() -> str:\n    return '\\x1b[2Jhello'\n"
        "swarm = Swarm('loud', [Agent('a', 'x', tools=[shout])])\n"
    )
    assert ok(program, "tools", "call", "shout", "-S", "loud.py") == "␛[2Jhello\n"


@pytest.mark.parametrize("command", [("agents", "list"), ("agents", "show", "a"), ("tools", "list")])
def test_the_texts_of_a_swarm_cannot_control_the_terminal(command, program):
    (program.folder / "loud.py").write_text(
        "from swarmchat.swarm import Agent, Swarm\n"
        "def shout() -> None:\n    'Shouts \x1b[2J \u202e aloud.'\n"
        "swarm = Swarm('loud', [Agent('a', 'be \x1b]0;x\x07 kind', description='is \x1b[2J loud', tools=[shout])])\n"
    )
    shown = ok(program, *command, "-S", "loud.py")
    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown) is None
    assert "␛[2J" in shown


def test_the_template_runs(program):
    created = ok(program, "init", "shop").splitlines()
    assert created == ["shop/swarm.toml", "shop/tools.py", "try it: swarmchat chat -S shop"]
    assert "rye bread, 4.20" in answer(program, *SHOP, "-s", "s", "do you have something dark?")
    assert "Which bread, and how many?" in answer(program, *SHOP, "-s", "s", "I want to order")
    assert answer(program, *SHOP, "-s", "s", "2 rye bread") == "Noted: 2 x rye bread."
    assert json.loads(ok(program, "state", "order", "--json")) == {"order": {"bread": "rye bread", "count": 2}}
    assert answer(program, *SHOP, "-s", "s", "damn it") == "Please stay polite."


def test_a_template_overwrites_nothing(shop):
    (shop.folder / "shop/swarm.toml").unlink()
    tools = (shop.folder / "shop/tools.py").read_text()
    wrong = refused(shop, "init", "shop", code=78)
    assert wrong == "shop/tools.py already exists: choose another folder"
    assert not (shop.folder / "shop/swarm.toml").exists()
    assert (shop.folder / "shop/tools.py").read_text() == tools
    (shop.folder / "file").touch()
    assert refused(shop, "init", "file/shop", code=78).startswith("file/shop cannot be written: ")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            ('tools = ["fill_order"]', 'tools = ["fill_ordr"]'),
            "tools.py has no 'fill_ordr'; did you mean 'fill_order'?",
        ),
        (('handoffs = ["orders"]', 'handoffs = ["order"]'), "did you mean 'orders'?"),
        (("[agents.counter]", "[agents.counter]\nprompts = 1"), "unknown key 'agents.counter.prompts'; did you mean"),
        (("index = [", "indx = ["), "unknown key 'storages.breads.indx'; did you mean 'index'?"),
        (('name = "bakery"', "name = "), "line 4"),
        (("(want|buy", "(want|buy("), "is not a regular expression"),
    ],
)
def test_errors_in_a_swarm_are_reported_with_their_place(change, complaint, shop):
    path = shop.folder / "shop/swarm.toml"
    path.write_text(path.read_text().replace(*change, 1))
    wrong = refused(shop, "chat", *SHOP, "hi", code=78)
    assert str(path) in wrong
    assert complaint in wrong


def test_errors_in_the_code_of_a_swarm_name_the_line(shop):
    path = shop.folder / "shop/tools.py"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, "boom = 1 / 0", ""]))
    wrong = refused(shop, "chat", *SHOP, "hi", code=78)
    assert f"{path}" in wrong
    assert str(len(lines) + 1) in wrong
    assert "ZeroDivisionError" in wrong


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("helpdsk", "did you mean 'helpdesk'?"),
        ("nothing.toml", "unknown swarm 'nothing.toml'"),
        (".", "has no swarm.toml: name the swarm's file, or create one with swarmchat init"),
        ("no_module:swarm", "unknown module 'no_module'"),
    ],
)
def test_a_swarm_that_is_not_there(name, complaint, program):
    assert complaint in refused(program, "chat", "-S", name, "hi", code=78)


# What is kept.


def test_state(program, place):
    answer(program, "-S", "helpdesk", "-s", "one", *place, "play 5")
    answer(program, "-S", "helpdesk", "-s", "two", *place, "I want to buy a phone")
    game = '{"board": "O234X6789", "winner": ""}'
    assert ok(program, "state", "-s", "one", *place) == f"game: {game}\n"
    assert json.loads(ok(program, "state", "game", "-s", "one", "--json", *place)) == {"game": json.loads(game)}
    assert "order" in json.loads(ok(program, "state", "--json", *place)), "the last used"
    assert refused(program, "state", "gam", "-s", "one", *place, code=66).endswith("did you mean 'game'?")
    assert "has no session 'three' on " in refused(program, "state", "-s", "three", *place, code=66)

    refused(program, "state", "gam", "-s", "one", "--clear", *place, code=66)
    ok(program, "state", "game", "-s", "one", "--clear", *place)
    assert ok(program, "state", "-s", "one", *place) == ""
    assert "order" in ok(program, "state", "-s", "two", *place)
    ok(program, "state", "-s", "two", "--clear", *place)
    assert json.loads(ok(program, "state", "-s", "two", "--json", *place)) == {}
    log = ok(program, "sessions", "export", "one", "--format", "jsonl", *place)
    assert json.loads(log.splitlines()[-1])["value"] is None
    (program.folder / "one.jsonl").write_text(log + "\n", "utf-8")
    assert "is the same" in ok(program, "replay", str(program.folder / "one.jsonl"))


def test_storage(shop, place):
    items = json.loads(ok(shop, "storage", "breads", *SHOP, "--json", *place))
    assert [item["name"] for item in items.values()] == ["rye bread", "baguette", "raisin bun"]
    assert ok(shop, "storage", "breads", *SHOP, *place).count("\n") == 3
    hits = json.loads(ok(shop, "storage", "breads", *SHOP, "--search", "sweet breakfast", "--json", *place))
    assert hits[0]["item"]["name"] == "raisin bun"
    assert hits[0]["id"] in items
    assert re.match(
        r'[01]\.\d\d  {"name": "raisin bun"', ok(shop, "storage", "breads", *SHOP, "--search", "sweet", *place)
    )
    assert "did you mean 'breads'?" in refused(shop, "storage", "bread", *SHOP, *place, code=78)
    assert "--search needs the swarm" in refused(shop, "storage", "breads", "--search", "x", *place, code=2)


def test_memory(program, place):
    assert ok(program, "memory", *place) == ""
    ok(program, "memory", "name", "--set", "Ann\x1b[31m", *place)
    ok(program, "memory", "age", "--set", "44", *place)
    assert sorted(ok(program, "memory", *place).splitlines()) == ["age: 44", "name: Ann␛[31m"]
    assert json.loads(ok(program, "memory", "age", "--json", *place)) == {"age": 44}
    assert ok(program, "memory", "--client", "bob", *place) == ""
    assert refused(program, "memory", "nam", *place, code=66).endswith("did you mean 'name'?")
    ok(program, "memory", "name", "--remove", *place)
    assert json.loads(ok(program, "memory", "--json", *place)) == {"age": 44}
    assert "no 'name' in the memory" in refused(program, "memory", "name", "--remove", *place, code=66)
    assert "--set and --remove need a NAME" in refused(program, "memory", "--remove", *place, code=2)


def test_a_locale_is_remembered(program, place):
    answer(program, *place, "--locale", "de", "hello")
    assert json.loads(ok(program, "memory", "--json", *place)) == {"locale": "de"}


def test_bans(shop, place):
    bans = [*SHOP, *place]
    assert ok(shop, "bans", "list", *bans) == ""
    ok(shop, "bans", "add", "ann", "--why", "rude\x1b[2J\nand loud", *bans)
    assert re.fullmatch(r"ann  no-swearing  2\S+Z until lifted  rude␛\[2J and loud\n", ok(shop, "bans", "list", *bans))
    (ban,) = json.loads(ok(shop, "bans", "list", "--json", *bans))
    assert (ban["client"], ban["policy"], ban["why"]) == ("ann", "no-swearing", "rude\x1b[2J\nand loud")
    assert answer(shop, *bans, "hello") == "Please stay polite."
    assert "Hello!" in answer(shop, *bans, "--client", "bob", "hello")
    ok(shop, "bans", "lift", "ann", *bans)
    assert "Hello!" in answer(shop, *bans, "hello")
    assert refused(shop, "bans", "lift", "ann", *bans, code=66) == "'ann' is not banned"


def test_bans_name_policies_that_there_are(shop):
    assert "did you mean 'no-swearing'?" in refused(
        shop, "bans", "add", "ann", *SHOP, "--policy", "no-swering", code=78
    )
    assert "has no policies" in refused(shop, "bans", "list", code=2)


def test_a_ban_for_a_time_runs_out(shop, place):
    bans = [*SHOP, *place]
    ok(shop, "bans", "add", "bob", "--for", "3600", *bans)
    ok(shop, "bans", "add", "ann", "--for", "0.001", *bans)
    # Each look takes its time, and one does to run out.
    looks = (json.loads(ok(shop, "bans", "list", "--json", *bans)) for _ in range(1000))
    assert [ban["client"] for ban in next(bans for bans in looks if len(bans) < 2)] == ["bob"]
    assert "Hello!" in answer(shop, *bans, "hello")


# Beside a chat that is open.


def test_a_running_chat_is_online_and_can_be_banned(shop, place):
    where = [*SHOP, *place]
    assert ok(shop, "online", *where) == ""
    with shop.chat("chat", *where, "-s", "s") as screen:
        screen.wait_for(at_prompt)
        present = shop.invoke("online", "--json", *where)
        assert present.code == 1
        (presence,) = json.loads(present.out)
        assert (presence["client"], presence["agent"], presence["pid"]) == ("ann", "counter", screen.process.pid)
        line = shop.invoke("online", *where)
        assert line.code == 1
        assert re.fullmatch(r"ann  \S+  counter  since \S+Z  \S+\n", line.out)

        ok(shop, "bans", "add", "ann", *where)
        screen.send("hello" + ENTER)
        screen.wait_for("policy no-swearing refused your message; you are banned no-swearing ❯ Please stay polite.")
        screen.wait_for(at_prompt)
        ok(shop, "bans", "lift", "ann", *where)
        screen.send("hello" + ENTER)
        screen.wait_for("counter ❯ Hello!")
        screen.wait_for(at_prompt)

        waiting = shop.start("online", "--wait", *where)
        assert waiting.poll() is None
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
        assert waiting.communicate(timeout=20) == ("", "")
        assert waiting.returncode == 0
    assert ok(shop, "online", "--wait", "--json", *where) == "[]\n"


# Approval off a terminal.

OFFICE = '''\
from swarmchat.swarm import Agent, Context, DemoRule, Swarm, tool


@tool(approve="ask")
async def send_mail(ctx: Context, to: str) -> str:
    """Send a mail."""
    await ctx.memory.update({"mailed": to})
    return f"sent to {to}"


swarm = Swarm("office", [Agent("clerk", "You are a clerk.", tools=[send_mail])],
    demo=[DemoRule(r"^mail (?P<to>.+)", "send_mail", {"to": "{to}"}, reply="Done: {result}")])
'''


@pytest.mark.parametrize(
    ("flags", "settings", "status"),
    [
        ([], "", "denied"),
        (["--approve", "ask"], "", "denied"),
        (["--approve", "deny"], "", "denied"),
        (["--approve", "auto"], "", "ok"),
        ([], 'approve = "auto"', "ok"),
        ([], '[approve]\n"send_*" = "auto"\n"*" = "deny"', "ok"),
    ],
)
def test_what_needs_approval_off_a_terminal(flags, settings, status, program):
    Path(program.folder, "office.py").write_text(OFFICE)
    Path(program.home, ".config/swarmchat").mkdir(parents=True)
    Path(program.home, ".config/swarmchat/config.toml").write_text(settings)
    done = program.invoke("chat", "-S", "office.py", *flags, "mail bob")
    assert done.code == 0
    sent = json.loads(ok(program, "memory", "-S", "office.py", "--json"))
    if status == "ok":
        assert (done.out, sent) == ("Done: sent to bob\n", {"mailed": "bob"})
        assert '  clerk · send_mail({"to": "bob"})  ok: sent to bob\n' in done.err
    else:
        assert sent == {}
        assert '  clerk · send_mail({"to": "bob"})  denied (--approve auto allows it)\n' in done.err


def test_an_invalid_approval(program):
    wrong = refused(program, "chat", "--approve", "maybe", "hi", code=78)
    assert 'expected "auto", "ask" or "deny"' in wrong


def test_a_process_of_its_own_says_the_same(program):
    shown = program.run("agents", "graph", "-S", "helpdesk", "--mermaid")
    assert (shown.out.splitlines()[0], shown.err, shown.code) == ("flowchart LR", "", 0)
    wrong = program.run("state", "-s", "none")
    assert (wrong.out, wrong.err, wrong.code) == ("", "error: ann has no session 'none' on disk\n", 66)


# The check of a swarm.


def test_check_finds_no_mistakes_in_the_template(shop):
    assert ok(shop, "check", *SHOP) == "swarm bakery: no mistakes found\n"
    assert json.loads(ok(shop, "check", *SHOP, "--json")) == []
    assert ok(shop, "check") == "swarm assistant: no mistakes found\n"


def test_check_warns_and_fails(shop):
    tools = shop.folder / "shop" / "tools.py"
    text = tools.read_text()
    tools.write_text(text.replace('    """Fill in the order; leave out what is not known yet.\n', '    """\n'))
    assert "warning: tool fill_order" in ok(shop, "check", *SHOP)
    tools.write_text(text.replace("= await ctx.state", "= ctx.state"))
    done = shop.invoke("check", *SHOP)
    assert (done.err, done.code) == ("", 78)
    assert re.fullmatch(r"error: tools\.py:\d+: ctx\.state\('order'\)\.update\(…\) is not awaited; .*\n", done.out)
    (finding,) = json.loads(shop.invoke("check", *SHOP, "--json").out)
    assert finding["severity"] == "error"


def test_check_knows_the_rules_of_approval_and_modules(shop):
    (shop.folder / "swarmchat.toml").write_text('[approve]\n"find_bred" = "deny"\n')
    done = shop.invoke("check", *SHOP)
    assert (done.code, done.out) == (
        78,
        "error: approve 'find_bred': matches no tool of this swarm; did you mean 'find_bread'?\n",
    )
    (shop.folder / "swarmchat.toml").unlink()
    (shop.folder / "kiosk.py").write_text(
        "from swarmchat.swarm import Agent, Swarm, tool\n@tool\ndef pay() -> str:\n    'Pay.'\n"
        "mine = Swarm('kiosk', [Agent('a')])\n"
    )
    assert "warning: kiosk.py:2: no agent has the tool pay" in ok(shop, "check", "-S", "kiosk:mine")
    assert "unknown module" in refused(shop, "check", "-S", "kiosque:mine", code=78)
