"""Stores with too little room: a server that evicts, a full one, a full disk, and one that cannot be written."""

import redis
from redis_server import start_redis
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
