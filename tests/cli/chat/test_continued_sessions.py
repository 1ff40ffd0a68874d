"""A session is continued with the swarm, the model and the server that it used before."""

import asyncio
import json
from dataclasses import replace

import pytest
from model_server import ModelServer, server_fixture
from swarmchat.backends import open_backend
from swarmchat.cli.errors import UsageError
from swarmchat.cli.settings.store import matching_session
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session
from terminal import CTRL_D, at_prompt, terminal

server = server_fixture

SWARM = """
from swarmchat.swarm import Agent, Swarm
swarm = Swarm("desk", [Agent("clerk", "You are the clerk.")])
"""


def configure(program, text: str) -> None:
    """Write the user's settings file."""
    folder = program.home / ".config" / "swarmchat"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(text)


def forget_swarm(program, name: str) -> None:
    """Leave out of the entry of a session what it is continued with."""

    async def run() -> None:
        backend = open_backend(f"disk:{program.home}/.local/share/swarmchat/sessions")
        info = await find_session(backend, "ann", name)
        await backend.commit(replace(info, resume_with=None).put(None))
        await backend.close()

    asyncio.run(run())


def agent(result) -> str:
    assert result.code == 0, result
    return json.loads(result.out)["turns"][-1]["agent"]


def test_a_session_keeps_its_swarm(program):
    program.invoke("-S", "helpdesk", "-s", "one", "hello")
    assert agent(program.invoke("-c", "--output", "json", "hello")) == "triage"
    assert agent(program.invoke("-s", "one", "--output", "json", "hello")) == "triage"


def test_a_session_keeps_the_file_of_its_swarm_from_any_folder(program):
    (program.folder / "desk.py").write_text(SWARM)
    program.invoke("-S", "desk.py", "-s", "one", "hello")
    work, program.folder = program.folder, program.folder / "other"
    program.folder.mkdir()
    assert agent(program.invoke("-c", "--output", "json", "hello")) == "clerk"
    program.folder = work
    (program.folder / "desk.py").rename(program.folder / "moved.py")
    lost = program.invoke("-c", "hello")
    assert lost.code == 78
    assert "session 'one' used a swarm that cannot be loaded" in lost.err
    assert "desk.py does not exist" in lost.err
    assert agent(program.invoke("-c", "-S", "moved.py", "--output", "json", "hello")) == "clerk"
    assert agent(program.invoke("-c", "--output", "json", "hello")) == "clerk"


def test_a_swarm_that_was_renamed_says_what_is_kept_under_its_old_name(program):
    swarm = """
from swarmchat.swarm import Agent, Policy, State, Storage, Swarm
swarm = Swarm(
    name=NAME, agents=[Agent("clerk", "You are the clerk.")], policies=[Policy("rude", lambda text: False)],
    states=[State("order", default=list)], storages=[Storage("drinks", items=["tea"], index=str)],
)
"""

    def name_it(name: str) -> None:
        (program.folder / "desk.py").write_text(swarm.replace("NAME", name))

    name_it('"desk"')
    program.invoke("-S", "desk.py", "-s", "one", "hello")
    assert program.invoke("memory", "-S", "desk.py", "name", "--set", "Ann").code == 0
    assert program.invoke("bans", "add", "-S", "desk.py", "eve", "--policy", "rude").code == 0
    assert program.invoke("storage", "drinks", "-S", "desk.py", "--search", "tea").code == 0
    name_it('"counter"')
    warning = "was 'desk' before and is 'counter' now: what is kept under the old name is not in use"
    renamed = program.invoke("-S", "desk.py", "-s", "two", "hello")
    assert (renamed.code, warning in renamed.err) == (0, True)
    assert "(the memory, storages, bans)" in renamed.err
    assert program.invoke("-S", "desk.py", "-s", "two", "hello").err == ""
    name_it('"counter", namespace="desk"')
    assert program.invoke("-S", "desk.py", "-s", "two", "hello").err == ""
    assert "Ann" in program.invoke("memory", "-S", "desk.py").out
    assert "eve" in program.invoke("bans", "list", "-S", "desk.py").out


def test_a_session_of_the_assistant_is_not_given_to_the_swarm_of_the_settings(program):
    program.invoke("-s", "plain", "hello")
    configure(program, 'swarm = "helpdesk"')
    assert agent(program.invoke("-s", "plain", "--output", "json", "hello")) == "assistant"
    assert agent(program.invoke("-s", "new", "--output", "json", "hello")) == "triage"
    assert agent(program.invoke("-s", "plain", "-S", "helpdesk", "--output", "json", "hello")) == "triage"


def test_a_session_keeps_its_model_and_server(program, server: ModelServer):
    program.invoke("-s", "one", "-m", "first", "--base-url", server.base_url, "hello")
    assert program.invoke("-c", "again").code == 0
    assert [body["model"] for body in server.chats] == ["first", "first"]
    program.invoke("-c", "-m", "second", "again")
    program.invoke("-c", "again")
    assert [body["model"] for body in server.chats][2:] == ["second", "second"]


def test_a_server_is_kept_once_it_has_answered(program, server: ModelServer):
    dead, once = "http://127.0.0.1:9/v1", {"SWARMCHAT_RETRIES": "0"}
    program.invoke("-s", "one", "-m", "first", "--base-url", server.base_url, "hello")
    assert program.invoke("-c", "-m", "second", "--base-url", dead, "again", env=once).code == 69
    assert program.invoke("-c", "again").code == 0
    assert [body["model"] for body in server.chats] == ["first", "first"]
    assert program.invoke("-s", "new", "-m", "third", "--base-url", dead, "hello", env=once).code == 69
    # There is no other one yet.
    asked = program.invoke("-c", "again", env=once)
    assert (asked.code, dead in asked.err) == (69, True)
    program.invoke("-c", "--base-url", server.base_url, "again")
    assert [body["model"] for body in server.chats] == ["first", "first", "third"]


def test_the_demo_model_is_not_kept(program, server: ModelServer):
    program.invoke("-s", "one", "hello")
    configure(program, f'model = "first"\nbase_url = "{server.base_url}"')
    program.invoke("-c", "again")
    assert [body["model"] for body in server.chats] == ["first"]


def test_resume_takes_the_swarm_of_the_other_session(program):
    program.invoke("-S", "helpdesk", "-s", "desk", "hello")
    script = "hello\n/resume desk\nhello\n/new\nhello\n/resume plain\nhello\n"
    result = program.invoke("run", "--script", "-", "-s", "plain", "--output", "json", piped=script)
    assert result.code == 0, result
    assert [turn["agent"] for turn in json.loads(result.out)["turns"]] == ["assistant", "triage", "triage", "assistant"]


def test_the_user_chooses_a_session_without_a_name(program):
    for name in ("one", "two", "three"):
        program.invoke("-m", "demo", "-s", name, "hello there")
    with terminal([*program.command, "-m", "demo", "-s"], env=program.env, cwd=program.folder) as screen:
        screen.wait_for("1-3:")
        screen.send("\r")
        screen.wait_for("enter a number from 1 to 3")
        screen.send("2\r")
        screen.wait_for("this is now session 'two'")
        screen.send("/resume\r")
        screen.wait_for("1-2:")
        screen.send("x\r")
        screen.wait_for("'x' is not one of the choices: enter a number from 1 to 2")
        screen.send("\x03")
        screen.wait_for("no other session was chosen")
        for count, leaves in enumerate(("/exit\r", "exit\r", CTRL_D), 2):
            screen.send("/resume\r")
            screen.wait_for(lambda shown: shown.words.endswith("1-2:"))
            screen.send(leaves)
            screen.wait_for(lambda shown, count=count: shown.words.count("no other session was chosen") == count)
            screen.wait_for(at_prompt)
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0


def test_a_folder_does_not_choose_the_server_of_a_session(program, server: ModelServer):
    (program.folder / "swarmchat.toml").write_text(f'model = "first"\nbase_url = "{server.base_url}"')
    program.invoke("trust", "--yes")
    program.invoke("-s", "one", "hello")
    assert len(server.chats) == 1
    (program.folder / "swarmchat.toml").unlink()
    program.invoke("-c", "again", env={"OPENAI_API_KEY": "sk-0123456789abcdef", "SWARMCHAT_MODEL": "demo"})
    assert len(server.chats) == 1


def infos(*names: str) -> list[SessionInfo]:
    return [SessionInfo(name, name, "ann", "", "", title=f"About {name}") for name in names]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("zesty-wren", "zesty-wren"),
        ("zes", "zesty-wren"),
        ("ZES", "zesty-wren"),
        ("2", "calm-owl"),
        ("about calm", "calm-owl"),
        ("7", "7"),
        ("8", None),
        ("x", None),
        ("", None),
    ],
)
def test_how_a_session_is_named(text: str, name: str | None):
    match = matching_session(infos("zesty-wren", "calm-owl", "7"), text)
    assert (match.name if match else None) == name


def test_a_beginning_that_two_sessions_share():
    with pytest.raises(UsageError, match="may mean calm-owl, calm-cat"):
        matching_session(infos("calm-owl", "calm-cat"), "calm")


def test_the_line_on_leaving_is_short(program):
    with program.chat("-S", "helpdesk", "--approve", "ask", "-s", "one") as terminal:
        terminal.wait_for("you ❯")
        terminal.send("hello\r")
        terminal.wait_for("what I can do")
        terminal.send("\x04")
        terminal.wait_for("resume with: swarmchat --client ann -s one # with the same --approve")


def test_a_session_whose_swarm_is_not_known_is_not_given_to_the_assistant(program):
    """One that a program has made with the library, or that was stored before swarms were."""
    (program.folder / "desk.py").write_text(SWARM)
    program.invoke("-S", "desk.py", "-s", "one", "hello")
    forget_swarm(program, "one")
    refused = program.invoke("-c", "hello")
    assert refused.code == 2
    assert "session 'one' belongs to the swarm 'desk', and its file is not known" in refused.err
    assert agent(program.invoke("-c", "-S", "assistant", "--output", "json", "hello")) == "assistant"
