"""Models with settings of their own, the only model of a server, and models for outages, as the user sees them."""

import json

import pytest
from model_server import ModelServer, failure, model_server
from terminal import CTRL_D, at_prompt, say


@pytest.fixture
def other():
    """A second server."""
    with model_server(models=["real"]) as running:
        yield running


def configure(program, text: str) -> None:
    folder = program.home / ".config" / "swarmchat"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(text)


def table(other: ModelServer) -> str:
    return f'[models.fast]\nmodel = "real"\nbase_url = "{other.base_url}"\napi_key = "sk-other-secret"\n'


TEAM = """
from swarmchat.swarm import Agent, Swarm
swarm = Swarm("team", [Agent("boss", "Decide.", model="fast")])
"""


def test_a_named_model_is_chosen_and_kept(program, server, other):
    del program.env["SWARMCHAT_BASE_URL"], program.env["SWARMCHAT_MODEL"]
    configure(program, f'model = "test-model"\nbase_url = "{server.base_url}"\n{table(other)}')
    assert program.invoke("-s", "s", "-m", "fast", "hello").out == "You said: hello\n"
    assert program.invoke("-c", "again").out == "You said: again\n"
    assert [request.headers["authorization"] for request in other.requests if request.method == "POST"] == [
        "Bearer sk-other-secret",
        "Bearer sk-other-secret",
    ]
    assert [body["model"] for body in other.chats] == ["real", "real"]
    assert not server.chats
    listed = json.loads(program.invoke("sessions", "list", "--json").out)
    assert listed[0]["model"] == "fast"
    assert program.invoke("models", "list").out == "  demo\n  fast\n* test-model\n"


def test_an_agent_has_a_server_of_its_own(program, server, other):
    configure(program, table(other))
    (program.folder / "team.py").write_text(TEAM)
    assert program.invoke("-S", "team.py", "hello").out == "You said: hello\n"
    assert (len(server.chats), len(other.chats)) == (0, 1)


def test_the_model_and_the_server_change_in_the_chat(program, server, other):
    configure(program, table(other))
    with program.chat("-s", "s", columns=120) as screen:
        screen.wait_for(at_prompt)
        screen.send("/model fa\t")
        screen.wait_for("/model fast")
        screen.send("\x15")
        say(screen, "/model fast", "fast answers from now on")
        say(screen, "one", "You said: one")
        say(screen, f"/model --base-url {other.base_url}", "real answers from now on")
        say(screen, "two", "You said: two")
        say(screen, "/model x --base-url nowhere", "expected an address such as")
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
    assert [body["model"] for body in other.chats] == ["real", "real"]
    del program.env["SWARMCHAT_BASE_URL"], program.env["SWARMCHAT_MODEL"]
    assert program.invoke("-c", "three").out == "You said: three\n"
    assert len(other.chats) == 3


def test_an_address_alone_takes_the_only_model(program, other):
    assert program.invoke("--base-url", other.base_url, "hello").out == "You said: hello\n"
    other.models.append("nomic-embed-text")
    assert program.invoke("--base-url", other.base_url, "hello").out == "You said: hello\n"
    other.models.append("second")
    done = program.invoke("--base-url", other.base_url, "hello")
    assert (done.out, done.code) == ("", 78)
    assert "It lists nomic-embed-text, real, second. Name it with -m MODEL" in done.err
    other.models.clear()
    done = program.invoke("--base-url", other.base_url, "hello")
    assert (done.code, "It lists no models. Name it with -m MODEL" in done.err) == (78, True)
    other.models_reply = failure(404)
    done = program.invoke("--base-url", other.base_url, "hello")
    assert done.code == 78
    assert f"which model of {other.base_url}? Name it with -m MODEL" in done.err


def test_a_server_that_loads_its_only_model_is_waited_for_with_a_line(program, other):
    other.loading = 3
    done = program.invoke("--base-url", other.base_url, "hello!")
    assert (done.out, done.code) == ("You said: hello!\n", 0)
    assert done.err == "  the server is loading its model: waiting\n"


def test_an_outage_is_reported_and_recorded(program, server, other):
    configure(program, 'retries = 0\nfallback = ["fast"]\n' + table(other))
    server.reply(failure(503))
    done = program.invoke("-s", "s", "hello")
    assert (done.out, done.code) == ("You said: hello\n", 0)
    assert "warning: fast answers in place of test-model: " in done.err
    assert "warning" not in program.invoke("-s", "s", "again").err
    log = [json.loads(line) for line in program.invoke("sessions", "export", "s").out.splitlines()]
    assert [record.get("model") for record in log if record["type"] == "assistant"] == ["fast", None]


def test_a_log_of_an_outage_is_replayed(program, server, other):
    configure(program, 'retries = 0\nfallback = ["fast"]\n' + table(other))
    server.reply(failure(503))
    program.invoke("-s", "s", "hello")
    (program.folder / "s.jsonl").write_text(program.invoke("sessions", "export", "s").out)
    assert program.invoke("replay", "s.jsonl").code == 0
