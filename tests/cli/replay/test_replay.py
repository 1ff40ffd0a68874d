"""``swarmchat replay``: verify, tools, live, show; updates, reports, tests; and files that cannot be used."""

import json
import os
import re
import signal
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import pytest
import warm
from model_server import failure

DIFFERENT, BAD = 3, 65

BY_HAND = [
    {"type": "session", "swarm": "helpdesk"},
    {"type": "user", "text": "are bananas berries?"},
    {"type": "assistant", "text": 'Wait. <tool_call>{"name": "find_fact", "arguments": {"about": "x"}}</tool_call>'},
    {"type": "tool", "result": "A banana is a berry."},
    {"type": "assistant", "text": "Yes, it is a berry."},
    {"type": "expect", "agent": "triage", "contains": "BERRY", "tools": ["find_fact"], "rescues": ["leaked_call"]},
    {"type": "user", "text": "I want a phone"},
    {"type": "assistant", "calls": [{"name": "transfer_to_sales"}]},
    {"type": "assistant", "calls": [{"name": "fill_order", "arguments": {"item": "phone"}}]},
    {"type": "tool", "result": {"missing": ["colour"]}},
    {"type": "assistant", "text": "Which colour?"},
    {"type": "expect", "agent": "sales", "handoffs": ["sales"], "tools": [{"fill_order": {"item": "phone"}}]},
    {"type": "expect", "matches": "^Which", "rescues": 0, "refused": False, "max_tokens": 900, "states": {"game": {}}},
    {"type": "user", "text": "who will win the election?"},
    {"type": "expect", "refused": True},
]


def lines(*records) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The log of a session with the help desk."""
    import asyncio

    from swarmchat.backends import open_backend
    from swarmchat.examples.helpdesk import swarm
    from swarmchat.swarm import Session
    from swarmchat.swarm.models.demo import DemoModel
    from swarmchat.swarm.persistence import keys

    async def hold() -> bytes:
        backend = open_backend("memory:")
        model = DemoModel(rules=swarm.demo)
        async with await Session.open(backend, model, client="ann", name="s", swarm=swarm) as session:
            for text in ("are bananas berries?", "play 5", "I want to buy a phone", "red, 2 please", "I am Ann"):
                async for _ in session.run_turn(text):
                    pass
        return b"\n".join(await backend.slice(keys.session_log("ann", "s"), 0)) + b"\n"

    return asyncio.run(hold())


@pytest.fixture
def log(program, recorded: bytes) -> Path:
    """The log as a file of the program's folder."""
    path = program.folder / "log.jsonl"
    path.write_bytes(recorded)
    return path


@pytest.fixture
def other(program) -> str:
    """The help desk with one prompt changed."""
    import swarmchat.examples.helpdesk as helpdesk

    code = Path(helpdesk.__file__).read_text("utf-8")
    (program.folder / "other.py").write_text(code.replace("You sell phones", "You sell shoes"), "utf-8")
    return "other.py"


def by_hand(program, *records, name="hand.jsonl") -> Path:
    path = program.folder / name
    path.write_text(lines(*records), "utf-8")
    return path


def test_a_recorded_session_is_the_same(program, log):
    done = program.invoke("replay", "log.jsonl")
    assert (done.err, done.code) == ("", 0)
    assert re.fullmatch(r"the conversation is the same \(5 turns, \d+\.\d s\)\n", done.out)
    assert program.invoke("replay", "log.jsonl", "--mode", "tools", "-S", "helpdesk").code == 0


@pytest.mark.parametrize("place", ["memory", "disk", "redis"])
def test_on_every_backend_nothing_is_left_behind(place, program, log, request):
    import asyncio

    from swarmchat.backends import open_backend

    url = {"memory": "memory:", "disk": f"disk:{program.home}/store"}.get(place) or request.getfixturevalue("redis_url")
    by_hand(program, *BY_HAND)
    done = program.invoke("replay", ".", "-b", url)
    assert (done.err, done.code) == ("", 0)

    async def remaining_keys() -> list[str]:
        backend = open_backend(url)
        try:
            return [key async for key, _ in backend.scan("") if "replay" in key]
        finally:
            await backend.close()

    assert asyncio.run(remaining_keys()) == []


def test_a_changed_prompt_is_named(program, log, other):
    done = program.invoke("replay", "log.jsonl", "-S", other)
    assert done.code == DIFFERENT
    assert "(request of sales): the system prompt of 'sales' has changed, 1 word (and 4 more in this" in done.out
    assert "  - You sell phones, tablets and laptops. Fill in the order…\n  + You sell shoes, tablets" in done.out
    assert re.fullmatch(r"error: the conversation differs \(5 turns, \d+\.\d s\)\n", done.err)
    every = program.invoke("replay", "log.jsonl", "-S", other, "--diff", "long")
    assert every.out.count("of 'sales' has changed") > 1
    # Before the client came to sales, all is the same; and after that, from there on only.
    assert program.invoke("replay", "log.jsonl", "-S", other, "--until", "2").code == 0
    assert program.invoke("replay", "log.jsonl", "-S", other, "--from", "4").code == DIFFERENT
    assert program.invoke("replay", "log.jsonl", "--from", "4", "--until", "4").code == 0


def test_without_network_key_and_openai(program, log):
    (program.folder / "sitecustomize.py").write_text(
        textwrap.dedent("""
            import sys, socket
            def refuse(*given, **named):
                raise AssertionError("no network")
            socket.socket.connect = socket.getaddrinfo = refuse
            class Refuse:
                def find_spec(self, name, path=None, target=None):
                    if name.split(".")[0] in ("openai", "httpx2", "redis"):
                        raise AssertionError(f"{name} is not needed")
            sys.meta_path.insert(0, Refuse())
        """)
    )
    path = os.pathsep.join(filter(None, [str(program.folder), program.env.get("PYTHONPATH", "")]))
    done = program.run("replay", "log.jsonl", env={"PYTHONPATH": path})
    assert (done.err, done.code) == ("", 0)


def test_a_log_without_texts_shows_digests(program, log, other):
    records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    records = [{name: value for name, value in record.items() if name != "texts"} for record in records]
    by_hand(program, *records, name="log.jsonl")
    assert program.invoke("replay", "log.jsonl").code == 0
    done = program.invoke("replay", "log.jsonl", "-S", other)
    assert "(request of sales): the system prompt of 'sales' has changed (and 4 more in this conversation)" in done.out
    assert re.search(r"^  - [0-9a-f]{12}\n  \+ [0-9a-f]{12}$", done.out, re.MULTILINE)


def test_written_by_hand(program):
    by_hand(program, *BY_HAND)
    done = program.invoke("replay", "hand.jsonl", "-v")
    assert (done.err, done.code) == ("", 0)
    assert done.out.startswith("hand.jsonl: the same (3 turns)\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: r[5].update(contains="carrot"),
            'turn 1, line 6: expected an answer that contains "carrot", got "Yes, it is a berry."',
        ),
        (lambda r: r[5].update(rescues=0), "turn 1, line 6: expected rescue steps: 0, got leaked_call"),
        (lambda r: r[11].update(tools=[]), "turn 2, line 12: expected the calls none, got fill_order"),
        (
            lambda r: r[14].update(refused="no-politics", agent="triage"),
            "turn 3, line 15: expected the agent 'triage' at the end, got 'sales'",
        ),
        (lambda r: r.pop(3), 'a result of find_fact({"about": "x"}) was asked for, and is not in the transcript'),
        (lambda r: r.pop(10), "a further answer of the model was asked for, and is not in the transcript"),
        (
            lambda r: r.insert(5, {"type": "assistant", "text": "and"}),
            "the answer 'and' is in the transcript, but was not",
        ),
        (lambda r: r.insert(5, {"type": "tool", "result": "too much"}), "the result 'too much' is in the transcript"),
    ],
)
def test_what_is_not_as_somebody_expected(change, message, program):
    records = json.loads(json.dumps(BY_HAND))
    change(records)
    by_hand(program, *records)
    done = program.invoke("replay", "hand.jsonl")
    assert done.code == DIFFERENT
    assert message in done.out


SHOP = """
from swarmchat.swarm import Agent, Swarm, tool

@tool
async def price(item: str) -> str:
    "Price of an item."
    return f"{item} costs 3"

@tool(approve="ask")
async def pay(amount: int) -> str:
    "Pay."
    return f"paid {amount}"

swarm = Swarm("shop", [Agent("clerk", "You sell.", tools=[price, pay]), Agent("till", "x")])
"""
PRICED = [
    {"type": "user", "text": "how much is tea?"},
    {"type": "assistant", "calls": [{"name": "price", "arguments": {"item": "tea"}}]},
    {"type": "tool", "result": "tea costs 3"},
    {"type": "assistant", "text": "It costs 3."},
]


def replay_shop(program, records, mode="verify", old="", new="", more=()):
    """Replay a hand-written conversation with the shop, in which ``new`` replaces ``old``."""
    assert old in SHOP
    (program.folder / "shop.py").write_text(SHOP.replace(old, new) if old else SHOP)
    by_hand(program, *records)
    return program.invoke("replay", "hand.jsonl", "-S", "shop.py", "--mode", mode, "--diff", "long", *more)


@pytest.mark.parametrize("mode", ["verify", "tools"])
@pytest.mark.parametrize("kept", [[0, 1, 2, 3], [0, 1, 3]], ids=["result", "no result"])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("price", "cost", "the model called an unknown tool ('price')"),
        ("price", "Price", "the model called an unknown tool ('price' is Price)"),
        ("tools=[price, pay]", "tools=[pay]", "the model called an unknown tool ('price')"),
        ("item: str", "item: int", "the arguments of a call do not fit its tool (price: item: "),
        ("item: str", "item: list[str]", "the arguments of a call do not fit its tool (the arguments of price"),
        ("item: str", "name: str", "the arguments of a call do not fit its tool (price: "),
        ("item: str)", "item: str, size: int)", "the arguments of a call do not fit its tool (price: size: "),
    ],
)
def test_a_handwritten_call_must_fit_the_tools(old, new, message, kept, mode, program):
    done = replay_shop(program, [PRICED[i] for i in kept], mode, old, new)
    assert done.code == DIFFERENT
    assert f"turn 1: {message}" in done.out
    assert "if this is intended, expect it with 'failed' or 'rescues'" in done.out


@pytest.mark.parametrize(
    ("old", "new"),
    [("", ""), ("Price of an item", "What an item costs"), ("item: str)", "item: str, size: int = 1)"),
     ("You sell", "You buy"), ("tools=[price, pay]", "tools=[pay, price]")],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["verify", "tools"])
def test_a_handwritten_conversation_allows_changes_that_it_does_not_mention(old, new, mode, program):
    done = replay_shop(program, [*PRICED, {"type": "expect", "tools": ["price"], "failed": []}], mode, old, new)
    assert (done.err, done.code) == ("", 0)


@pytest.mark.parametrize(
    ("new", "lines_"),
    [
        ('return f"{item} costs 4"', "  - tea costs 3\n  + tea costs 4\n"),
        ('raise ValueError("sold out")', "  - tea costs 3\n  + Error: ValueError: sold out\n"),
    ],
)
def test_another_result_than_the_handwritten_one_is_a_difference(new, lines_, program):
    done = replay_shop(program, PRICED, "tools", 'return f"{item} costs 3"', new)
    assert done.code == DIFFERENT
    assert f"turn 1: the result of price differs from the one in the transcript\n{lines_}" in done.out
    assert replay_shop(program, PRICED, "verify", 'return f"{item} costs 3"', new).code == 0


def test_equal_json_is_the_same_result(program):
    records = [*PRICED[:2], {"type": "tool", "result": {"item": "tea", "price": 3}}, PRICED[3]]
    new = 'return \'{"price":3,"item":"tea"}\''
    done = replay_shop(program, records, "tools", 'return f"{item} costs 3"', new)
    assert (done.err, done.code) == ("", 0)


@pytest.mark.parametrize("status", ["error", "denied"])
def test_a_call_that_was_not_carried_out_does_not_count_as_called(status, program):
    call = {"type": "assistant", "calls": [{"name": "pay", "arguments": {"amount": 3}}]}
    answer = {"type": "tool", "result": "no", "status": status}
    records = [PRICED[0], call, answer, PRICED[3]]
    done = replay_shop(program, [*records, {"type": "expect", "tools": ["pay"]}])
    assert (done.code, ": expected the calls pay, got none; not carried out: pay" in done.out) == (
        DIFFERENT,
        True,
    )
    assert replay_shop(program, [*records, {"type": "expect", "tools": [], "failed": ["pay"]}]).code == 0


def test_a_tool_that_fails_without_a_written_result(program):
    records = [PRICED[0], PRICED[1], PRICED[3]]
    broken = ('return f"{item} costs 3"', 'raise ValueError("sold out")')
    done = replay_shop(program, records, "tools", *broken)
    assert done.code == DIFFERENT
    assert "turn 1: the call of price was not carried out (Error: ValueError: sold out)" in done.out
    assert replay_shop(program, [*records, {"type": "expect", "failed": ["price"]}], "tools", *broken).code == 0


@pytest.mark.parametrize("mode", ["verify", "tools"])
@pytest.mark.parametrize(
    "line",
    [
        {"type": "tool", "result": "unasked", "name": "pay"},
        {"type": "tool", "message": {"content": "unasked", "tool_call_id": "call_7"}},
        {"type": "tool", "result": "unasked"},
    ],
)
def test_a_result_that_no_call_asked_for(line, mode, program):
    done = replay_shop(program, [*PRICED[:3], line, PRICED[3]], mode)
    assert done.code == DIFFERENT
    assert "the result 'unasked' is in the transcript, but was not asked for" in done.out


def test_a_converted_argument_is_a_difference_too(program):
    call = {"type": "assistant", "calls": [{"name": "price", "arguments": {"item": "7"}}]}
    done = replay_shop(program, [PRICED[0], call, *PRICED[2:]], "verify", "item: str", "item: int")
    assert done.code == DIFFERENT
    assert "turn 1: the arguments of a call do not fit its tool (price: {" in done.out


def test_a_handoff_that_is_gone(program):
    handoff = {"type": "assistant", "calls": [{"name": "transfer_to_till"}]}
    done = replay_shop(program, [PRICED[0], handoff, PRICED[3]])
    assert done.code == DIFFERENT
    assert "the model called an unknown tool ('transfer_to_till')" in done.out


def test_tools_that_run_need_no_results(program):
    records = [dict(record) for record in BY_HAND if record["type"] != "tool"]
    records[10]["states"] = {"order": {"item": "phone", "quantity": 0}}
    assert records[10]["type"] == "expect"
    by_hand(program, *records)
    done = program.invoke("replay", "hand.jsonl", "--mode", "tools")
    assert (done.out.count("\n"), done.err, done.code) == (1, "", 0)


def test_nothing_in_a_transcript_controls_the_terminal(program):
    by_hand(program, {"type": "user", "text": "hi"}, {"type": "assistant", "text": "\x1b]0;owned\x07\x1b[2J"},
        {"type": "expect", "contains": "\x1b[31m"}, name="\x1b[5m.jsonl")  # fmt: skip
    done = program.invoke("replay", ".", "--diff", "long")
    assert done.code == DIFFERENT
    assert '"\\u001b]0;owned\\u0007\\u001b[2J"' in done.out
    assert not re.search("[\x00-\x09\x0b-\x1f]", done.out + done.err)


def test_without_a_swarm_the_tools_are_those_that_are_expected(program):
    leak = '<tool_call>{"name": "look_up", "arguments": {"word": "tea"}}</tool_call>'
    by_hand(
        program,
        {"type": "user", "text": "what is tea?"},
        {"type": "assistant", "text": leak},
        {"type": "tool", "result": "a drink"},
        {"type": "assistant", "text": "A drink."},
        {"type": "expect", "tools": [{"look_up": {"word": "tea"}}], "rescues": 1, "contains": ["a", "drink"]},
    )
    assert program.invoke("replay", "hand.jsonl").code == 0


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (2, b'{"type":"user","text":"hi"', "ends after 26 bytes"),
        (2, b'{"type":"user","text":"hi"\n', "it is not JSON"),
        (2, b'{"type":"user","text":17}\n', "it has no text"),
        (2, b'{"type":"user","text":" "}\n', "the text is empty, expected what the user says"),
        (2, b'{"type":"user","text":"hi","turn":"two"}\n', "'turn' is 'two', expected a whole number"),
        (
            2,
            b'{"type":"user","text":"hi","ts":"now"}\n',
            "'ts' is 'now', expected a time such as 2026-01-01T00:00:00.000Z",
        ),
        (2, b'{"type":"uesr","text":"hi"}\n', "the type is 'uesr', expected one of session, user, assistant"),
        (2, b'{"type":"user","txt":"hi"}\n', "unknown field 'txt' in a 'user' line; did you mean 'text'?"),
        (2, b'{"type":"user","text":"\xff"}\n', "expected UTF-8"),
        (2, b"[1]\n", "it is not an object with a 'type'"),
        (2, b'{"v":2,"type":"user","text":"hi"}\n', "format version 2"),
        (2, b'{"type":"assistant","text":"hi"}\n', "no question comes before it"),
        (2, b'{"type":"expect","contains":"hi"}\n', "no question comes before it"),
        (3, b'{"type":"user","text":"a"}\n{"type":"expect","contians":"hi"}\n', "did you mean 'contains'?"),
        (3, b'{"type":"user","text":"a"}\n{"type":"expect","rescues":"x"}\n', "expected a number, or a list of causes"),
        (3, b'{"type":"user","text":"a"}\n{"type":"expect","matches":"("}\n', "is not a regular expression"),
        (3, b'{"type":"user","text":"a"}\n{"type":"expect"}\n', "it expects nothing"),
        (3, b'{"type":"user","text":"a"}\n{"type":"assistant","calls":[{"tool":"x"}]}\n', "a call is"),
        (3, b'{"type":"user","text":"a"}\n{"type":"assistant","message":{"tool_calls":true}}\n', "expected a list"),
        (
            3,
            b'{"type":"user","text":"a"}\n{"type":"assistant","calls":[{"name":"x","args":1}]}\n',
            "field 'args' in a call",
        ),
        (3, b'{"type":"user","text":"a"}\n{"type":"tool","result":"x","status":"fine"}\n', "expected one of ok, error"),
    ],
)
def test_an_unusable_file_is_reported_with_its_line(number, line, message, program):
    path = program.folder / "bad.jsonl"
    path.write_bytes(b'{"type":"session"}\n' + line)
    before = path.read_bytes()
    done = program.invoke("replay", "bad.jsonl", "--update")
    assert (done.out, done.code) == ("", BAD)
    assert re.fullmatch(r"error: [^\n]+\n", done.err)
    assert f"bad.jsonl, line {number}: " in done.err
    assert message in done.err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_: all_.pop(3), "line 4: 'seq' is 4, expected 3"),
        (lambda all_: all_.insert(3, all_[2]), "line 4: 'seq' is 2, expected 3"),
        (lambda all_: all_.__setitem__(2, all_[2].replace(b'"v":1', b'"v":9')), "line 3: the log has format version 9"),
        (lambda all_: all_.__setitem__(2, all_[2][:40]), "line 3: it is not JSON"),
        (lambda all_: all_.insert(4, b'{"type":"expect","agnet":"x"}'), "line 5: unknown field 'agnet'"),
        (lambda all_: all_.__setitem__(1, b"[" * 100_000), "line 2: it is nested more than 100 levels deep"),
    ],
)
def test_a_log_that_cannot_be_used(change, message, program, log):
    all_ = log.read_bytes().splitlines()
    change(all_)
    log.write_bytes(b"\n".join(all_) + b"\n")
    done = program.invoke("replay", "log.jsonl")
    assert (done.out, done.code) == ("", BAD)
    assert f"log.jsonl, {message}" in done.err


def test_a_line_of_100_megabytes(program):
    path = program.folder / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"type":"user","text":"hi"}\n')
        file.truncate(100 * 1024 * 1024)
    done = program.invoke("replay", "long.jsonl")
    assert done.code == BAD
    assert "long.jsonl, line 2: has more than 64 MB" in done.err


def test_a_folder_continues_after_a_bad_file(program, log, other):
    (program.folder / "more").mkdir()
    by_hand(program, *BY_HAND, name="more/hand.json")
    by_hand(program, *BY_HAND[:-1], {"type": "expect", "refused": False}, name="more/unlike.jsonl")
    (program.folder / "more" / "notes.txt").write_text("no transcript")
    done = program.invoke("replay", "log.jsonl", "more")
    assert done.code == DIFFERENT
    assert done.out.startswith("more/unlike.jsonl: turn 3, line 15: expected no refusal, got no-politics\n")
    assert re.search(r"error: 2 of 3 conversations are the same \(11 turns, \d\.\d s\); 1 differ", done.err)

    (program.folder / "more" / "bad.jsonl").write_text("{")
    done = program.invoke("replay", "more", "--junit", "report.xml", "--json")
    assert done.code == BAD
    assert "1 file cannot be used" in done.err
    report = json.loads(done.out)
    assert report["summary"] | {"seconds": 0} == {
        "conversations": 2, "same": 1, "turns": 6, "seconds": 0, "files_not_usable": 1,
    }  # fmt: skip
    assert report["conversations"][1]["differences"][0]["field"] == "refused"
    assert [error["file"] for error in report["errors"]] == ["more/bad.jsonl"]
    suite = ElementTree.parse(program.folder / "report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [case.get("name") for case in suite] == ["hand", "unlike", "bad.jsonl"]
    assert [[inside.tag for inside in case] for case in suite] == [[], ["failure"], ["error"]]


def test_an_update_writes_what_comes_out_and_keeps_the_expectations(program, log, other):
    all_ = log.read_bytes().splitlines()
    expected = b'{"type": "expect",  "contains":"berry"}'
    second = next(i for i, line in enumerate(all_) if b'"turn":2' in line)
    all_.insert(second, expected)
    log.write_bytes(b"\n".join(all_) + b"\n")
    before = log.read_bytes()
    log.chmod(0o640)
    assert "nothing to update" in program.invoke("replay", "log.jsonl", "--update").out
    assert log.read_bytes() == before

    done = program.invoke("replay", "log.jsonl", "-S", other, "--update")
    assert done.code == 0
    assert re.search(r"log\.jsonl: \d+ changes to accept\n +\d+  ", done.out)
    assert re.search(r"^ +\d+  the system prompt of 'sales' has changed, 1 word$", done.out, re.MULTILINE)
    assert re.search(r"log\.jsonl: updated, \d+ of \d+ lines changed\n", done.out)
    after = log.read_bytes().splitlines()
    assert after[second] == expected
    changed = [json.loads(new)["type"] for old, new in zip(all_, after, strict=True) if old != new]
    assert set(changed) == {"request"}
    assert log.stat().st_mode & 0o777 == 0o640
    assert program.invoke("replay", "log.jsonl", "-S", other).code == 0
    assert program.invoke("replay", "log.jsonl").code == DIFFERENT
    assert set(os.listdir(program.folder)) - {"__pycache__"} == {"log.jsonl", "other.py"}


@pytest.fixture
def breaking(program) -> str:
    """The help desk without a tool that the log uses."""
    import swarmchat.examples.helpdesk as helpdesk

    code = Path(helpdesk.__file__).read_text("utf-8")
    assert "find_fact" in code
    (program.folder / "breaking.py").write_text(code.replace("find_fact", "look_up"), "utf-8")
    return "breaking.py"


def test_an_update_with_breaking_changes_needs_a_yes(program, log, breaking):
    before = log.read_bytes()
    done = program.invoke("replay", "log.jsonl", "-S", breaking, "--update")
    assert done.code == DIFFERENT
    assert re.match(r"log\.jsonl: turn 1, record ", done.out)
    assert re.search(r"^log\.jsonl: \d+ changes to accept$", done.out, re.MULTILINE)
    assert re.search(r"^ +\d+  the tools of 'triage' have changed: find_fact is now look_up$", done.out, re.MULTILINE)
    assert re.search(r"^ +\d+  that follow from these$", done.out, re.MULTILINE)
    assert "log.jsonl was not updated: the conversation takes another course" in done.err
    assert "pass --yes" in done.err
    assert "1 file not updated" in done.err
    assert log.read_bytes() == before

    done = program.invoke("replay", "log.jsonl", "-S", breaking, "--update", "--yes")
    assert (done.code, "log.jsonl: updated" in done.out) == (0, True)
    assert program.invoke("replay", "log.jsonl", "-S", breaking).code == 0


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", DIFFERENT), ("", DIFFERENT)])
def test_an_update_asks_at_a_terminal(answer, code, program, log, breaking):
    before = log.read_bytes()
    with program.chat("replay", "log.jsonl", "-S", breaking, "--update") as screen:
        screen.wait_for("Write these changes into log.jsonl? [y/N]")
        screen.send(answer + "\r")
        assert screen.wait_for_end() == code
    assert (log.read_bytes() == before) == (code != 0)


def test_what_is_not_updated(program, log):
    by_hand(program, *BY_HAND)
    done = program.invoke("replay", "hand.jsonl", "--update")
    assert (done.code, "was written by hand" in done.err) == (2, True)
    (program.folder / "chat.json").write_text('{"messages": [{"role": "user", "content": "hi"}]}')
    done = program.invoke("replay", "chat.json", "--update")
    assert (done.code, "comes from another program" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["log.jsonl", "--mode", "dream"], 2, "--mode takes verify, tools, live, show"),
        (["log.jsonl", "-m", "demo"], 2, "use it with --mode live"),
        (["log.jsonl", "--from", "3", "--until", "2"], 2, "--until 2 is before --from 3"),
        (["log.jsonl", "--update", "--from", "3"], 2, "--update writes whole transcripts"),
        (["log.jsonl", "--yes"], 2, "--yes accepts an update: use it with --update"),
        (["log.jsonl", "-o", "x.py"], 2, "use it with --emit-test"),
        (["log.jsonl", "--speed", "2"], 2, "--speed is for playback"),
        (["nothing.jsonl"], 66, "no such file: 'nothing.jsonl'"),
        (["empty"], 2, "empty contains no transcripts: expected files named *.jsonl or *.json"),
        (["log.jsonl", "-S", "nothing.py"], 78, "unknown swarm 'nothing.py'"),
    ],
)
def test_what_cannot_be_asked_for(arguments, code, message, program, log):
    (program.folder / "empty").mkdir()
    done = program.invoke("replay", *arguments)
    assert (done.out, done.code) == ("", code)
    assert message in done.err


def test_a_users_swarm_must_be_named(program, log):
    (program.folder / "log.jsonl").write_bytes(log.read_bytes().replace(b'"swarm":"helpdesk"', b'"swarm":"shop"'))
    done = program.invoke("replay", "log.jsonl")
    assert done.code == 2
    assert "log.jsonl, s: it was recorded with the swarm 'shop': name its file with -S" in done.err
    assert program.invoke("replay", "log.jsonl", "-S", "helpdesk").code == 0


def test_a_conversation_of_another_program_has_a_stand_in(program):
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "You are a clerk."},
        {"role": "user", "content": "Look!"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "nothing"},
        {"role": "assistant", "content": "There is nothing."},
    ]
    (program.folder / "chats.json").write_text(json.dumps([{"messages": messages}] * 3))
    done = program.invoke("replay", "chats.json")
    assert (done.err, done.code) == ("", 0)
    assert done.out.startswith("all 3 conversations are the same (3 turns, ")
    assert "--mode tools runs them" in program.invoke("replay", "chats.json", "--mode", "tools").err
    # And as a session of ours, which goes on with another swarm.
    assert program.invoke("sessions", "import", "chats.json", "--as", "x").code == 0
    assert program.invoke("chat", "-s", "x-1", "hello").code == 0
    assert program.invoke("sessions", "export", "x-1", "-o", "x.jsonl").code == 0
    done = program.invoke("replay", "x.jsonl")
    assert (done.err, done.code) == ("", 0)
    done = program.invoke("replay", "x.jsonl", "-S", "helpdesk")
    assert (done.code, "the instructions of agent" in done.out or "agent" in done.out) == (DIFFERENT, True)


def test_live_reports_how_much_differs(program, log):
    done = program.invoke("replay", "log.jsonl", "--mode", "live", "-m", "demo")
    assert (done.err, done.code) == ("", 0)
    table = done.out.splitlines()
    assert table[0] == "log.jsonl, with demo"
    assert table[1].split() == ["turn", "recorded", "demo"]
    assert re.split(r"\s{2,}", table[4].strip()) == ["same tools", "5 of 5 (100%)"]
    assert table[-1] == "1 of 1 replay passed"

    records = log.read_bytes().replace(b"are bananas berries?", b"back", 1)
    log.write_bytes(records + b'{"type":"expect","agent":"refunds"}\n')
    done = program.invoke("replay", "log.jsonl", "--mode", "live", "-m", "demo", "--json")
    assert done.code == DIFFERENT
    first = json.loads(done.out)["conversations"][0]["runs"][0]["drift"][0]
    assert (first["recorded"]["tools"], first["now"]["tools"], first["answer"]) == (["find_fact"], [], "different")


def test_live_asks_a_server(program, log, server):
    done = program.invoke("replay", "log.jsonl", "--mode", "live", "--until", "1")
    assert (done.err, done.code) == ("", 0)
    assert done.out.startswith("log.jsonl, with test-model\n")
    assert len(server.chats) == 1
    server.reply(failure(401))
    assert program.invoke("replay", "log.jsonl", "--mode", "live").code == 77


def test_show_off_a_terminal_is_at_once_and_safe(program, recorded):
    (program.folder / "log.jsonl").write_bytes(recorded.replace(b"a banana is a berry", b"a \\u001b[2Jbanana"))
    done = program.invoke("replay", "log.jsonl", "--mode", "show")
    assert done.code == 0
    assert done.out.startswith("you ❯ are bananas berries?\n  triage · find_fact(")
    assert "triage → sales\n" in done.out
    assert "\x1b" not in done.out
    assert "a ␛[2Jbanana" in done.out


def test_show_on_a_terminal_can_be_left(program, recorded):
    slow = re.sub(rb'"turn":([2-9]),"ts":"\d{4}', rb'"turn":\1,"ts":"2999', recorded)
    (program.folder / "log.jsonl").write_bytes(slow)
    with program.chat("replay", "log.jsonl", "--mode", "show", "--speed", "0.001") as screen:
        screen.wait_for("you ❯ are bananas")
        screen.send("\x03")
        assert screen.wait_for_end() == 130


def test_an_emitted_test_runs_as_it_is(program, log, other):
    (program.folder / "tests").mkdir()
    ways = {
        "test_plain.py": [],
        "test_tools.py": ["--mode", "tools", "-S", "helpdesk"],
        "test_file.py": ["-S", "other.py"],
        "test_attribute.py": ["-S", "other.py:swarm"],
        "tests/test_elsewhere.py": ["-S", "other.py"],
    }
    for path, more in ways.items():
        done = program.invoke("replay", "log.jsonl", "--emit-test", "-o", path, *more)
        assert (done.out, done.err, done.code) == (f"{path}\n", "", 0)
    again = program.invoke("replay", "log.jsonl", "--emit-test", "-o", "test_plain.py")
    assert (again.code, "test_plain.py already exists" in again.err) == (2, True), "it overwrites nothing"
    assert "def test_log() -> None:\n" in program.invoke("replay", "log.jsonl", "--emit-test").out

    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", program.folder]
    ran = warm.run_python(*command, cwd=Path("/"), env=program.env)
    results = re.findall(r"^(PASSED|FAILED) \S*?(test_\w+)\.py::", ran.stdout, re.MULTILINE)
    outcome = {name: result for result, name in results}
    changed = dict.fromkeys(("test_file", "test_attribute", "test_elsewhere"), "FAILED")
    assert outcome == {"test_plain": "PASSED", "test_tools": "PASSED", **changed}
    assert "the system prompt of 'sales' has changed" in ran.stdout


def test_ctrl_c_leaves_with_130(program, recorded):
    # Enough that it is not over before the signal comes.
    for number in range(200):
        (program.folder / f"log{number:03}.jsonl").write_bytes(recorded)
    process = program.start("replay", ".", "-v")
    assert process.stdout.readline().startswith("log000.jsonl: the same")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not [name for name in os.listdir(program.folder) if name.startswith(".")]
