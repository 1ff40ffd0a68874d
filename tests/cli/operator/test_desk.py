"""The desk of an operator, beside the chat of a user."""

import json
import os

from people import Scenario, check
from swarmchat.swarm.testing import replay_transcript
from terminal import CTRL_D, ENTER, at_prompt, say

HELPDESK = ["-S", "helpdesk", "-b", "disk"]
KILLS = int(os.environ.get("SWARMCHAT_TEST_KILLS", "3"))


def test_a_user_and_an_operator_talk(program):
    desk = ["operator", *HELPDESK, "--name", "Anna"]
    assert "nobody waits" in program.invoke("operator", *HELPDESK, "--list").out
    with program.chat(*HELPDESK, "-m", "demo", "-s", "box") as screen:
        say(screen, "I want to talk to a person", "nobody is here yet")
        (row,) = json.loads(program.invoke("operator", *HELPDESK, "--list", "--json").out)
        assert (row["operator"], row["name"], row["agent"], row["taken_by"]) == ("support", "box", "triage", "")
        with program.chat(*desk, columns=40, rows=10) as person:
            person.wait_for("The client asks for a person")
            person.send("hello" + ENTER)
            person.wait_for("take somebody with /take N first")
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


def test_the_desk_needs_operators_and_a_terminal(program):
    assert "has no operators" in program.invoke("operator", "-S", "phone_shop", "-b", "disk").err
    assert "needs a terminal" in program.invoke("operator", *HELPDESK).err


def test_user_operator_and_scripts_are_killed_and_nothing_is_lost_or_doubled(redis_url, program, tmp_path):
    scenario = Scenario(redis_url, program.env)
    scenario.run(KILLS)
    records, _ = check(scenario)
    (tmp_path / "log.jsonl").write_bytes(b"".join(record.line + b"\n" for record in records))
    replay_transcript(tmp_path / "log.jsonl", "helpdesk")
