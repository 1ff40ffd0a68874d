"""The desk of an operator, beside the chat of a user."""

import asyncio
import json
import os
from dataclasses import replace

from people import Scenario, check
from swarmchat.backends import Append, Put, open_backend
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.mailbox import new_act
from swarmchat.swarm.persistence.tickets import new_ticket
from swarmchat.swarm.testing import replay_transcript
from terminal import CTRL_D, ENTER, at_prompt, say

HELPDESK = ["-S", "helpdesk", "-b", "disk"]
KILLS = int(os.environ.get("SWARMCHAT_TEST_KILLS", "1"))


def test_a_user_and_an_operator_talk(program):
    desk = ["operator", *HELPDESK, "--name", "Anna"]
    assert "nobody waits" in program.invoke("operator", *HELPDESK, "--list").out
    with program.chat(*HELPDESK, "-m", "demo", "-s", "box") as screen:
        say(screen, "I want to talk to a person", "nobody is here yet")
        (row,) = json.loads(program.invoke("operator", *HELPDESK, "--list", "--json").out)
        assert (row["operator"], row["name"], row["agent"], row["taken_by"]) == ("support", "box", "triage", "")
        with program.chat(*desk, columns=40, rows=10) as person:
            person.wait_for("The client wants to talk to a person")
            person.send("hello" + ENTER)
            person.wait_for("take one with /take N first")
            person.send("1" + ENTER)
            person.wait_for("I want to talk to a person triage ❯ One moment.")
            screen.wait_for("Anna, a person, is here")
            person.send("What is it?" + ENTER)
            screen.wait_for("Anna ❯ What is it?")
            say(screen, "my phone broke", "you ❯ my phone broke")
            person.wait_for("my phone broke")
            assert person.text.count("What is it?") == 1
            for line, shown in [
                ("/state order", '"status": "open"'),
                ("/memory", "memory is empty"),
                ("/call show_order " + "[" * 3000, "are not JSON"),
                ("/take " + "9" * 5000, "you have a user already"),
                ("/call nothing", "unknown tool 'nothing'; available: "),
                ("/call show_order", "result: The order: status: open."),
                ("/bak", "unknown command /bak; did you mean 'back'?"),
                ("/back refunds it is true", "is with refunds again"),
            ]:
                person.send(line + ENTER)
                person.wait_for(shown)
            screen.wait_for("refunds ❯ I am back.")
            person.send(CTRL_D)
            assert person.wait_for_end() == 0
        screen.wait_for(at_prompt)
        assert "it is true" not in screen.text


def test_damaged_tickets_and_mail_are_shown_safely(program):
    program.invoke(*HELPDESK, "-m", "demo", "-s", "box", "hi")
    (row,) = json.loads(program.invoke("sessions", "list", "-b", "disk", "--json").out)
    ticket = new_ticket("ann", row["id"], "sup\x1b[2Jport", "triage", "why\x1b[2J\ud800", "x" * 10**6)
    mail = new_act("danced\x1b[2J", "text", "Anna", "triage")
    odd = replace(new_act("said", "x", "Anna", "triage"), text="a\ud800\x1b[2J")
    mailbox = keys.session_mailbox("ann", row["id"])

    async def store() -> None:
        backend = open_backend(f"disk:{program.home}/.local/share/swarmchat/sessions")
        stored = replace(ticket, since="2026-01-01T00:00:00").to_bytes()
        await backend.commit(
            Put(keys.ticket("helpdesk", "ann", row["id"]), stored),
            Put(keys.ticket("helpdesk", "ann", "other"), b"no json"),
            Append(mailbox, (mail.to_bytes(), odd.to_bytes())),
        )
        await backend.close()

    asyncio.run(store())
    listed = program.invoke("operator", *HELPDESK, "--list")
    assert listed.code == 0
    assert "\x1b" not in listed.out + listed.err
    assert len(listed.out) < 1000
    assert program.invoke("operator", *HELPDESK, "--list", "--json").code == 0
    answered = program.invoke(*HELPDESK, "-m", "demo", "-s", "box", "hi again")
    assert answered.code == 0
    assert "\x1b" not in answered.out + answered.err
    shown = program.invoke("sessions", "show", "box", "-b", "disk")
    assert shown.code == 0
    assert "\x1b" not in shown.out + shown.err
    assert "has answered the user" not in mail.to_message()["content"]


def test_the_desk_needs_operators_and_a_terminal(program):
    assert "has no operators" in program.invoke("operator", "-S", "phone_shop", "-b", "disk").err
    assert "needs a terminal" in program.invoke("operator", *HELPDESK).err
    memory = ["-S", "helpdesk", "-b", "memory"]
    assert "other programs cannot reach" in program.invoke("operator", *memory, "--list").err
    waiting = program.invoke("chat", *memory, "-m", "demo", "I want to talk to a person")
    assert "support cannot see this conversation" in waiting.err


def test_user_operator_and_scripts_are_killed_and_nothing_is_lost_or_doubled(redis_url, program, tmp_path):
    scenario = Scenario(redis_url, program.env)
    scenario.run(KILLS)
    records, _ = check(scenario)
    (tmp_path / "log.jsonl").write_bytes(b"".join(record.line + b"\n" for record in records))
    replay_transcript(tmp_path / "log.jsonl", "helpdesk")
