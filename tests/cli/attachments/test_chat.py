"""Files as their user attaches them: at the prompt, on the command line, in a script."""

import pytest
from terminal import CTRL_C, ENTER, TAB, at_prompt, say

NOTES = "File notes.md:\n```\nbananas are berries\n```"


@pytest.fixture(autouse=True)
def notes(program):
    path = program.folder / "notes.md"
    path.write_text("bananas are berries\n", "utf-8")
    return path


def sent(server) -> str:
    return server.chats[-1]["messages"][-1]["content"]


def test_a_mention_at_the_prompt(program, server):
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("read @no" + TAB)
        screen.wait_for("read @notes.md")
        say(screen, ", ann@notes.md", "You said: read @notes.md, ann@notes.md")
        assert "attached: notes.md (1 line)" in screen.words
        assert sent(server) == f"read @notes.md, ann@notes.md\n\n{NOTES}"
        # What is asked again has its file already.
        screen.send("/edit" + ENTER)
        screen.wait_for("undone")
        say(screen, "", "You said: read @notes.md")
        assert sent(server).count("File notes.md:") == 1


def test_a_dropped_file_is_mentioned_and_a_pasted_mention_is_text(program, server, notes):
    spaced = program.folder / "a b.txt"
    spaced.write_text("x", "utf-8")
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.paste(f"'{spaced}'")
        screen.send("what?" + ENTER)
        screen.wait_for("You said:")
        screen.wait_for(at_prompt)
        assert sent(server) == '@"a b.txt" what?\n\nFile a b.txt:\n```\nx\n```'
        screen.paste("please read @notes.md")
        screen.wait_for("[paste 21 characters]")
        say(screen, "", "You said: please read @notes.md")
        assert sent(server) == "please read @notes.md"
        screen.send("/export ")
        screen.paste(str(notes))
        screen.wait_for(lambda screen: f"/export {notes}" in screen.text.replace("\n      ", ""))


def test_a_file_that_cannot_be_attached_leaves_the_message_at_the_prompt(program, server):
    (program.folder / "p.png").write_bytes(b"\x89PNG")
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("see @p.png" + ENTER)
        screen.wait_for("p.png, line 1: byte 0x89 is not UTF-8 text")
        screen.wait_for(at_prompt)
        assert screen.text.count("you ❯ see @p.png") == 2
        screen.send(CTRL_C)
        say(screen, "hello", "You said: hello")
    assert len(server.chats) == 1


def test_files_on_the_command_line(program, server):
    (program.folder / "b.md").write_text("b", "utf-8")
    done = program.run("what?", "-f", "*.md")
    assert (done.code, sent(server)) == (0, f"what?\n\nFile b.md:\n```\nb\n```\n\n{NOTES}")
    done = program.run("run", "what?", "-f", "notes.md", "-f", "-", piped="in\n")
    assert (done.code, sent(server)) == (0, f"what?\n\n{NOTES}\n\nFile standard input:\n```\nin\n```")
    assert program.run("run", "-f", "notes.md").code == 0
    assert sent(server) == NOTES


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["what?", "-f", "missing.md"], "no such file: 'missing.md'"),
        (["-f", "notes.md", "b.md"], "'b.md' is a file: give each file its own -f, or quote a pattern"),
        (["run", "--script", "s", "-f", "notes.md"], "in a script, /file PATH QUESTION sends a file"),
    ],
)
def test_files_that_cannot_be_sent(arguments, problem, program, server):
    (program.folder / "b.md").write_text("b", "utf-8")
    done = program.invoke(*arguments)
    assert (done.code, problem in done.err, server.requests) == (2, True, [])


def test_files_of_a_chat_stand_at_its_first_prompt(program, server):
    with program.chat("-s", "s", "-f", "notes.md") as screen:
        screen.wait_for("you ❯ @notes.md")
        say(screen, "what?", "You said: @notes.md what?")
    assert sent(server) == f"@notes.md what?\n\n{NOTES}"


def test_the_command_in_a_chat_and_in_a_script(program, server):
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        say(screen, "/file notes.md what is this?", "You said: what is this?")
        assert sent(server) == f"what is this?\n\n{NOTES}"
        screen.send("/file" + ENTER)
        screen.wait_for("/file needs the path of a file: /file PATH [QUESTION]")
    done = program.run("run", "--script", "-", piped='/file "notes.md"\n')
    assert (done.code, sent(server)) == (0, NOTES)
    assert program.run("run", "--script", "-", piped="hi\n/file\n").code == 2
