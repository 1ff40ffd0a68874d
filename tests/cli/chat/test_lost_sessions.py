"""A chat whose session changes in the store: another process goes on, the server forgets, the chat is left then."""

import asyncio
import json
from itertools import chain

import pytest
from logs import answered, asked, lines_of, put_session
from redis_server import free_port, start_redis
from swarmchat.backends import open_backend
from swarmchat.swarm.persistence import keys
from terminal import at_prompt, say

LEASE, LOG = keys.session_lease("ann", "s"), keys.session_log("ann", "s")


def questions(store):
    with store.client() as client:
        records = [json.loads(line) for line in client.lrange(LOG, 0, -1)]
    assert [record["seq"] for record in records] == list(range(len(records)))
    return [record["message"]["content"] for record in records if record["type"] == "user"]


def test_a_session_that_another_process_went_on_with_is_resumed_in_the_chat(program, server, tmp_path):
    """The lease ran out, as when the machine sleeps."""
    with start_redis(tmp_path) as store, program.chat("-b", store.url, "-s", "s") as chat:
        say(chat, "one", "You said: one")
        with store.client() as client:
            client.delete(LEASE)
        assert program.invoke("-b", store.url, "-s", "s", "two").code == 0
        chat.send("three\r")
        chat.wait_for("continued by another process")
        chat.wait_for(at_prompt)
        # The message is back at the prompt.
        chat.wait_for("you ❯ three")
        chat.send("\x15")
        assert "/resume s opens it as it is now" in chat.words
        say(chat, "/resume s", "this is now session 's', with 2 turns")
        say(chat, "three", "You said: three")
        chat.send("\x04")
        assert chat.wait_for_end() == 0
        assert questions(store) == ["one", "two", "three"]


def test_a_chat_whose_session_was_deleted_continues_in_a_new_one(program, server, tmp_path):
    """The lease ran out, as when the process was stopped. Without a further word, nothing is stored again."""
    with start_redis(tmp_path) as store, program.chat("-b", store.url, "-s", "s") as chat:
        say(chat, "one", "You said: one")
        with store.client() as client:
            client.delete(LEASE)
        assert program.invoke("sessions", "delete", "-b", store.url, "s", "--yes").code == 0
        chat.send("two\r")
        chat.wait_for("your message was not stored; it is back at the prompt")
        chat.wait_for(at_prompt)
        assert "deleted by another process this conversation continues as session 's-2'" in chat.words
        chat.send("\r")
        chat.wait_for("You said: two")
        with store.client() as client:
            client.delete(keys.session_lease("ann", "s-2"))
        assert program.invoke("sessions", "delete", "-b", store.url, "s-2", "--yes").code == 0
        chat.send("\x04")
        assert chat.wait_for_end() == 0
        assert "session 's-2' was deleted by another process" in chat.words
        assert "resume with" not in chat.words
        assert program.invoke("sessions", "list", "-b", store.url).out == ""


@pytest.mark.parametrize("says", [["two"], [], ["/undo"]], ids=["next turn", "leaving", "command"])
def test_what_a_restarted_server_has_lost_is_stored_again(program, server, tmp_path, says):
    """At the next turn, when the chat is left without one, or before a command shows what is no longer stored."""
    port = free_port()
    with start_redis(tmp_path, port=port) as store, store.client() as client:
        program.invoke("-b", store.url, "-s", "s", "zero")
        client.save()
        chat = program.chat("-b", store.url, "-s", "s")
        screen = chat.__enter__()
        say(screen, "one", "You said: one")
    with start_redis(tmp_path, port=port) as store:
        assert questions(store) == ["zero"]
        for text in says:
            say(screen, text, "turn 2 is undone; now 1 turn" if text == "/undo" else f"You said: {text}")
            assert "stored again" in screen.words
        screen.send("\x04")
        assert screen.wait_for_end() == 0
        assert "stored again" in screen.words
        assert questions(store) == ["zero", "one", *(text for text in says if text != "/undo")]
    chat.__exit__(None, None, None)


def test_a_message_comes_back_if_a_part_of_the_session_is_gone(program, server, tmp_path):
    async def fill(url):
        backend = open_backend(url)
        turns = ([asked(f"{turn}: {[*range(30)]}"), answered("fine")] for turn in range(300))
        await put_session(backend, lines_of(chain(*turns)))
        await backend.close()

    with start_redis(tmp_path) as store:
        asyncio.run(fill(store.url))
        with program.chat("-b", store.url, "-s", "tea", "-S", "assistant", "--max-context", "2000") as chat:
            say(chat, "one", "You said: one")
            with store.client() as client:
                client.flushall()
            chat.send("two\r")
            chat.wait_for("older ones were not in memory and are lost")
            chat.wait_for("your message was not stored; it is back at the prompt")
            chat.send("\r")
            chat.wait_for("You said: two")
