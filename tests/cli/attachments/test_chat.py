"""Files as their user attaches them: at the prompt, on the command line, in a script."""

import pytest
from pictures import picture
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
        say(screen, "and @note.md, @ann?", "You said: and @note.md, @ann?")
        assert "@note.md is no file: it is sent as these words" in screen.words
        assert "@ann is no file" not in screen.words


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
    done = program.run("what is in @notes.md?")
    assert (done.code, done.err) == (0, "  @notes.md is sent as these words: -f notes.md attaches the file\n")


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


def parts(server):
    """Return the types of the parts of the last message, and its texts."""
    content = sent(server)
    return [part["type"] for part in content], [part["text"] for part in content if "text" in part]


def test_images_at_the_prompt_and_once_more_after_edit_and_retry(program, server):
    (program.folder / "cat.png").write_bytes(picture())
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        for typed, text in [
            ("see @cat.png", "see @cat.png"),
            ("/edit", None),
            (" again", "see @cat.png again"),
            ("/retry", "see @cat.png again"),
            ("/file cat.png what?", "what?\n\n@cat.png"),
        ]:
            count = len(server.chats)
            screen.send(typed + ENTER)
            if text is None:
                screen.wait_for(lambda screen: "undone" in screen.words and at_prompt(screen))
                continue
            server.wait_for(lambda server, count=count: len(server.chats) > count)
            assert parts(server) == (["text", "image_url"], [text])
            screen.wait_for(at_prompt)
        assert "attached: cat.png, 40 × 30 PNG" in screen.words


def test_images_on_the_command_line_and_piped_in(program, server):
    for name, kind in [("a.png", "PNG"), ("b.dat", "JPEG")]:
        (program.folder / name).write_bytes(picture(kind))
    assert program.run("what?", "-f", "a.png", "-f", "b.dat", "-s", "s").code == 0
    assert parts(server) == (["text", "image_url", "image_url"], ["what?\n\n@a.png\n@b.dat"])
    assert "[image: a.png, 40 × 30 PNG" in program.run("sessions", "show", "s").out
    for arguments in (["what?"], ["what?", "-f", "-"], ["run", "what?", "-f", "-"]):
        assert program.invoke(*arguments, piped=picture("GIF")).code == 0
        assert parts(server) == (["text", "image_url"], ["what?"])
    (program.folder / "d.pdf").write_bytes(b"%PDF-1.7 \xff")
    done = program.run("what?", "-f", "d.pdf")
    assert (done.code, "d.pdf is a PDF document, and only text and images (PNG" in done.err) == (2, True)
    (program.folder / "e.png").write_bytes(picture()[:-9])
    done = program.run("what?", "-f", "e.png")
    assert (done.code, "e.png cannot be sent: the image is damaged" in done.err) == (65, True)
