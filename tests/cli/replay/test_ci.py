"""``swarmchat replay`` in CI: selection, several processes, reports, pass rates, cassettes."""

import json
import re
import shlex
import signal
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from model_server import text

DIFFERENT, BAD = 3, 65
YAML = """
swarm: helpdesk
steps:
  - user: are bananas berries?
  - assistant: Yes, it is a berry.
  - expect: {tools: [{find_fact: {about: {$contains: x}}}]}
"""
QUESTION = {"type": "user", "text": "are bananas berries?"}
ANSWER = {"type": "assistant", "text": "Yes, it is a berry."}


def conversation(name: str, expected: str = "berry", *, tags=()) -> list[dict]:
    session = {"type": "session", "name": name, "swarm": "helpdesk", "tags": list(tags)}
    return [session, QUESTION, ANSWER, {"type": "expect", "contains": expected}]


def write(program, name: str, *conversations: list[dict]) -> Path:
    path = program.folder / name
    records = [record for each in conversations for record in each]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


@pytest.fixture
def suite(program) -> None:
    """Three files: one that passes, one with two conversations, of which one fails, and one that is invalid."""
    write(program, "a.jsonl", conversation("first", tags=["smoke"]))
    write(program, "b.jsonl", conversation("second"), conversation("third, 100%", "strawberry", tags=["smoke", "eu"]))
    (program.folder / "c.jsonl").write_text('{"type":"user","text":"hi"}\n{"type":"usr"}\n', "utf-8")


def test_selection(program, suite):
    listed = r"^(\S+?\.jsonl(?:::[^:(]+)?): the same"

    def selected(*arguments: str) -> tuple[list[str], int]:
        done = program.invoke("replay", "-v", *arguments)
        return re.findall(listed, done.out, re.MULTILINE), done.code

    assert selected("a.jsonl", "b.jsonl", "-k", "not third") == (["a.jsonl", "b.jsonl::second"], 0)
    assert selected("a.jsonl", "b.jsonl::second") == (["a.jsonl", "b.jsonl::second"], 0)
    assert selected("a.jsonl", "b.jsonl", "--tag", "smoke", "-k", "first") == (["a.jsonl"], 0)
    assert selected("a.jsonl", "b.jsonl", "--tag", "eu") == ([], DIFFERENT)
    for arguments, message in (
        (["a.jsonl", "-k", "nothing"], "no conversation is selected: look at -k and --tag"),
        (["a.jsonl::second"], "a.jsonl has no conversation 'second'; it has: first"),
        (["a.jsonl", "-k", "(x"], "-k '(x': it is incomplete"),
    ):
        done = program.invoke("replay", *arguments)
        assert (done.out, done.code, message in done.err) == ("", 2, True)


def test_several_processes_report_in_the_order_of_files(program, suite):
    (program.folder / "swarm.py").write_text("from swarmchat.examples.helpdesk import swarm\nprint('loaded')\n")

    def report(*arguments: str) -> tuple[str, int]:
        done = program.run("replay", ".", "-v", "-S", "swarm.py", *arguments)
        return re.sub(r"\d+\.\d s", "… s", done.out), done.code

    alone = report()
    assert alone[1] == BAD
    assert report("-j", "2") == alone, "what a swarm prints is not taken for a result"
    write(program, "b.jsonl", [{"type": "session", "name": "own", "swarm": "own"}, QUESTION, ANSWER])
    done = program.run("replay", "a.jsonl", "b.jsonl", "-j", "2")
    assert (done.code, "b.jsonl, own: it was recorded with the swarm 'own'" in done.err) == (2, True)


PROMPT = """
import os, time
from swarmchat.swarm import Agent, Swarm

def prompt(ctx):
    {}

swarm = Swarm("s", [Agent("a", prompt)])
"""


def test_a_process_that_dies_and_ctrl_c(program, suite):
    (program.folder / "swarm.py").write_text(PROMPT.format("os._exit(9)"))
    done = program.run("replay", "a.jsonl", "-j", "2", "-S", "swarm.py")
    assert (done.code, "a process of --jobs ended unexpectedly" in done.err) == (1, True)
    (program.folder / "swarm.py").write_text(PROMPT.format("print('here', flush=True); time.sleep(60)"))
    process = program.start("replay", "a.jsonl", "-j", "2", "-S", "swarm.py")
    assert process.stderr.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_reports_for_github(program, suite):
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(program.folder.parent)}
    done = program.run("replay", ".", "--summary", "summary.md", env=environment)
    stop, resume, *annotations = [line for line in done.out.splitlines() if line.startswith("::")]
    assert stop == f"::stop-commands::{resume.strip(':')}", "GitHub obeys no text that is replayed"
    assert annotations[0].startswith(
        "::error file=work/c.jsonl,line=2,title=replay%3A c.jsonl::c.jsonl, line 2: the type"
    )
    assert annotations[1].startswith(
        "::error file=work/b.jsonl,line=8,title=replay%3A third%2C 100%25::turn 1, line 8: "
    )
    assert len(annotations) == 2
    assert "::error" not in program.run("replay", ".", "--no-github", env=environment).out
    document = json.loads(program.run("replay", "a.jsonl", "--json", env=environment).out)
    assert (document["version"], document["summary"]["same"], document["errors"]) == (1, 1, [])
    row = document["conversations"][0]
    assert (row.pop("seconds") > 0, row.pop("differences"), row.pop("unmet")) == (True, [], 0)
    assert row == {"file": "a.jsonl", "name": "first", "line": 1, "tags": ["smoke"], "same": True, "turns": 1}
    (program.folder / "d.yaml").write_text(YAML)
    (difference,) = json.loads(program.run("replay", "d.yaml", "--json", "-j", "2").out)["conversations"][0][
        "differences"
    ]
    assert difference == {
        "text": difference["text"],
        "turn": 1,
        "record": None,
        "line": 6,
        "type": "expect",
        "subject": "",
        "field": "tools",
        "expected": [{"find_fact": {"about": {"$contains": "x"}}}],
        "actual": [],
        "follows": False,
    }
    (program.folder / "x`<y.jsonl").write_text("{}\n")
    program.run("replay", "a.jsonl", "--summary", "summary.md")
    program.run("replay", "x`<y.jsonl", "--summary", "summary.md")
    summary = (program.folder / "summary.md").read_text("utf-8")
    assert summary.startswith("### ❌ swarmchat replay\n\n2 of 3 conversations are the same (")
    assert "- `c.jsonl`: c.jsonl, line 2: the type is 'usr'" in summary
    assert "`b.jsonl::third, 100%`" in summary
    assert "- `xˋ<y.jsonl`: x`&lt;y.jsonl, line 1: " in summary
    assert "### ✅ swarmchat replay\n\nthe conversation is the same (" in summary, "it is appended"


def test_failed_expectations_are_told_apart(program):
    write(
        program,
        "a.jsonl",
        conversation("first", "straw"),
        conversation("second", "cherry"),
        conversation("third", "straw"),
    )
    done = program.invoke("replay", "a.jsonl", "--github")
    assert done.out.count("got") == 4, "each in the text and as an annotation"
    assert '2 conversations: expected an answer that contains "straw" (first in a.jsonl::first, turn 1)' in done.out
    assert "%0AThe same in 1 other conversation." in done.out


def test_the_pass_rate_decides(program, server):
    write(program, "a.jsonl", conversation("first"))
    answers = [text("A berry."), text("No idea."), text("A berry."), text("A berry.")]
    for least, code in (("0.75", 0), ("0.8", DIFFERENT)):
        server.reply(*answers)
        done = program.invoke(
            "replay", "a.jsonl", "--mode", "live", "--repeat", "4", "--min-pass", least, "--junit", "j"
        )
        assert done.code == code
        assert re.search(r"^ +passed +3 of 4 \(75%\)$", done.out, re.MULTILINE)
        assert ('failures="1"' in (program.folder / "j").read_text()) is bool(code)
    assert done.err.startswith("error: 3 of 4 replays passed; 1 conversation failed, each must pass 80% of its replays")


def test_models_side_by_side_and_a_cassette(program, server, monkeypatch):
    program.env |= {"SWARMCHAT_API_KEY": "sk-secret", "SWARMCHAT_PRICES": '{"m-a": [1, 2], "m-b": [3, 4]}'}
    write(program, "a.jsonl", conversation("first"))
    live = ("replay", "a.jsonl", "--mode", "live", "-m", "m-a", "-m", "m-b", "--repeat", "2", "--cassette", "tape")
    server.reply(*map(text, ("A berry.", "A berry.", "A berry.", "No.")))
    first = program.invoke(*live)
    rows = {row[0]: row[1:] for row in (re.split(r"\s{2,}", line.strip()) for line in first.out.splitlines())}
    assert rows["turn"] == ["recorded", "m-a", "m-b"]
    assert rows["passed"] == ["2 of 2 (100%)", "1 of 2 (50%)"]
    assert rows["cost"] == ["$0.0000", "$0.0001"]
    assert first.code == DIFFERENT
    assert len(server.chats) == 4
    again = program.invoke(*live)
    assert len(server.chats) == 4
    assert again.out == first.out, "the times of the answers are those of the recording"
    assert again.err.strip() == first.err.strip() + "; 4 answers, 4 from the cassette"
    tapes = b"".join(path.read_bytes() for path in (program.folder / "tape").iterdir())
    assert tapes.count(b'"answer"') == 4
    assert b"sk-secret" not in tapes
    server.reply(*map(text, ["A berry."] * 4))
    assert program.invoke(*live, "--refresh").code == 0
    assert len(server.chats) == 8
    assert program.invoke(*live, "-j", "2").code == 0
    assert len(server.chats) == 8
    tapes = b"".join(path.read_bytes() for path in (program.folder / "tape").iterdir())
    assert tapes.count(b'"answer"') == 4, "replaced answers are removed"
    for tape in (program.folder / "tape").iterdir():
        tape.unlink()
        tape.symlink_to("/dev/full")
    full = program.invoke(*live)
    assert (full.code, len(server.chats)) == (65, 8), "it is no turn of the conversation that fails"
    assert "cannot be written: it is not a regular file; choose another --cassette folder" in full.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeat", "2"], "use them with --mode live"),
        (["--cassette", "tape"], "use it with --mode live"),
        (["--mode", "live", "--refresh"], "use it with --cassette FOLDER"),
        (["--update", "-k", "second"], "--update writes all of b.jsonl"),
        (["--emit-test", "--tag", "x"], "a test replays whole files"),
    ],
)
def test_what_does_not_go_together(arguments, message, program):
    write(program, "b.jsonl", conversation("first"), conversation("second"))
    done = program.invoke("replay", "b.jsonl", *arguments)
    assert (done.out, done.code, message in done.err) == ("", 2, True)


JUNIT = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname", "id"},
    "testcase": {"name", "time", "classname"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
}
"""The attributes that both the schema of Jenkins' xUnit plugin and GitLab take."""


@pytest.mark.parametrize("wanted", ["berry", "strawberry"])
def test_the_ci_files_in_the_documentation_work(wanted, program):
    page = (Path(__file__).parents[3] / "docs" / "replay.md").read_text("utf-8").partition("## In CI")[2]
    github, gitlab = (yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.M))
    scripts = [step["run"] for step in github["jobs"]["replay"]["steps"] if "run" in step], gitlab["replay"]["script"]
    (program.folder / "shop.py").write_text("from swarmchat.examples.helpdesk import swarm\n")
    (program.folder / "transcripts").mkdir()
    write(program, "transcripts/a.jsonl", conversation("first", wanted))
    for install, run in scripts:
        assert install == 'pip install "swarmchat[yaml]"'
        command = shlex.split(run.replace("$GITHUB_STEP_SUMMARY", "summary.md"))
        assert program.invoke(*command[1:]).code == (0 if wanted == "berry" else DIFFERENT)
    assert ("strawberry" in (program.folder / "summary.md").read_text()) == (wanted == "strawberry")
    report = ElementTree.parse(program.folder / gitlab["replay"]["artifacts"]["reports"]["junit"])
    for element in report.iter():
        assert set(element.keys()) <= JUNIT[element.tag]
        assert element.tag != "testsuite" or {"name", "tests", "failures", "errors"} <= set(element.keys())
