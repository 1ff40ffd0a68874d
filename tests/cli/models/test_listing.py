"""Servers of models on this machine: found, offered, and left alone where nobody asked."""

import json
import subprocess
import sys

import pytest
from model_server import Gate, Reply, failure, model_server
from redis_server import free_port
from swarmchat.cli.models.listing import server_hint
from swarmchat.swarm.models.discovery import LocalServer, find_servers
from terminal import ENTER, at_prompt, say


def port_of(server) -> int:
    return int(server.base_url.split(":")[2].split("/")[0])


@pytest.fixture
def local(program):
    """A server of models that the program may find."""
    with model_server(models=("nomic-embed-text", "qwen3:8b", "llama3.2")) as running:
        program.env["SWARMCHAT_DISCOVER"] = str(port_of(running))
        yield running


def test_servers_are_found_in_the_order_of_their_ports():
    with model_server(models=["a"]) as one, model_server(models=["b", "c"]) as two:
        ports = [port_of(two), free_port(), port_of(one), port_of(two)]
        servers = find_servers(ports, seconds=10)
    assert [server.models for server in servers] == [("b", "c"), ("a",)]
    assert [server.base_url for server in servers] == [f"http://localhost:{port}/v1" for port in ports[::2]]
    (request,) = one.requests
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    "reply",
    [
        failure(404),
        failure(401, "a key, please"),
        Reply([b"<html>"], headers={"Content-Type": "text/html"}),
        Reply([b"[" * 100_000]),
        Reply([b'{"data": []}']),
        Reply([b'{"data": [7, {"id": 8}]}']),
        Reply([b'{"data": "x"}']),
        Reply([b" " * 2_000_000]),
        Reply([b"\xff\xfe"]),
    ],
)
def test_a_server_without_a_list_of_models_is_ignored(reply):
    with model_server() as server:
        server.models_reply = reply
        assert find_servers([port_of(server)], seconds=10) == []


def test_a_server_that_loads_its_model_is_offered():
    with model_server() as server:
        server.models_reply = failure(503, "Loading model")
        [found] = find_servers([port_of(server)], seconds=10)
    assert found.models == ()
    assert server_hint(found) == (
        f"a model server is loading its model here: swarmchat --base-url {found.base_url} waits for it"
    )


def test_a_server_that_says_nothing_is_not_waited_for():
    gate = Gate()
    with model_server() as server, model_server(models=["a"]) as other:
        server.models_reply = Reply([gate])
        servers = find_servers([port_of(server), port_of(other)], seconds=1)
        gate.release()
    assert [each.models for each in servers] == [("a",)]


def test_an_offer_can_be_copied_and_cannot_control_the_terminal():
    server = LocalServer("Ollama", "http://localhost:11434/v1", ("embed", "a b\x1b[2J", "b", "c", "d"))
    assert server_hint(server) == (
        "Ollama runs here with a b␛[2J, b, c, …: swarmchat -m 'a b␛[2J' --base-url http://localhost:11434/v1"
    )
    assert "with embed: " in server_hint(LocalServer("Ollama", "http://localhost:1/v1", ("embed",)))


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])
def test_users_without_a_model_see_how_to_get_one(columns, rows, program, local):
    with program.chat(columns=columns, rows=rows) as screen:
        screen.wait_for(lambda screen: "runs here with qwen3:8b, llama3.2" in "".join(screen.lines))
        screen.wait_for(at_prompt)
        whole = "".join(line.removeprefix("  ") for line in screen.lines)
        assert f"swarmchat -m qwen3:8b --base-url http://localhost:{port_of(local)}/v1" in whole
        hints = (
            "demo model: scripted answers, no AI",
            "OPENAI_API_KEY",
            "-c continues here",
            "/help lists the commands",
        )
        assert [words for words in hints if words not in screen.words] == []
        say(screen, "hello", "assistant ❯ Hello!")
    assert [request.path for request in local.requests] == ["/v1/models"]


def test_what_was_typed_meanwhile_stays_at_the_prompt(program, local):
    gate, listing = Gate(), Reply([b'{"data": [{"id": "late"}]}'])
    local.models_reply = Reply([gate, *listing.steps])
    with program.chat() as screen:
        screen.wait_for(at_prompt)
        screen.send("half a question")
        screen.wait_for("you ❯ half a question")
        gate.release()
        screen.wait_for(lambda screen: "runs here with late" in "".join(screen.lines) or not local.requests)
        say(screen, "", 'You said "half a question"')


@pytest.mark.parametrize("arguments", [("-m", "demo"), ("-m", "m", "--base-url", "http://127.0.0.1:1/v1")])
def test_no_offer_to_users_who_chose_a_model(arguments, program, local):
    with program.chat(*arguments) as screen:
        screen.wait_for(at_prompt)
        screen.send("/exit" + ENTER)
        assert screen.wait_for_end() == 0
    assert local.requests == []


def test_a_pipe_and_the_setting_false_look_for_nothing(program, local):
    assert program.invoke("hello!").code == 0
    assert program.invoke("models", "list", env={"SWARMCHAT_DISCOVER": "false"}).code == 0
    assert local.requests == []


def test_models_list_names_what_runs_here(program, local):
    done = program.invoke("models", "list")
    assert (done.out, done.code) == ("* demo\n", 0)
    assert "  a model server runs here with qwen3:8b, llama3.2: swarmchat -m qwen3:8b" in done.err
    servers = json.loads(program.invoke("models", "list", "--json").out)["found"]
    assert [each["models"] for each in servers] == [["nomic-embed-text", "qwen3:8b", "llama3.2"]]


def test_nothing_of_it_is_loaded_before_the_first_prompt(program):
    code = (
        "import sys\nfrom swarmchat.cli.chat import chat, repl; from swarmchat.cli.settings import wiring\n"
        "print(*[name for name in ('http.client', 'swarmchat.cli.models.listing', 'swarmchat.swarm.models.discovery',"
        " 'tomlkit') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=program.env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
