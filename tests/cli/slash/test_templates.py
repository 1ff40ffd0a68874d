"""The user's own slash commands."""

import pytest
from pictures import picture
from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.templates import read_templates
from terminal import ENTER, TAB, at_prompt, say


@pytest.mark.parametrize(
    ("text", "argument", "expected"),
    [
        ("Sum up $ARGUMENTS.", "this text", "Sum up this text."),
        ("$2 before $1, not $3.", '"a b" c', "c before a b, not ."),
        ("It costs $$1 or $100.", "x", "It costs $1 or $100.\n\nx"),
        ("Plain.", "", "Plain."),
        ("Plain.", "it's", "Plain.\n\nit's"),
        ("Say $1.", "it's so", "Say it's."),
        ("---\ndescription: Greet\n---\nHello $1", "Ann", "Hello Ann"),
        ("--- no front matter\nx", "", "--- no front matter\nx"),
        ("$1 and $2", "$2 x", "$2 and x"),
    ],
)
def test_arguments_take_their_places(text, argument, expected, tmp_path):
    (tmp_path / "a.md").write_text(text, "utf-8")
    assert read_templates(tmp_path)["a"].fill(argument) == expected


def test_files_that_cannot_be_used(tmp_path):
    for name, data in {"bad": b"\xff\xfe\xff", "large": b"x" * 200_001, "empty": b"---\nx: y\n---\n"}.items():
        (tmp_path / f"{name}.md").write_bytes(data)
    for name in ("no name", "-x", "note.txt"):
        (tmp_path / f"{name}.md").write_text("x")
    (tmp_path / "folder.md").mkdir()
    templates = read_templates(tmp_path)
    assert sorted(templates) == ["bad", "empty", "folder", "large"]
    for name, template in templates.items():
        with pytest.raises(UsageError, match=rf"^/{name}: .*{name}.md (cannot be read|is not a file|is empty)"):
            template.fill("")
    assert read_templates(tmp_path / "none") == {}
    for number in range(200):
        (tmp_path / f"z{number:03}.md").write_text("x")
    over = list(read_templates(tmp_path).values())[-1]
    assert (over.name, over.problem) == ("z196", "is not read: only the first 200 of 204 files are")


def test_own_commands_in_a_chat_and_a_script(program, server):
    folder = program.home / ".config" / "swarmchat" / "commands"
    folder.mkdir(parents=True)
    (folder / "review.md").write_text("---\ndescription: Review a file\nargument-hint: FILE\n---\nReview $1!", "utf-8")
    (folder / "help.md").write_text("never", "utf-8")
    here = program.folder / "commands"
    here.mkdir()
    (here / "evil.md").write_text("x", "utf-8")
    (program.folder / "cat.png").write_bytes(picture())
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("/rev" + TAB)
        screen.wait_for("/review")
        say(screen, " this", "You said: Review this!")
        say(screen, "/help review", "/review FILE Review a file")
        screen.send("/review ")
        screen.paste("@cat.png")
        screen.wait_for("[paste 8 characters]")
        say(screen, "", "You said: Review @cat.png!")
        screen.send("/evil" + ENTER)
        screen.wait_for("unknown command /evil")
    assert program.invoke("run", "--script", "-", piped="/review @cat.png\n").code == 0
    assert [part["type"] for part in server.chats[-1]["messages"][-1]["content"]] == ["text", "image_url"]
    assert "your own\n  /review " in program.invoke("run", "--script", "-", piped="/help\n").err
