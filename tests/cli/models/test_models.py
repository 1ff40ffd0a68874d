"""``swarmchat models``: the models of a server, and what one gets wrong."""

import json
import re
from pathlib import Path

import pytest
from model_server import Gate, Reply, failure, hang, text
from probed_server import Behaviour
from swarmchat.swarm.probes.checks import PROBES

MANY = 100
KEY = "sk-test-1234567890abcdef"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"


@pytest.fixture(autouse=True)
def one_attempt(program):
    program.env["SWARMCHAT_RETRIES"] = "0"


def rows(out: str) -> dict[str, tuple[str, str]]:
    """Return the status and the rescue's step of each probe in the table, by what it is about."""
    table = re.search(r"^result .*?\n\n", out + "\n\n", re.MULTILINE | re.DOTALL)
    assert table
    lines = table[0].splitlines()[1:-1]
    return {line[9:38].strip(): (line[:8].strip(), line[39:51].strip()) for line in lines}


# models test


def test_a_good_server(program, server):
    server.reply(*[Behaviour()] * MANY)
    done = program.invoke("models", "test")
    assert (done.err, done.code) == ("", 0)
    assert done.out.startswith(f"test-model at {server.base_url}\n\nresult   probe ")
    assert rows(done.out) == dict.fromkeys(
        [*(each.about for each in PROBES), "leaks nothing into answers"], ("ok", "-")
    )
    assert "usable for chat:    yes\nusable for tools:   yes\nusable for swarms:  yes\n" in done.out
    assert re.search(r"^it took 22 requests, [\d,]+ tokens, \d+ s$", done.out, re.MULTILINE)
    assert "mistakes, the rescue" not in done.out


def test_a_server_that_leaks_calls(program, server):
    server.reply(*[Behaviour(leaks=True, parallel=False)] * MANY)
    done = program.invoke("models", "test", "--quick")
    assert (done.err, done.code) == ("", 0)
    assert rows(done.out)["calls a tool"] == ("quirk", "repair")
    assert rows(done.out)["gives calls unique ids"] == ("skipped", "-")
    assert rows(done.out)["reads a long context"] == ("skipped", "-")
    assert "usable for tools:   with rescue\n" in done.out
    assert "\n- leaks_calls_as_text (repair): swarmchat finds the calls in the text;" in done.out
    assert "\n- no_parallel_calls: " in done.out


def test_json_is_one_document(program, server):
    server.reply(*[Behaviour(usage=False)] * MANY)
    done = program.invoke("models", "test", "--json", "--quick")
    assert (done.err, done.code) == ("", 0)
    report = json.loads(done.out)
    assert (report["model"], report["server"], report["error"]) == ("test-model", server.base_url, None)
    assert report["usable"] == {"chat": "yes", "tools": "yes", "swarms": "yes"}
    assert report["quirks"].keys() == {"no_usage"}
    assert report["quirks"]["no_usage"]["advice"].startswith("swarmchat counts the tokens itself")
    assert report["probes"][2] == {
        "name": "usage",
        "status": "quirk",
        "seen": "none reported",
        "quirks": ["no_usage"],
        "steps": [],
    }
    assert report["requests"] == 21


def test_a_model_that_cannot_chat(program, server):
    server.reply(*[Behaviour(empty=True)] * MANY)
    done = program.invoke("models", "test")
    assert (done.code, done.err) == (
        4,
        "error: test-model gave no usable answer: it cannot chat with this server and these settings\n",
    )
    assert rows(done.out)["answers a question"] == ("failed", "placeholder")
    assert "\n- answers_empty (recomplete, flush, placeholder): " in done.out


def test_a_model_that_takes_no_tools(program, server):
    server.reply(*[Behaviour(refuses="tools")] * MANY)
    done = program.invoke("models", "test", "--quick")
    assert (done.err, done.code) == ("", 0)
    assert rows(done.out)["calls a tool"] == ("failed", "-")
    assert "usable for swarms:  no\n" in done.out
    assert "\n- refuses_tools: " in done.out


@pytest.mark.parametrize(
    ("reply", "code", "complaint"),
    [
        (failure(401, f"Incorrect API key provided: {KEY}"), 77, "check the API key"),
        (failure(404, "The model `m` does not exist", code="model_not_found"), 66, "Check the model's name"),
        (failure(429, "slow down"), 75, "Try again later"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_errors_of_the_provider_follow_what_was_found(reply: Reply, code, complaint, as_json, program, server):
    program.env["OPENAI_API_KEY"] = KEY
    server.reply(Behaviour(), Behaviour(), reply)
    done = program.invoke("models", "test", *["--json"] * as_json)
    assert done.code == code
    assert re.fullmatch(r"error: [^\n]+\n", done.err)
    assert complaint in done.err
    assert KEY not in done.err + done.out
    if as_json:
        report = json.loads(done.out)
        assert complaint in report["error"]
        assert [each["name"] for each in report["probes"]][-1] == "streaming"
    else:
        assert list(rows(done.out))[-1] == "streams its answer"
        assert "usable for tools:   unknown\n" in done.out


def test_a_server_that_is_not_there(program):
    done = program.invoke("models", "test", "-m", "m", "--base-url", "http://127.0.0.1:1/v1")
    assert done.code == 69
    assert done.err.startswith("error: cannot connect to http://127.0.0.1:1/v1")
    listed = program.invoke("models", "list", "--base-url", "http://127.0.0.1:1/v1")
    assert (listed.out, listed.code) == ("", 69)


def test_waits_are_reported(program, server):
    program.env["SWARMCHAT_RETRIES"] = "4"
    server.reply(failure(500, "oops", {"retry-after-ms": "1"}), *[Behaviour()] * MANY)
    done = program.invoke("models", "test", "--quick")
    assert (done.err, done.code) == ("  server error 500; attempt 2 in 0.0 s\n", 0)


@pytest.mark.parametrize("as_json", [False, True])
def test_hostile_texts_are_made_safe(as_json, program, server):
    server.reply(*[Behaviour(prefix=HOSTILE, leaks=True)] * 8, *[text(f"x{HOSTILE}")] * 3, failure(400, HOSTILE))
    server.models = [f"evil{HOSTILE}"]
    for command in (["models", "test", "-m", f"m{HOSTILE}", "--quick"], ["models", "list"]):
        done = program.invoke(*command, *["--json"] * as_json)
        assert done.code == 0
        assert re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.out + done.err) is None
        assert "owned" in done.out


def test_the_demo_model_can_be_tested(program):
    done = program.invoke("models", "test", "--quick")
    assert (done.err.startswith("error: demo gave no usable answer"), done.code) == (True, 4)
    assert done.out.startswith("demo at no server: it is built in\n")
    assert rows(done.out)["answers a question"] == ("failed", "-")
    assert "\nthis is the demo model: " in done.out
    assert json.loads(program.invoke("models", "test", "--quick", "--json").out)["server"] is None


def test_each_probe_shows_on_a_terminal_as_it_is_done(program, server):
    gate = Gate()
    server.reply(Behaviour(), hang(gate), *[Behaviour()] * MANY)
    with program.chat("models", "test", "--quick", "--json", columns=100, rows=150) as screen:
        screen.wait_for("ok separates its reasoning")
        assert "follows the system message" not in screen.text
        gate.release()
        screen.wait_for('"seconds": ')
        assert "ok hands over" in screen.words


def test_a_timeout_must_be_one(program, server):
    done = program.invoke("models", "test", "--timeout", "soon")
    assert (done.out, done.code) == ("", 78)
    assert "--timeout: timeout is 'soon': expected seconds above 0" in done.err


def test_the_documents_show_what_is_printed(program, server):
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text("utf-8")
    shown = re.findall(r"^```text\n(test-model at .*?)^```$", page, re.MULTILINE | re.DOTALL)
    server.reply(*[Behaviour(leaks=True, usage=False, window=2_000)] * MANY)
    printed = program.invoke("models", "test", env={"COLUMNS": "100"}).out
    printed = printed.replace(server.base_url, "http://localhost:8080/v1")
    # How long it took, and the tokens of a body with another port.
    parts = r"\d+\.\d|it took .*"
    assert [re.sub(parts, "…", printed)] == [re.sub(parts, "…", text) for text in shown]


# models list


def test_models_are_listed(program, server):
    server.models = ["zeta", "test-model"]
    done = program.invoke("models", "list")
    assert (done.out, done.err, done.code) == ("  demo\n* test-model\n  zeta\n", "", 0)
    listing = json.loads(program.invoke("models", "list", "--json").out)
    assert listing == {
        "server": server.base_url,
        "models": [
            {"id": "demo", "owner": "swarmchat", "current": False},
            {"id": "test-model", "owner": "tests", "current": True},
            {"id": "zeta", "owner": "tests", "current": False},
        ],
        "found": [],
    }


def test_the_demo_model_is_the_default(program):
    done = program.invoke("models", "list")
    assert (done.out, done.code) == ("* demo\n", 0)
    assert done.err.startswith("  to connect a model: set OPENAI_API_KEY, or name a server with -m MODEL --base-url ")
    assert json.loads(program.invoke("models", "list", "--json").out)["server"] is None


@pytest.mark.parametrize("body", [b'{"data": null}', b'{"data": []}', b"[]", b'{"data": [7, {"id": 8}]}'])
def test_a_server_without_models(body, program, server):
    server.models_reply = Reply([body], headers={"Content-Type": "application/json"})
    done = program.invoke("models", "list")
    assert (done.out, done.err, done.code) == ("  demo\n", f"  {server.base_url} lists no models\n", 0)


@pytest.mark.parametrize(
    ("reply", "code", "complaint"),
    [
        (failure(401), 77, "the server requires an API key"),
        (failure(429), 75, "Try again later"),
        (Reply([b"<html>"], headers={"Content-Type": "text/html"}), 66, "it answers with a web page"),
        (Reply([b"{}"], headers={"Content-Type": "application/json"}), 69, "where a JSON object"),
        (Reply([b"nonsense"], headers={"Content-Type": "application/json"}), 69, "sent 'nonsense'"),
        (Reply([b'{"error": {"message": "no", "code": 403}}']), 77, "says (403): no"),
    ],
)
def test_a_list_that_cannot_be_had(reply, code, complaint, program, server):
    server.models_reply = reply
    done = program.invoke("models", "list")
    assert (done.out, done.code) == ("", code)
    assert re.fullmatch(r"error: [^\n]+\n", done.err)
    assert complaint in done.err


def test_an_address_without_its_version(program, server):
    root = server.base_url.removesuffix("/v1")
    assert program.invoke("models", "list", "--base-url", root).out == "  demo\n* test-model\n"
    done = program.invoke("models", "list", "--base-url", f"{root}/other")
    assert (done.out, done.code) == ("", 66)
    assert f"there is no chat API at {root}/other: it says (404)" in done.err


@pytest.mark.parametrize("command", [["models", "list"], ["models", "test", "-m", "m"]])
def test_a_folder_does_not_choose_who_gets_the_key(command, program, server):
    del program.env["SWARMCHAT_BASE_URL"]
    program.env["OPENAI_API_KEY"] = KEY
    (program.folder / "swarmchat.toml").write_text(f'base_url = "{server.base_url}"\n')
    program.invoke("trust", "--yes")
    done = program.invoke(*command)
    assert (done.out, done.code) == ("", 78)
    assert "a folder must not choose who gets your key" in done.err
    assert server.requests == []
