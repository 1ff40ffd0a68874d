"""Model servers that are not as they should be: what a chat and the doctor say of them, on a real terminal."""

import json

import pytest
from model_server import Gate, Reply, failure, whole
from probed_server import Behaviour, decide
from terminal import CTRL_C, ENTER, at_prompt, say


def ask(screen, command: str) -> None:
    screen.wait_for(at_prompt)
    screen.send(command + ENTER)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (None, "the server has no model 'test-modl'; did you mean 'test-model'?"),
        (failure(404), "test-modl answers from now on, with a window of 32,000 tokens you ❯"),
        (failure(401, "no such key"), "could not check whether the server has it: http"),
    ],
)
def test_a_model_is_looked_up_where_the_server_says_what_it_has(reply, message, program, server):
    server.models_reply = reply
    with program.chat("-s", "s") as screen:
        say(screen, "/model test-modl", message)
        assert "Traceback" not in screen.text


def test_a_server_that_is_gone(program):
    gone = {"SWARMCHAT_RETRIES": "0", "SWARMCHAT_BASE_URL": "http://127.0.0.1:1/v1", "SWARMCHAT_MODEL": "a"}
    with program.chat("-s", "s", env=gone) as screen:
        say(screen, "/model b", "cannot connect to http://127.0.0.1:1/v1")
        say(screen, "hello", "error: cannot connect to http://127.0.0.1:1/v1")
        say(screen, "/doctor", "failed server cannot connect to http://127.0.0.1:1/v1")


@pytest.mark.parametrize("command", ["/model other", "/doctor"])
def test_what_waits_for_a_server_says_so_and_can_be_stopped(command, program, server):
    gate = Gate()
    server.models_reply = Reply([gate])
    with program.chat("-s", "s", columns=40, rows=10) as screen:
        ask(screen, command)
        screen.wait_for(f"{command.split()[0]} · at work")
        screen.send(CTRL_C)
        screen.wait_for("stopped")
        screen.wait_for(at_prompt)
        assert "at work" not in screen.text
        assert "what was said" not in screen.text
        gate.release()
        say(screen, "hello", "You said: hello")


def test_the_doctor_of_a_chat_looks_at_the_model_that_answers_now(program, server):
    server.models.append("second")
    server.reply(*[Behaviour()] * 20)
    with program.chat("-s", "s") as screen:
        say(screen, "/model second", "second answers from now on")
        say(screen, "/doctor", "ok model second is available")
        assert {body["model"] for body in server.chats} == {"second"}


def test_the_doctor_says_what_it_waits_for(program, server):
    gate = Gate()
    server.models_reply = Reply([gate])
    with program.chat("doctor") as screen:
        screen.wait_for("asking the model's server · Ctrl-C stops")
        screen.send(CTRL_C)
        assert screen.wait_for_end() == 130
        assert "asking" not in screen.text
        assert "Traceback" not in screen.text
    gate.release()


def in_one_piece(request):
    """A server that does not stream."""
    answer = decide(request.body["messages"], [tool["function"]["name"] for tool in request.body.get("tools", ())])
    if isinstance(answer, str):
        return whole({"content": answer})
    calls = [
        {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(values)}}
        for at, (name, values) in enumerate(answer)
    ]
    return whole({"content": None, "tool_calls": calls}, "tool_calls")


PAGE = Reply([b"<html>nginx</html>"], headers={"Content-Type": "text/html"})


@pytest.mark.parametrize(
    ("listing", "reply", "expected"),
    [
        (None, in_one_piece, {"server": "ok", "answers": "ok", "streaming": "warning", "tool calls": "ok"}),
        (None, Behaviour(calls=False), {"answers": "ok", "streaming": "ok", "tool calls": "warning"}),
        (None, Behaviour(refuses="tools"), {"answers": "ok", "tool calls": "warning"}),
        (
            None,
            failure(404, "The model does not exist.", code="model_not_found"),
            {"server": "ok", "answers": "failed"},
        ),
        (failure(404), Behaviour(), {"server": "warning", "answers": "ok"}),
        (PAGE, PAGE, {"server": "failed"}),
    ],
)
def test_what_the_doctor_says_of_a_server(listing, reply, expected, program, server):
    server.models_reply = listing
    server.reply(*[reply] * 20)
    done = program.invoke("doctor", "--json")
    document = json.loads(done.out)
    checks = {check["name"]: check for check in document["checks"]}
    assert {name: checks[name]["status"] for name in expected} == expected
    assert done.code == int("failed" in expected.values()) == int(not document["ok"])
    assert not any(".." in check["found"] + check["advice"] for check in document["checks"])
