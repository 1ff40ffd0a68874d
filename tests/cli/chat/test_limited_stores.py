"""Stores with too little room: a server that evicts, a full one, a full disk, and one that cannot be written."""

import redis
from model_server import Gate, hang
from redis_server import start_redis
from small_disk import small_disk
from terminal import at_prompt

EVICTS = "maxmemory-policy allkeys-lru: the server may evict parts of sessions; set it to noeviction"


def test_an_eviction_policy_is_warned_of_when_a_chat_opens(program, tmp_path):
    with start_redis(tmp_path, "--maxmemory-policy", "allkeys-lru") as server:
        store = ("-b", server.url, "-s", "one")
        with program.chat(*store) as chat:
            chat.wait_for(EVICTS[:60])
            chat.wait_for(at_prompt)
            chat.send("\x04")
            assert chat.wait_for_end() == 0
        asked = program.invoke(*store, "hello")
        assert asked.out.startswith("Hello!")
        assert EVICTS in asked.err
        with redis.Redis(port=server.port) as client:
            client.execute_command("ACL", "SETUSER", "quiet", "on", ">pw", "~*", "+@all", "-info")
            quiet = program.invoke("-b", f"redis://quiet:pw@127.0.0.1:{server.port}/0", "hello")
            client.config_set("maxmemory-policy", "noeviction")
        assert (quiet.code, quiet.err) == (0, "")
        assert program.invoke(*store, "hello").err == ""


def test_a_full_server_is_read_and_sessions_are_deleted_from_it(program, tmp_path):
    with start_redis(tmp_path) as server, redis.Redis(port=server.port) as client:
        store = ("-b", server.url)
        assert program.invoke(*store, "-s", "one", "hello").code == 0
        assert program.invoke(*store, "-s", "two", "hello").code == 0
        client.config_set("maxmemory", 1)
        check_full(program, store, "maxmemory")


def test_an_answer_that_finds_no_room_is_kept_in_a_file(program, server, tmp_path):
    gate = Gate()
    server.reply(hang(gate, "forty-two"))
    with start_redis(tmp_path) as store, redis.Redis(port=store.port) as client:
        asked = program.start("-b", store.url, "-s", "s", "how many?")
        assert gate.reached.wait(20)
        client.config_set("maxmemory", 1)
        gate.release()
        out, err = asked.communicate(timeout=30)
        assert (out, asked.returncode) == ("forty-two\n", 69)
        (path,) = program.home.rglob("unsaved/ann-s.jsonl")
        assert f"what is not stored yet is in {path}, for swarmchat sessions import" in err
        client.config_set("maxmemory", 0)
        assert program.invoke("sessions", "import", str(path), "-b", store.url).out.startswith("s: continued")
        shown = program.invoke("sessions", "show", "s", "-b", store.url).out
        assert shown == "user ❯ how many?\nassistant ❯ forty-two\n"


def test_a_full_disk_is_read_and_sessions_are_deleted_from_it(program, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        store = ("--data-dir", f"{disk.path}/data")
        assert program.invoke(*store, "-s", "one", "hello").code == 0
        assert program.invoke(*store, "-s", "two", "hello").code == 0
        disk.fill()
        check_full(program, store, "no room left")


def check_full(program, store, complaint):
    asked = program.invoke(*store, "-s", "one", "hello again")
    assert (asked.out, asked.code) == ("", 69)
    assert complaint in asked.err
    assert "Hello!" in program.invoke("sessions", "show", "one", *store).out
    assert len(program.invoke("sessions", "list", *store).out.splitlines()) == 2
    deleted = program.invoke("sessions", "delete", "one", "--yes", *store)
    assert (deleted.err, deleted.code) == ("", 0)
    assert program.invoke("sessions", "list", *store).out.startswith("two ")


def test_a_read_only_disk_is_read(program, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        store = ("--data-dir", f"{disk.path}/data")
        assert program.invoke(*store, "-s", "one", "hello").code == 0
        disk.remount("ro")
        assert "Hello!" in program.invoke("sessions", "show", "one", *store).out
        for command in (["-s", "one", "hello"], ["sessions", "delete", "one", "--yes"]):
            refused = program.invoke(*command, *store)
            assert refused.code == 69
            assert "Read-only file system" in refused.err
