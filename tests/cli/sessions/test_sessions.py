"""`swarmchat sessions`: list, show, search, rename, delete, prune, export, import, copy, fork, repair."""

import asyncio
import json
import re
import sqlite3
from pathlib import Path

import pytest
from logs import TEA, answered, asked, call, fields, lines_of, resulted, write_file
from swarmchat.backends import Append, open_backend
from swarmchat.backends.base import Truncate
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import SessionLease
from terminal import CTRL_C


@pytest.fixture(params=["disk", "redis"])
def place(request: pytest.FixtureRequest) -> list[str]:
    """The options that name an empty store of each kind that outlives a process."""
    if request.param == "disk":
        return []
    return ["-b", "redis", "--redis-url", request.getfixturevalue("redis_url")]


@pytest.fixture
def tea(program) -> Path:
    """A file with the log of one session."""
    return write_file(program.folder / "tea.jsonl", TEA)


def url_of(program, place: list[str]) -> str:
    return place[3] if place else f"disk:{program.home}/.local/share/swarmchat/sessions"


def sessions(program, *arguments: str) -> str:
    """Return what the command prints, which must end well and complain of nothing."""
    done = program.invoke("sessions", *arguments)
    left_behind = "  memory, bans and storages of ann stay on disk: --all copies them too\n"
    expected = left_behind if arguments[0] == "copy" and not {"--json", "--all"} & {*arguments} else ""
    assert (re.sub(r" *[0-9]+ h left: then .*\n", "", done.err), done.code) == (expected, 0), done
    return done.out


def refused(program, *arguments: str, code: int) -> str:
    """Return the one line that the command complains with."""
    done = program.invoke("sessions", *arguments)
    assert (done.out, done.code, done.err.count("\n")) == ("", code, 1), done
    return done.err.removeprefix("error: ").strip()


def test_the_time_left_is_that_of_the_store(program, redis_url):
    """It begins anew when a session is left, whatever lifetime the settings have now."""
    place = ["-b", "redis", "--redis-url", redis_url]
    program.invoke("-s", "tea", "hello", *place, env={"SWARMCHAT_LIFETIME": "1h"})
    assert "  59 min left  " in program.invoke("sessions", "list", *place).out
    program.invoke("run", "--script", "-", "-s", "tea", *place, env={"SWARMCHAT_LIFETIME": "3h"}, piped="/session\n")
    assert "  2 h left  " in program.invoke("sessions", "list", *place).out
    program.invoke("-s", "tea", "hello", *place, env={"SWARMCHAT_LIFETIME": "none"})
    assert json.loads(program.invoke("sessions", "list", "--json", *place).out)[0]["expires"] is None


def test_a_session_whose_log_was_evicted_is_not_shown_as_an_empty_one(program, tea):
    sessions(program, "import", str(tea))

    async def evict() -> None:
        backend = open_backend(url_of(program, []))
        await backend.commit(Truncate(keys.session_log("ann", "tea"), 0))
        await backend.close()

    asyncio.run(evict())
    for command in ("show tea", "export tea", "export tea --format openai", "fork tea new", "repair tea"):
        assert "the log of session 'tea' is gone" in refused(program, *command.split(), code=65)
    done = program.invoke("sessions", "search", "tea")
    assert (done.code, done.err.count("was skipped: the log of session 'tea' is gone")) == (1, 1)
    assert (
        "not copied: the log of session 'tea' is gone" in program.invoke(*"sessions copy --all --to memory".split()).err
    )


def test_sessions_are_listed_the_last_used_first(program, place, tea):
    assert sessions(program, "list", *place) == ""
    assert sessions(program, "list", *place, "--json") == "[]\n"
    sessions(program, "import", str(tea), *place)
    assert program.invoke("chat", "-s", "hello", *place, "Hi there").code == 0
    first, second = sessions(program, "list", *place).splitlines()
    assert first.startswith("hello  ")
    lifetime = "  23 h left" if place[:2] == ["-b", "redis"] else ""
    assert first.endswith(f"  1 turn{lifetime}  assistant/demo  Hi there")
    assert second.startswith("tea    ")
    shown = program.invoke("sessions", "show", "hello", *place).err
    assert shown == (lifetime and "  23 h left: then the session is deleted, unless it is opened before\n")
    # It was imported just now, and last used long ago.
    assert re.search(rf"  2 turns{lifetime}  till/gpt  A tea, please$", second)
    rows = json.loads(sessions(program, "list", *place, "--json"))
    assert [row["name"] for row in rows] == ["hello", "tea"]
    assert rows[1] | {"backend": "", "expires": None} == {
        "name": "tea",
        "id": "tea",
        "title": "A tea, please",
        "turns": 2,
        "created": "2026-01-02T03:04:05.000Z",
        "updated": "2026-01-02T03:04:05.000Z",
        "swarm": "shop",
        "agent": "till",
        "model": "gpt",
        "backend": "",
        "expires": None,
    }
    assert [row["expires"] is None for row in rows] == [lifetime == ""] * 2
    assert len(json.loads(sessions(program, "list", *place, "--json", "--limit", "1"))) == 1
    assert sessions(program, "list", *place, "--client", "bob") == ""


def test_all_looks_into_disk_and_redis_and_says_what_it_could_not_reach(program, tea, redis_url):
    sessions(program, "import", str(tea))
    assert [
        row["backend"] for row in json.loads(sessions(program, "list", "--all", "--json", "--redis-url", redis_url))
    ] == ["disk"]
    sessions(program, "copy", "tea", "--to", "redis", "--redis-url", redis_url)
    listed = sessions(program, "list", "--all", "--redis-url", redis_url)
    assert sorted(line.split()[0] for line in listed.splitlines()) == ["disk", "redis"]
    output = sessions(program, "search", "cake", "--all", "--redis-url", redis_url)
    assert len(output.splitlines()) == 4
    program.invoke("sessions", "delete", "tea", "--yes")
    output = sessions(program, "search", "cake", "--all", "-s", "tea", "--redis-url", redis_url)
    assert len(output.splitlines()) == 2
    sessions(program, "import", str(tea))
    away = program.invoke("sessions", "list", "--all", "--redis-url", "redis://localhost:1/0?deadline=0.1")
    assert away.code == 0
    assert "redis was skipped: " in away.err
    assert away.out.startswith("disk ")
    assert "leave out -b" in refused(program, "list", "--all", "-b", "disk", code=2)
    assert program.invoke("sessions", "list", "-b", "redis://localhost:1/0?deadline=0.1").code == 69


def test_a_session_is_shown_as_it_was_said(program, place, tea):
    sessions(program, "import", str(tea), *place)
    assert sessions(program, "show", "tea", *place).splitlines() == [
        "user ❯ A tea, please",
        '  desk · order({"item":"tea"})  ok: one tea',
        "  desk · transfer_to_till({})  ok: {}",
        "  desk → till",
        '  state order = ["tea"]',
        "till ❯ That is 3.50.",
        "user ❯ And a cake",
        "till ❯ No cake today.",
        "  state order = null",
    ]
    assert json.loads(sessions(program, "show", "tea", *place, "--json")) == [fields(line) for line in TEA]
    assert "did you mean 'tea'?" in refused(program, "show", "tee", *place, code=66)


def test_what_an_agent_did_as_a_tool_is_folded_exported_searched_and_redacted(program):
    told = program.invoke("chat", "-S", "helpdesk", "-s", "facts", "-m", "demo", "research honey")
    assert "  task 1.1: researcher begins: Collect: honey\n" in told.err
    answer = "Honey that is kept sealed hardly ever spoils. Honey bees dance to tell one another where flowers are."
    folded = sessions(program, "show", "facts").splitlines()
    assert folded[1].startswith("  task 1.1, researcher: Collect: honey (2 requests, ")
    assert folded[2].startswith('  triage · researcher({"task": "Collect: honey"})  ok: Honey')
    shown = sessions(program, "show", "facts", "--tasks").splitlines()
    assert [shown[0], shown[1], *shown[5:]] == folded
    assert shown[2] == "    1.1 user: Collect: honey"
    assert shown[3].startswith('    1.1 researcher · find_fact({"about": "honey", "limit": "3"})  ok: Honey')
    assert shown[4] == f"    1.1 researcher: {answer}"
    assert "*task 1.1, researcher: Collect: honey (" in sessions(program, "export", "facts", "--format", "markdown")
    assert "turn 1  assistant researcher: " in sessions(program, "search", "sealed")
    log = sessions(program, "export", "facts")
    (program.folder / "facts.jsonl").write_text(log, "utf-8")
    assert "the conversation is the same (1 turn" in program.invoke("replay", "facts.jsonl").out
    redacted = sessions(program, "export", "facts", "--redact", "(?i)honey")
    assert "honey" not in redacted.lower()
    assert [json.loads(line).get("entry") for line in redacted.splitlines()] == [
        json.loads(line).get("entry") for line in log.splitlines()
    ]


def test_nothing_in_a_transcript_controls_the_terminal(program, tmp_path):
    bad = "\x1b]0;x\x07\x1b[2J\u202e"
    lines = lines_of([asked(bad), answered(bad, call("c", bad, bad), agent=bad), resulted("c", bad)], bad)
    sessions(program, "import", str(write_file(tmp_path / "bad.jsonl", lines)))
    for command in (("list",), ("show", bad), ("search", "x"), ("repair", bad, "--dry-run"), ("fork", bad)):
        shown = program.invoke("sessions", *command).out
        assert shown
        assert not set(shown) & set("\x1b\x07\u202e"), command
    for command, wanted in ((("export", "--format", "markdown"), "Turn 1"), (("show", "--json"), '"turn": 1')):
        with program.chat("sessions", *command, "--", bad) as screen:
            screen.wait_for(wanted)
            screen.wait_for_end()
            assert b"\x1b]0" not in screen.raw
            assert "\u202e".encode() not in screen.raw
    assert "\x1b" not in refused(program, "show", "\x1b[2J", code=66)


def test_search_is_as_grep_is(program, place, tea):
    sessions(program, "import", str(tea), *place)
    assert sessions(program, "search", "TEA", *place).splitlines() == [
        "tea  turn 1  user desk: A tea, please",
        'tea  turn 1  call order: order({"item":"tea"})',
        "tea  turn 1  tool order: one tea",
    ]
    assert program.invoke("sessions", "search", "coffee", *place).code == 1
    hits = json.loads(sessions(program, "search", r"\d\.\d+", "--regex", "-s", "tea", "--json", *place))
    assert [(hit["session"], hit["turn"], hit["role"], hit["match"]) for hit in hits] == [
        ("tea", 1, "assistant", "3.50")
    ]
    assert "is not a regular expression" in refused(program, "search", "(", "--regex", *place, code=2)
    assert "no session 'x'" in refused(program, "search", "tea", "-s", "x", *place, code=66)


def test_rename_and_delete(program, place, tea):
    sessions(program, "import", str(tea), *place)
    sessions(program, "rename", "tea", "breakfast", *place)
    for name in ("tea", "breakfast"):
        assert "  renamed to breakfast" in sessions(program, "show", name, *place)
    assert program.invoke("chat", "-S", "assistant", "-s", "breakfast", *place, "Hello").code == 0
    assert json.loads(sessions(program, "list", "--json", *place))[0]["turns"] == 3
    sessions(program, "import", str(write_file(tea, lines_of([asked("x")], "other"))), *place)
    assert "has a session 'other'" in refused(program, "rename", "tea", "other", *place, code=2)
    assert "cannot be empty" in refused(program, "rename", "tea", " ", *place, code=2)
    assert "cannot ask for confirmation" in refused(program, "delete", "tea", *place, code=2)
    assert "no session 'gone'" in refused(program, "delete", "tea", "gone", "--yes", *place, code=66)
    assert json.loads(sessions(program, "delete", "breakfast", "-y", "--json", *place)) == [
        {"id": "tea", "name": "breakfast"}
    ]
    assert [row["name"] for row in json.loads(sessions(program, "list", "--json", *place))] == ["other"]


def test_what_another_process_has_open_is_left_alone(program, place, tea):
    sessions(program, "import", str(tea), *place)

    async def hold() -> tuple[SessionLease, object]:
        backend = open_backend(url_of(program, place))
        lease = SessionLease(backend, keys.session_lease("ann", "tea"), 1000)
        await lease.acquire("tea")
        return lease, backend

    async def run() -> None:
        lease, backend = await hold()
        for command in (("rename", "tea", "x"), ("delete", "tea", "-y"), ("repair", "tea")):
            done = await asyncio.to_thread(program.invoke, "sessions", *command, *place)
            assert (done.code, done.out) == (75, "")
            assert "is open in" in done.err
        pruned = await asyncio.to_thread(program.invoke, "sessions", "prune", "--keep", "0", "-y", *place)
        assert (pruned.code, pruned.out) == (0, "")
        assert "'tea' was not deleted" in pruned.err
        assert "A tea, please" in (await asyncio.to_thread(program.invoke, "sessions", "show", "tea", *place)).out
        await lease.release()
        await backend.close()

    asyncio.run(run())
    assert json.loads(sessions(program, "list", "--json", *place))[0]["name"] == "tea"


def test_delete_asks_at_a_terminal(program, tea):
    sessions(program, "import", str(tea))
    for answer, code, left in (("n\r", 1, 1), (CTRL_C, 130, 1), ("y\r", 0, 0)):
        with program.chat("sessions", "delete", "tea") as screen:
            screen.wait_for("Delete 1 session for good: tea?")
            screen.send(answer)
            assert screen.wait_for_end() == code
        assert len(json.loads(sessions(program, "list", "--json"))) == left


def test_prune_takes_only_what_all_that_is_given_holds_for(program, place, tmp_path):
    ages = {"new": "2999-01-01T00:00:00.000Z", "old": "2020-01-01T00:00:00.000Z", "older": "2019-01-01T00:00:00.000Z"}
    ages["empty"] = "2018-01-01T00:00:00.000Z"
    for name, moment in ages.items():
        lines = [
            json.dumps(fields(line) | {"ts": moment}).encode()
            for line in lines_of([asked(name)] * (name != "empty"), name)
        ]
        sessions(program, "import", str(write_file(tmp_path / f"{name}.jsonl", lines)), *place)

    def would(*arguments: str) -> list[str]:
        return [
            row["name"] for row in json.loads(sessions(program, "prune", "--dry-run", "--json", *arguments, *place))
        ]

    assert would("--older-than", "30d") == ["old", "older", "empty"]
    assert would("--keep", "1", "--older-than", "1000w") == []
    assert would("--keep", "2", "--older-than", "30d") == ["older", "empty"]
    assert would("--keep", "3") == ["empty"]
    assert would("--empty") == ["empty"]
    assert "no sessions selected" in refused(program, "prune", *place, code=2)
    assert "expected a number with m, h, d or w" in refused(program, "prune", "--older-than", "soon", *place, code=2)
    assert "cannot ask for confirmation" in refused(program, "prune", "--keep", "1", *place, code=2)
    assert sessions(program, "prune", "--keep", "3", "--yes", *place) == "deleted empty\n"
    assert len(json.loads(sessions(program, "list", "--json", *place))) == 3


def test_a_real_chat_is_exported_imported_and_exported_to_the_same_bytes(program, redis_url):
    there = ["-b", redis_url]
    swarm = ["-S", "helpdesk", "-s", "shop", "--approve", "auto"]
    assert program.invoke("chat", *swarm, "I want to buy a phone").code == 0
    sessions(program, "export", "shop", "-o", "shop.jsonl")
    assert sessions(program, "import", "shop.jsonl", *there).startswith("shop: imported (1 turn, ")
    sessions(program, "export", "shop", "-o", "again.jsonl", *there)
    assert (program.folder / "again.jsonl").read_bytes() == (program.folder / "shop.jsonl").read_bytes()
    states = [program.invoke("state", "-s", "shop", *each).out for each in ([], there)]
    assert states[0] == states[1] != ""
    # The session goes on where it was: with the same agent, and a way back.
    assert program.invoke("chat", *swarm, *there, "colour blue").code == 0
    assert json.loads(sessions(program, "list", "--json", *there))[0]["agent"] == "sales"


def test_formats_of_an_export(program, tea):
    sessions(program, "import", str(tea))
    assert sessions(program, "export", "tea").encode() == b"".join(line + b"\n" for line in TEA)
    messages = json.loads(sessions(program, "export", "tea", "--format", "openai"))["messages"]
    assert [message["role"] for message in messages] == [
        *("user", "assistant", "tool", "tool", "assistant", "user", "assistant")
    ]
    page = sessions(program, "export", "tea", "--format", "markdown")
    assert page.startswith("# A tea, please\n\nsession tea, swarm shop, model gpt, 2 turns, 2026-01-02 03:04\n")
    assert '**desk** `order({"item":"tea"})` ok\n\n```\none tea\n```\n' in page
    assert "<h1>A tea, please</h1>" in sessions(program, "export", "tea", "--format", "html")
    redacted = sessions(program, "export", "tea", "--redact", "(?i)tea", "--redact", r"3\.\d+")
    assert "tea" not in redacted.lower()
    assert "That is [redacted]." in redacted
    for arguments, complaint in (
        (["--format", "pdf"], "expected one of jsonl, openai, markdown, html"),
        (["--redact", "("], "is not a regular expression"),
        (["--redact", "x*"], "matches the empty text"),
    ):
        assert complaint in refused(program, "export", "tea", *arguments, code=2)
    assert "cannot be written" in refused(program, "export", "tea", "-o", "no/such/file", code=1)


def test_a_pipe_from_export_to_import(program, tea):
    sessions(program, "import", str(tea))
    exported = sessions(program, "export", "tea")
    done = program.run("sessions", "import", "-", "--client", "bob", piped=exported)
    assert (done.out, done.err, done.code) == ("tea: imported (2 turns, 12 records)\n", "", 0)
    assert sessions(program, "export", "tea", "--client", "bob") == exported


def test_an_import_from_standard_input_is_bounded(program):
    line = json.dumps({"messages": [{"role": "user", "content": "x" * 1000}]}) + "\n"
    for size, code in (("20kB", 0), ("1kB", 2)):
        done = program.invoke("sessions", "import", "-", piped=line * 200, env={"SWARMCHAT_MAX_INPUT": size})
        assert (done.code, "more than the 100,000 bytes (100 × max_input)" in done.err) == (code, code == 2), done.err


def test_import_names_and_what_is_there_already(program, place, tmp_path):
    two = [{"messages": [{"role": "user", "content": text}]} for text in ("one", "two")]
    path = write_file(tmp_path / "lists.jsonl", [json.dumps(each).encode() for each in two])
    assert sessions(program, "import", str(path), *place).splitlines() == [
        "lists-1: imported (1 turn, 2 records)",
        "lists-2: imported (1 turn, 2 records)",
    ]
    assert "lists-2: already there" in sessions(program, "import", str(path), *place)
    rows = json.loads(sessions(program, "import", str(path), "--as", "mine", "--json", *place))
    assert [(row["name"], row["status"]) for row in rows] == [("mine-1", "stored"), ("mine-2", "stored")]
    other = write_file(tmp_path / "other.json", [json.dumps({"messages": [{"role": "user"}]}).encode()])
    done = program.invoke("sessions", "import", str(other), "--as", "mine-1", *place)
    assert (done.code, done.out) == (1, "")
    assert "has another session 'mine-1'" in done.err
    assert "expected one of jsonl, openai, llm, codex" in refused(program, "import", "x", "--format", "y", code=2)


def test_a_bad_file_changes_nothing_though_others_are_good(program, place, tea):
    bad = write_file(program.folder / "bad.jsonl", [*TEA[:4], b"{oops"])
    assert refused(program, "import", str(tea), str(bad), *place, code=65).startswith(f"{bad}, line 5: it is not JSON")
    assert "cannot be read: No such file" in refused(program, "import", "missing.jsonl", *place, code=65)
    newer = write_file(program.folder / "newer.jsonl", [json.dumps(fields(TEA[0]) | {"v": 2}).encode()])
    before = newer.read_bytes()
    for command in ("import", "repair"):
        assert "format version 2" in refused(program, command, str(newer), *place, code=65)
    assert newer.read_bytes() == before
    assert sessions(program, "list", *place) == ""


def test_ctrl_c_stops_an_import_and_the_same_command_continues_it(program):
    lines = lines_of([asked(f"question {number}") for number in range(2500)], "long")
    path = write_file(program.folder / "long.jsonl", lines)
    sessions(program, "list")
    lock = sqlite3.connect(program.home / ".local/share/swarmchat/sessions/cache.db", isolation_level=None)
    # While somebody else writes, the import cannot have ended.
    lock.execute("begin immediate")
    with program.chat("sessions", "import", str(path)) as screen:
        screen.wait_for("0/2501")
        screen.send(CTRL_C)
        lock.execute("rollback")
        screen.wait_for("run the same command again to continue")
        screen.wait_for_end()
        assert screen.process.exitstatus == 130
    lock.close()
    assert sessions(program, "list") == ""
    assert sessions(program, "import", str(path)).startswith("long: imported")
    assert sessions(program, "export", "long").encode() == b"".join(line + b"\n" for line in lines)


def test_copy_takes_everything_along_and_later_what_was_added(program, tea, redis_url):
    to = ["--to", "redis", "--redis-url", redis_url]
    there = ["-b", "redis", "--redis-url", redis_url]
    sessions(program, "import", str(tea))
    sessions(program, "rename", "tea", "breakfast")
    assert sessions(program, "copy", "breakfast", *to) == "breakfast: copied (2 turns, 13 records)\n"
    assert "already there" in sessions(program, "copy", "--all", *to)
    assert sessions(program, "export", "tea", *there) == sessions(program, "export", "tea")
    mine, theirs = (json.loads(sessions(program, "list", "--json", *each))[0] for each in ([], there))
    assert mine == theirs | {"backend": "disk", "expires": None}
    assert program.invoke("chat", "-S", "assistant", "-s", "tea", "Another one").code == 0
    assert json.loads(sessions(program, "copy", "tea", *to, "--json"))[0]["status"] == "continued"
    assert sessions(program, "export", "tea", *there) == sessions(program, "export", "tea")
    for arguments, complaint in (([], "which sessions?"), (["tea", "--all"], "which sessions?")):
        assert complaint in refused(program, "copy", *arguments, *to, code=2)
    assert "are the same store" in refused(program, "copy", "tea", "--to", "disk", code=2)


def test_copying_all_takes_memory_bans_and_storages(program, redis_url):
    to, swarm = ["--to", "redis", "--redis-url", redis_url], ["-S", "helpdesk"]
    there = ["-b", "redis", "--redis-url", redis_url]
    assert program.invoke("-s", "one", *swarm, "--locale", "de", "hello").code == 0
    assert program.invoke("bans", "add", "ann", *swarm, "--for", "3600").code == 0
    assert program.invoke("storage", "facts", *swarm).code == 0
    copied = program.invoke("sessions", "copy", "--all", *to)
    assert copied.code == 0
    assert "memory of helpdesk: copied" in copied.err
    assert "storages that all clients share stay on disk: storage helpdesk/facts" in copied.err
    assert "ban by no-politics: copied" in copied.err
    assert "memory of helpdesk: already there, not changed" in program.invoke("sessions", "copy", "--all", *to).err
    for command in (["memory", "--json", *swarm], ["bans", "list", "--json", *swarm]):
        assert program.invoke(*command, *there).out == program.invoke(*command).out


def test_fork(program, place, tea):
    sessions(program, "import", str(tea), *place)
    assert sessions(program, "fork", "tea", "--turn", "1", *place) == "tea-2\n"
    assert sessions(program, "fork", "tea", *place) == "tea-3\n"
    assert json.loads(sessions(program, "fork", "tea", "mine", "--json", *place)) == {
        "name": "mine",
        "from": "tea",
        "turns": 2,
    }
    assert "cake" not in sessions(program, "show", "tea-2", *place)
    assert json.loads(program.invoke("state", "-s", "tea-2", "--json", *place).out) == {"order": ["tea"]}
    assert program.invoke("state", "-s", "mine", "--json", *place).out == "{}\n"
    assert "has no turn 3: its last one is 2" in refused(program, "fork", "tea", "x", "--turn", "3", *place, code=2)
    assert "has a session 'mine'" in refused(program, "fork", "tea", "mine", *place, code=2)


def test_repair(program, place, tea):
    sessions(program, "import", str(tea), *place)
    assert sessions(program, "repair", "tea", *place) == "nothing to repair\n"

    async def damage() -> None:
        backend = open_backend(url_of(program, place))
        await backend.commit(Append(keys.session_log("ann", "tea"), (b"{broken",)))
        await backend.close()

    asyncio.run(damage())
    report = program.invoke("sessions", "repair", "tea", "--dry-run", *place)
    assert (report.code, report.err) == (1, "")
    assert report.out.startswith("line 13: '{broken' is not JSON")
    done = json.loads(sessions(program, "repair", "tea", "--json", *place))
    assert done["kept_as"] == "tea-before-repair"
    assert sessions(program, "export", "tea", *place).encode() == b"".join(line + b"\n" for line in TEA)
    assert "{broken" in sessions(program, "export", "tea-before-repair", *place)

    steps = [asked("a"), answered(None, call("c")), resulted("c", "1"), answered(None, call("c")), resulted("c", "2")]
    write_file(twice := program.folder / "twice.jsonl", lines_of(steps, "twice"))
    report = program.invoke("sessions", "repair", str(twice), "--dry-run", *place)
    assert report.code == 0
    assert "has the id 'c', which an earlier one has" in report.out
    assert "no repair is needed" in report.err

    write_file(tea, [*TEA, b"{broken"])
    assert "line 13" in refused(program, "import", str(tea), *place, code=65)
    assert f"kept as {tea}.bak" in sessions(program, "repair", str(tea), *place)
    assert "already there" in sessions(program, "import", str(tea), *place)
