"""Themes and the clipboard: the colours on a real terminal, and the bytes that it is sent."""

import base64

import pytest
from model_server import text
from swarmchat.cli.errors import UsageError
from swarmchat.cli.terminal.clipboard import LARGEST, copying
from swarmchat.cli.terminal.themes import COLOURS, THEMES, rgb
from terminal import ENTER, TAB, at_prompt, say

CODE = 'class Box:\n    def area(self):\n        return "text"  # why'
ANSWER = f"Some `inline` words.\n\n```python\n{CODE}\n```\n\nThe end."


def ask(screen, server, end="The end.", by=say):
    server.reply(text(ANSWER.replace("The end.", end)))
    by(screen, "please", end)


def enter(screen, line, shown):
    """Enter ``line`` and wait until ``shown`` is there and the next prompt: without a toolbar, too."""
    screen.wait_for("you ❯")
    prompts = screen.text.count("you ❯")
    screen.send(line + ENTER)
    screen.wait_for(shown)
    screen.wait_for(lambda screen: screen.text.count("you ❯") > prompts)


def colours(screen):
    """How a keyword, a text, a comment and code in a line are coloured, and the toolbar's figures."""
    return [screen.look(each).fg for each in ("return", '"text"', "# why", "inline", "tokens")]


def hexadecimal(style):
    return bytes(rgb(int(style.split()[0]))).hex()


HEXADECIMAL = {
    theme: [hexadecimal(styles[role]) for role in roles]
    for roles in [("code.keyword", "code.string", "code.comment", "code", "fill.low")]
    for theme, styles in THEMES.items()
    if theme in ("dark", "light")
}


@pytest.mark.parametrize(
    ("theme", "expected"),
    [("auto", ["magenta", "green", "default", "cyan", "green"]), *HEXADECIMAL.items()],
)
def test_an_answer_has_the_colours_of_the_theme(theme, expected, program, server):
    with program.chat(env={"SWARMCHAT_THEME": theme}) as screen:
        ask(screen, server)
        assert colours(screen) == expected
        assert screen.look("# why").italics
        assert screen.look("assistant ❯").bold
        screen.send("/s" + TAB)
        screen.wait_for("your sessions")
        plain, chosen = (tuple(map(hexadecimal, THEMES[theme][role].split(" on "))) for role in ("menu", "menu.chosen"))
        assert (screen.look("/sessions").fg, screen.look("/sessions").bg) == plain
        screen.send(TAB)
        screen.wait_for(lambda screen: (screen.look("/sessions ").fg, screen.look("/sessions ").bg) == chosen)
        assert not screen.look("/sessions ").reverse


def test_without_colours_what_matters_still_stands_out(program, server):
    (program.folder / "swarmchat.toml").write_text('theme = "mono"\n')
    with program.chat() as screen:
        ask(screen, server)
        screen.send("/s" + TAB)
        screen.wait_for("find a text in all your sessions")
        assert {(look.fg, look.bg) for look in screen.looks} == {("default", "default")}
        assert screen.look("return").bold
        assert screen.look("Box").underscore
        assert screen.look("# why").italics
        assert b"\x1b[2m`\x1b[0minline" in screen.raw


def test_another_theme_counts_from_now_on(program, server):
    with program.chat() as screen:
        ask(screen, server)
        say(screen, "/theme lihgt", "error: theme 'lihgt': no such theme; did you mean 'light'?")
        screen.send("/theme li" + TAB)
        screen.wait_for("/theme light")
        say(screen, "", "theme light from now on; swarmchat config set theme light keeps it")
        assert colours(screen)[:4] == ["magenta", "green", "default", "cyan"]
        assert screen.look("tokens").fg == HEXADECIMAL["light"][-1]
        assert screen.look("theme light from now").fg == hexadecimal(THEMES["light"]["remark"])
        ask(screen, server, "The end again.")
        assert colours(screen) == HEXADECIMAL["light"]
        say(screen, "/theme", 'mono def f(): "a" # why error no colours')
        assert [line[:8].split() for line in screen.lines[-6:-2]] == [["auto"], ["dark"], ["*", "light"], ["mono"]]
        assert screen.look("error").bold
        assert screen.look("error").fg == "default"


@pytest.mark.parametrize(("arguments", "env"), [((), {"NO_COLOR": "1"}), (("--plain",), {})])
def test_no_colours_at_all_goes_before_every_theme(arguments, env, program, server):
    with program.chat(*arguments, env={**env, "SWARMCHAT_THEME": "dark"}) as screen:
        ask(screen, server, by=enter)
        enter(screen, "/theme", "* dark for a dark background")
        enter(screen, "/theme light", "theme light from now on; it has no effect")
        assert {(look.fg, look.bg, look.bold) for look in screen.looks} == {("default", "default", False)}


def test_an_unknown_theme(program):
    done = program.run("sessions", "list", env={"SWARMCHAT_THEME": "drak"})
    assert done.code == 78
    assert done.err == "error: $SWARMCHAT_THEME: theme is 'drak': no such theme; did you mean 'dark'?\n"


def test_pages_of_other_commands_have_it_too(program):
    program.run("-s", "box", "hello")
    with program.chat("sessions", "show", "box", env={"SWARMCHAT_THEME": "light"}) as screen:
        assert screen.wait_for_end() == 0
        assert screen.look("user ❯").bold
    with program.chat("doctor", "--offline", env={"SWARMCHAT_THEME": "light"}) as screen:
        screen.wait_for_end()
        assert screen.look("ok  ").fg == hexadecimal(THEMES["light"]["ok"])


def luminance(colour):
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    ("theme", "background"),
    [("dark", (0, 0, 0)), ("dark", (30, 30, 30)), ("light", (255, 255, 255)), ("light", (253, 246, 227))],
)
def test_all_of_a_theme_can_be_read(theme, background):
    # The least contrast of text, by the guidelines for the web: https://www.w3.org/TR/WCAG22/#contrast-minimum
    for role, style in THEMES[theme].items():
        front, _, back = style.partition(" on ")
        assert "dim" not in front, role
        behind = rgb(int(back)) if back else background
        for number in (word for word in front.split() if word.isdigit()):
            assert contrast(rgb(int(number)), behind) >= 4.5, role


def test_all_themes_have_all_roles_and_mono_has_no_colours():
    assert len({tuple(sorted(styles)) for styles in THEMES.values()}) == 1
    words = {word for style in THEMES["mono"].values() for word in style.split()}
    assert not words & {*COLOURS, "on"}
    assert not any(word.isdigit() for word in words)


def sequence(copied):
    return b"\x1b]52;c;" + base64.b64encode(copied.encode()) + b"\x07"


def test_what_is_copied(program, server):
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        say(screen, "/copy", "error: no answer yet")
        ask(screen, server)
        server.reply(text("漢字 and \x1b]0;bad\x07 in turn two"))
        say(screen, "again", "in turn two")
        say(screen, "/copy", "copied 27 characters, the answer of turn 2; your terminal must allow OSC 52")
        assert screen.raw.count(b"\x1b]52;") == 1
        assert sequence("漢字 and ␛]0;bad␇ in turn two") in screen.raw
        say(screen, "/copy 1", f"copied {len(ANSWER)} characters, the answer of turn 1")
        assert sequence(ANSWER) in screen.raw
        say(screen, "/copy code", "error: no code block in the last answer")
        say(screen, "/copy 7", "error: no answer in turn 7")
        say(screen, "/copy all", "error: cannot copy 'all', expected code or the number of a turn")
        say(screen, "/undo", "turn 2 is undone")
        say(screen, "/copy code", f"copied {len(CODE)} characters, the last code block")
        assert screen.raw.count(b"\x1b]52;") == 3
        assert sequence(CODE) in screen.raw


def test_what_is_copied_goes_through_tmux(program, server):
    server.reply(text("One answer."))
    with program.chat(env={"TMUX": "/tmp/tmux-1/default,1,0"}) as screen:
        say(screen, "please", "One answer.")
        say(screen, "/copy", "copied 11 characters")
        plain = sequence("One answer.")
        assert plain + b"\x1bPtmux;\x1b" + plain + b"\x1b\\" in screen.raw


def test_what_is_copied_goes_through_screen_in_pieces():
    sent = copying("x" * 1000, {"STY": "1.box"})
    pieces = sent.removeprefix("\x1bP").removesuffix("\x1b\\").split("\x1b\\\x1bP")
    assert "".join(pieces).encode() == sequence("x" * 1000)
    assert max(map(len, pieces)) + 4 <= 256


def test_what_is_too_long_for_a_clipboard():
    assert len(copying("ä" * (LARGEST // 2), {})) == 100_000
    with pytest.raises(UsageError, match=r"74,996 bytes are too much .* accepts 74,994: .*/export FILE"):
        copying("ä" * (LARGEST // 2 + 1), {})


@pytest.mark.parametrize(("arguments", "term"), [(("--plain",), "xterm-256color"), ((), "dumb"), ((), "linux")])
def test_where_nothing_can_be_copied(arguments, term, program, server):
    server.reply(text("One answer."))
    with program.chat(*arguments, env={"TERM": term}) as screen:
        enter(screen, "please", "One answer.")
        enter(screen, "/copy", "error: no terminal with a clipboard: /export FILE writes everything to a file")
        assert b"\x1b]52" not in screen.raw
