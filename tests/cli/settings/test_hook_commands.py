"""Hooks as commands of the user's settings: JSON in, JSON out."""

import json
import shlex
import sys

import pytest

OFFICE = '''\
from swarmchat.swarm import Agent, Context, DemoRule, Swarm, tool


@tool
def mail(to: str) -> str:
    """Send a mail."""
    return f"sent to {to}"


swarm = Swarm(
    "office",
    [Agent("clerk", tools=[mail], handoffs=["boss"]), Agent("boss")],
    demo=[
        DemoRule(r"^mail (?P<to>.+)", "mail", {"to": "{to}"}, reply="Done: {result}"),
        DemoRule(r"^boss", "transfer_to_boss"),
    ],
)
'''


@pytest.fixture
def office(program):
    """The program in a folder with a swarm; ``hook`` sets the command at a point to a line of Python."""
    (program.folder / "office.py").write_text(OFFICE)
    hooks = {}

    def hook(point, line):
        script = program.folder / f"{point}.py"
        script.write_text(f"import json, sys\nseen = json.load(sys.stdin)\n{line}\n")
        hooks[point] = shlex.join([sys.executable, str(script)])
        program.env["SWARMCHAT_HOOKS"] = json.dumps(hooks)

    program.hook = hook
    return program


def ask(program, text):
    return program.invoke("run", "-S", "office.py", "-m", "demo", text)


def test_each_point_gets_what_it_is_about(office):
    for point in ("turn", "request", "tool", "handoff"):
        for when in ("before", "after"):
            office.hook(f"{when}_{point}", 'open("seen", "a").write(json.dumps(seen) + "\\n")')
    assert ask(office, "mail bob").out == "Done: sent to bob\n"
    seen = [json.loads(line) for line in (office.folder / "seen").read_text().splitlines()]
    assert [each["hook"] for each in seen] == [
        *("before_turn", "before_request", "after_request", "before_tool", "after_tool"),
        *("before_request", "after_request", "after_turn"),
    ]
    assert (seen[0]["client"], seen[0]["agent"], seen[0]["text"]) == ("ann", "clerk", "mail bob")
    assert seen[1]["messages"][-1] == {"role": "user", "content": "mail bob"}
    assert (seen[3]["tool"], seen[3]["arguments"]) == ("mail", {"to": "bob"})
    assert (seen[4]["result"], seen[7]["answer"], seen[7]["error"]) == ("sent to bob", "Done: sent to bob", None)


@pytest.mark.parametrize(
    ("point", "answer", "out"),
    [
        ("before_turn", {"text": "mail carl"}, "Done: sent to carl"),
        ("before_turn", {"deny": "Not today."}, "Not today."),
        ("before_tool", {"arguments": {"to": "dora"}}, "sent to dora"),
        ("before_tool", {"deny": "bob is away"}, "this call was not allowed: bob is away"),
        ("after_tool", {"result": "sent soon"}, "Done: sent soon"),
        ("after_tool", {"deny": "lost"}, "That did not work: lost"),
        ("after_request", {"answer": "Fine."}, "Fine."),
        ("before_request", {"messages": [{"role": "user", "content": "mail eve"}]}, "Done: sent to eve"),
        ("before_turn", {}, "Done: sent to bob"),
    ],
)
def test_what_a_command_prints_counts(office, point, answer, out):
    condition = 'if "tool" not in str(seen.get("messages")) and not seen.get("calls"): '
    office.hook(point, f"{condition}print({json.dumps(answer)!r})")
    assert ask(office, "mail bob").out.strip().endswith(out)


def test_a_handoff_is_refused(office):
    office.hook("before_handoff", 'print(json.dumps({"deny": f"{seen[\'to\']} is away"}))')
    assert "boss is away" in ask(office, "boss").out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('sys.exit("no mails today")', "ended with exit code 1: no mails today"),
        ('print("hm")', "printed 'hm', expected JSON"),
        ('print("x" * 20_000_000)', "printed more than 10,000,000 bytes"),
        ("print(7)", "printed 7, expected an object"),
        ("print('{\"arguments\": 7}')", "printed 7 as 'arguments', expected dict"),
        ('print(\'{"arguments": {"to": [7]}}\')', "a hook changed the arguments of mail to invalid ones: to"),
    ],
)
def test_a_command_that_fails_ends_the_turn(office, line, words):
    office.hook("before_tool", line)
    done = ask(office, "mail bob")
    assert (done.code, words in done.err) == (1, True), done.err
    assert "sent" not in done.out


def test_a_command_that_is_missing(office):
    office.env["SWARMCHAT_HOOKS"] = '{"before_turn": "no-such-program -x"}'
    done = ask(office, "mail bob")
    assert "hooks.before_turn: no-such-program -x cannot be run (No such file or directory)" in done.err


@pytest.mark.parametrize("value", ['{"before_lunch": "x"}', '{"before_turn": 7}', '{"before_turn": [""]}', "[]"])
def test_what_is_no_table_of_commands(office, value):
    office.env["SWARMCHAT_HOOKS"] = value
    done = ask(office, "mail bob")
    assert done.code == 78
    assert "expected a table of commands" in done.err


def test_a_folder_starts_no_commands(office):
    (office.folder / "swarmchat.toml").write_text('[hooks]\nbefore_turn = "touch ran"\n')
    done = ask(office, "mail bob")
    assert done.code == 78
    assert "hooks" in done.err
    assert "starts programs" in done.err
    assert not (office.folder / "ran").exists()


def test_the_users_own_file(office):
    office.hook("before_turn", 'print(json.dumps({"text": "mail fay"}))')
    command = json.loads(office.env.pop("SWARMCHAT_HOOKS"))["before_turn"]
    assert office.invoke("config", "set", "hooks", json.dumps({"before_turn": command})).code == 0
    assert ask(office, "mail bob").out == "Done: sent to fay\n"
