"""``swarmchat doctor``: what it finds, on real stores and servers, and that it breaks nothing."""

import asyncio
import json
import re
import socket
from collections.abc import Mapping
from typing import Any

import pytest
from model_server import failure
from probed_server import Behaviour
from redis_server import start_redis
from swarmchat.backends import Append, Put, open_backend
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import Holder

SECRET = "sk-hunter2-0123456789"
ALL = {"program", "terminal", "settings", "model", "storage", "sessions"}

Found = Mapping[str, Mapping[str, str]]


def visit(program, *arguments: str, code: int = 0, **environment: str) -> Found:
    """Return the checks by their names; of those that there are several of, the last."""
    done = program.invoke("doctor", "--json", *arguments, env=environment)
    document = json.loads(done.out)
    assert (done.err, done.code, document["ok"]) == ("", code, code == 0)
    assert {check["status"] for check in document["checks"]} <= {"ok", "warning", "failed", "skipped"}
    assert SECRET not in done.out
    return {check["name"]: check for check in document["checks"]}


def store(program, *writes: Any) -> None:
    async def write() -> None:
        backend = open_backend(f"disk:{program.home}/.local/share/swarmchat/sessions")
        await backend.commit(*writes)
        await backend.close()

    asyncio.run(write())


def statuses(checks: Found) -> dict[str, str]:
    return {name: check["status"] for name, check in checks.items()}


def test_without_anything_all_is_well(program):
    done = program.run("doctor", env={"COLUMNS": "90"})
    assert (done.err, done.code) == ("", 0)
    groups = [line for line in done.out.splitlines() if re.fullmatch(r"[a-z]+", line)]
    assert set(groups) == ALL
    assert "  skipped  key          none is set: the demo model answers\n" in done.out
    assert re.search(r"\n  ok       tokenizer    o200k_base: installed with the right sha256", done.out)
    assert re.search(r"\n\d+ ok, 0 warning, 0 failed, \d+ skipped\n$", done.out)
    assert all(len(line) <= 90 or " " not in line.strip() for line in done.out.splitlines())


def test_on_a_terminal(program):
    for columns, rows in ((40, 10),):
        with program.chat("doctor", "--offline", columns=columns, rows=rows) as screen:
            assert screen.wait_for_end() == 0
            assert "stdin, stdout and stderr are a terminal" in screen.words
            assert f"{columns} x {rows}" in screen.words
            assert b"\x1b[32mok\x1b[0m" in screen.raw
    with program.chat("doctor", "--offline", env={"TERM": "dumb", "LANG": "C", "PYTHONUTF8": "0"}) as screen:
        assert screen.wait_for_end() == 0
        assert "warning kind TERM=dumb" in screen.words
        assert b"\x1b[" not in screen.raw


# Settings


def test_broken_settings_do_not_stop_the_rest(program):
    own = program.home / ".config/swarmchat/config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f'retires = 3\nmodel = ""\n[profiles.work]\nbakend = "disk"\napi_key = "{SECRET}"\n', "utf-8")
    own.chmod(0o644)
    (program.folder / "swarmchat.toml").write_text("this is no toml", "utf-8")
    done = program.invoke("doctor", env={"SWARMCHAT_PROFILE": "wrk", "SWARMCHAT_TIMEOUT": "soon", "COLUMNS": "400"})
    assert done.code == 1
    words = " ".join(done.out.split())
    for complaint in (
        "config.toml: unknown setting 'retires'; did you mean 'retries'?",
        "config.toml: model is '': expected text that is not empty",
        "swarmchat.toml is not valid TOML",
        "$SWARMCHAT_PROFILE: unknown profile 'wrk'; did you mean 'work'?",
        "$SWARMCHAT_TIMEOUT: timeout is 'soon'",
    ):
        assert re.search(rf"failed problem \S*{re.escape(complaint)}", words), complaint
    assert re.search(r"warning problem \S* \[profiles.work\]: unknown setting 'bakend'; did you mean 'backend'", words)
    assert f"{own} contains a key, and others can read it" in words
    assert "  ok       backend" in done.out
    assert "  ok       logs" in done.out
    assert SECRET not in done.out


def test_the_key_is_not_shown(program):
    checks = visit(program, "--offline", OPENAI_API_KEY=SECRET)
    assert checks["key"]["found"] == f"*** ({len(SECRET)} characters, from $OPENAI_API_KEY)"
    assert checks["server"] == {**checks["server"], "status": "skipped", "found": "--offline"}
    assert checks["context"]["found"].startswith("128,000 tokens")
    checks = visit(program, "--offline", code=1, OPENAI_API_KEY=f"{SECRET} {SECRET}")
    assert checks["key"]["status"] == "failed"
    assert checks["key"]["advice"] == "copy it again"


def test_a_command_for_the_key_that_fails(program):
    checks = visit(program, code=1, SWARMCHAT_API_KEY_COMMAND="false")
    assert checks["key"]["found"] == "api_key_command ended with exit code 1: run it yourself to see why"
    assert checks["server"]["found"] == "the key cannot be used"
    assert checks["tokenizer"]["status"] == "ok"


# The model


def test_a_good_server(program, server):
    server.reply(*[Behaviour()] * 20)
    checks = visit(program)
    names = ("server", "model", "answers", "streaming", "tool calls", "usage")
    assert [checks[name]["status"] for name in names] == ["ok"] * 6
    assert re.fullmatch(rf"{server.base_url} answers in \d+ ms", checks["server"]["found"])
    assert checks["context"]["status"] == "warning"
    assert len(server.chats) < 10
    assert visit(program, "--offline", SWARMCHAT_MAX_CONTEXT="8000")["context"]["status"] == "ok"


def test_a_server_with_faults(program, server):
    server.models = ["test-model-2", "other"]
    server.reply(*[Behaviour(leaks=True, usage=False)] * 20)
    checks = visit(program)
    assert checks["model"]["advice"].startswith("did you mean test-model-2?")
    assert (checks["tool calls"]["status"], checks["usage"]["status"]) == ("warning", "warning")
    assert "swarmchat counts the tokens itself" in checks["usage"]["advice"]


@pytest.mark.parametrize("lists_models", [True, False])
def test_what_a_server_demands_is_listed(lists_models, program, server):
    if not lists_models:
        server.models_reply = failure(404, "Not Found")
    server.reply(*[Behaviour(refuses="stream_options")] * 20)
    form = visit(program)["form"]
    assert (form["status"], form["found"]) == ("ok", "adapted to the server: answers have no token counts")


@pytest.mark.parametrize(
    ("reply", "complaint"), [(failure(401, f"bad key {SECRET}"), "check the API key"), (failure(500), "says (500)")]
)
def test_a_server_that_refuses(reply, complaint, program, server):
    server.models_reply = reply
    checks = visit(program, code=1, OPENAI_API_KEY=SECRET)
    assert checks["server"]["status"] == "failed"
    assert complaint in checks["server"]["found"]
    assert "answers" not in checks
    assert checks["logs"]["status"] == "ok"


def test_without_a_network_nothing_is_asked(program, server, redis_url):
    checks = visit(program, "--offline", "-b", "redis", "--redis-url", redis_url)
    assert checks["backend"]["status"] == "skipped"
    assert server.connections == 0


def test_a_server_that_is_gone(program):
    checks = visit(program, "-m", "m", "--base-url", "http://127.0.0.1:1/v1", code=1)
    assert checks["server"]["found"].startswith("cannot connect to http://127.0.0.1:1/v1")


# The store


def test_what_redis_is_warned_about(program, tmp_path):
    with start_redis(tmp_path, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as redis:
        with redis.client() as client:
            client.config_set("save", "60 1")
        checks = visit(program, "-b", "redis", "--redis-url", redis.url)
        with redis.client() as client:
            # Of each commit the server keeps a token for a minute, and nothing else is left.
            assert all(client.ttl(key) > 0 and client.type(key) == b"list" for key in client.scan_iter())
            client.config_set("save", "")
            client.config_set("maxmemory-policy", "noeviction")
            client.execute_command("ACL", "SETUSER", "plain", "on", ">pw", "~*", "+@all", "-info", "-config", "-time")
        other = visit(program, "-b", "redis", "--redis-url", redis.url)
        plain = visit(program, "-b", f"redis://plain:pw@127.0.0.1:{redis.port}/0")
    assert statuses(checks) == {**statuses(checks), "redis": "ok", "persistence": "warning", "memory": "warning"}
    assert "save 60 1" in checks["persistence"]["found"]
    assert checks["clock"]["status"] == "ok"
    assert other["memory"]["status"] == "ok"
    assert other["persistence"]["found"].startswith("none: a restart")
    assert (plain["redis"]["status"], plain["persistence"]["status"]) == ("skipped", "skipped")
    assert "clock" not in plain
    assert "pw" not in plain["backend"]["found"]


def test_redis_that_keeps_everything(program, redis_url):
    checks = visit(program, "-b", "redis", "--redis-url", redis_url)
    assert (checks["persistence"]["status"], checks["memory"]["status"]) == ("ok", "ok")
    assert re.search(r"write [\d.]+ ms, read [\d.]+ ms, lock [\d.]+ ms$", checks["backend"]["found"])


def test_an_unreachable_redis_and_an_invalid_url(program):
    checks = visit(program, "-b", "redis://127.0.0.1:1/0?deadline=1", code=1)
    assert checks["backend"]["status"] == "failed"
    assert "logs" not in checks
    assert "did you mean redis:?" in visit(program, "-b", "rediss2:x", code=1)["backend"]["found"].replace("ss:", "s:")


def test_memory(program):
    checks = visit(program, "-b", "memory")
    assert checks["keeping"]["advice"] == "-b disk keeps them"


def test_a_folder_that_cannot_be_one(program, tmp_path):
    (tmp_path / "file").write_text("")
    checks = visit(program, "--data-dir", str(tmp_path / "file"), code=1)
    assert checks["backend"]["status"] == "failed"
    assert visit(program, code=1, HOME=str(tmp_path / "file"))["backend"]["status"] == "failed"


def test_a_folder_that_others_can_look_into(program):
    program.invoke("-s", "s", "hi")
    folder = program.home / ".local/share/swarmchat"
    assert visit(program)["folder"]["status"] == "ok"
    (folder / "sessions").chmod(0o755)
    check = visit(program)["folder"]
    assert (check["status"], check["advice"]) == ("warning", f"chmod -R go= {folder}")


def test_the_doctor_leaves_nothing_behind(program):
    visit(program)

    async def look() -> list[str]:
        backend = open_backend(f"disk:{program.home}/.local/share/swarmchat/sessions")
        try:
            return [key async for key, _ in backend.scan("")]
        finally:
            await backend.close()

    assert asyncio.run(look()) == []


# Sessions


def test_damaged_sessions_are_named(program):
    for name in ("good", "bad one", "gone"):
        program.invoke("-s", name, "hi")
    from swarmchat.backends import Truncate

    store(
        program,
        Append(keys.session_log("ann", "bad one"), (b"\x1b[2J no record",)),
        Truncate(keys.session_log("ann", "gone"), 0),
        Put(keys.session_index("ann", "odd"), b"no json"),
        Append(keys.session_blobs("ann", "good"), (b"ab" * 32,)),
    )
    done = program.invoke("doctor", env={"COLUMNS": "300"})
    assert done.code == 0
    assert "warning  log          bad one: line " in done.out
    assert "→ swarmchat sessions repair 'bad one' keeps a copy" in done.out
    assert "warning  log          gone is listed but has no log" in done.out
    assert "unreadable entries in the list of sessions: 1" in done.out
    assert "warning  images       good: images that the store has lost, or has damaged: 1" in done.out
    listed = program.invoke("sessions", "list", env={"COLUMNS": "300"})
    assert "unreadable entries, skipped: 1; see swarmchat doctor" in listed.err
    assert "\x1b" not in done.out
    assert visit(program, "--client", "bob")["logs"]["found"] == "no sessions yet"


def test_locks(program):
    program.invoke("-s", "s", "hi")
    me = Holder.of_this_process()
    store(program, Put(keys.session_lease("ann", "s"), me.to_bytes()))
    checks = visit(program)
    assert checks["lock"]["found"].startswith(f"s is open in process {me.pid} on {socket.gethostname()[:10]}")
    gone = Holder(2**22 + 1, me.machine, me.host, "1", "n")
    store(program, Put(keys.session_lease("ann", "s"), gone.to_bytes()))
    checks = visit(program)
    assert (checks["lock"]["status"], checks["logs"]["status"]) == ("ok", "ok")
    assert "which had it open, is gone" in checks["lock"]["found"]
