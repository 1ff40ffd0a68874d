"""Markdown that is written while it comes: what is written, and that it never depends on how it was cut."""

import re

import pyte
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from steps import assert_linear
from swarmchat.cli.markdown.inline import InlineText
from swarmchat.cli.markdown.layout import LONGEST_WORD, Flow, cells
from swarmchat.cli.markdown.stream import MarkdownStream
from swarmchat.cli.render.live_tail import LiveTail
from terminal import Screen

BITS = [
    *("**", "*", "_", "__", "`", "``", "~~", "[", "](", ")", "![", "<", ">", "$", "$$", "\\", "\\[", "&lt;", "|", "!"),
    *(
        "\n",
        "\n\n",
        "  \n",
        "\n- ",
        "\n1. ",
        "\n  - [x] ",
        "\n> ",
        "\n# ",
        "\n```",
        "\n```python\n",
        "\n---\n",
        "\n===\n",
        "\n=",
        "\n~~~ c\n",
        "\n/* ",
        " #",
        "## ",
        "\n- > ",
        "\n  > ",
        "\n    ",
    ),
    *(
        "\n| a | b |\n|---|---|\n",
        " ",
        "  ",
        "\t",
        "word",
        "snake_case",
        "http://a.b/c",
        "漢字",
        "。",
        "🦦",
        "e\u0301",
        "\x1b[2J",
    ),
]
texts = st.lists(st.sampled_from(BITS), max_size=40).map("".join)
widths = st.sampled_from([10, 20, 40, 80])


def shown(text: str, width: int = 40, *, sizes: tuple[int, ...] = (), styled: bool = False, lead: int = 0) -> str:
    """Return what is written for ``text`` in pieces of these sizes, the last of them again and again."""
    written: list[str] = []
    stream = MarkdownStream(written.append, lambda: width, styled=styled, lead=lead)
    start, left = 0, list(sizes)
    while start < len(text):
        size = left.pop(0) if len(left) > 1 else left[0] if left else len(text)
        stream.feed(text[start : start + size])
        stream.tail()
        start += size
    stream.finish()
    return "".join(written)


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@given(texts, widths, st.lists(st.integers(1, 7), min_size=1, max_size=20), st.booleans())
@example("*a **b\n c", 10, [1], True)
@example("# \t x\n-   y", 20, [1], True)
@example("xxxxxxxxxxxxxxx。http://a.b/c d", 20, [1], False)
def test_how_an_answer_is_cut_makes_no_difference(text, width, sizes, styled):
    whole = shown(text, width, styled=styled)
    assert shown(text, width, sizes=tuple(sizes), styled=styled) == whole
    assert on_screen(shown(text, width, sizes=(1,), styled=styled), width) == on_screen(whole, width)


def on_screen(written: str, width: int) -> list[str]:
    screen = Screen(width, 5)
    pyte.Stream(screen).feed(written.replace("\n", "\r\n"))
    return [*screen.above, *screen.shown]


@given(texts, widths, st.booleans())
@example("\n1. >", 10, False)
def test_nothing_is_lost_and_nothing_controls_the_terminal(text, width, styled):
    written = shown(text, width, styled=styled)
    assert "\x1b" not in bare(written)
    assert styled or "\x1b" not in written

    def letters(text: str) -> list[str]:
        # The marks of tasks are drawn, and the cells of a table are broken each for itself.
        return sorted(letter for letter in text.replace("&lt;", "<").replace("[x]", "") if letter.isalnum())

    assert letters(bare(written).replace("image:", "")) == letters(text)


@given(
    st.lists(st.sampled_from(["word", "longer-word", "漢字", "a", "🦦", "**b**", "`c d`"]), min_size=1),
    st.integers(12, 80),
)
def test_no_line_is_wider_than_the_window_and_no_word_is_broken(words, width):
    lines = shown(" ".join(words), width).splitlines()
    assert all(cells(line) < width for line in lines)
    assert " ".join(" ".join(lines).split()).replace(" ", "") == "".join(words).replace(" ", "")


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("one two three four", ["one two", "three four"]),
        ("roses\nviolets\n\nend", ["roses", "violets", "", "end"]),
        ("- one two three\n  - four five six", ["• one two", "  three", "  • four", "    five", "    six"]),
        ("9. one two\n10. three four five", ["9. one two", "10. three", "    four", "    five"]),
        ("- [ ] open\n- [x] done", ["☐ open", "☑ done"]),
        ("> one two three\n>\n> - four", ["│ one two", "│ three", "│", "│ • four"]),
        ("1. a\n\n   b\n\nc", ["1. a", "", "   b", "", "c"]),
        ("a\n\n---\nb", ["a", "", "────────────", "b"]),
        ("# One\n## Two", ["# One", "## Two"]),
        ("# C# #\n## a # b ##\n# #", ["# C#", "## a # b", "# "]),
        ("Title\n===\nSub\n---\nx", ["Title", "═════", "Sub", "───", "x"]),
        ("one two three\n---", ["one two", "three", "─────"]),
        ("a\n=\nb\n--", ["a", "=", "b", "--"]),
        ("> T\n> ===\n===", ["│ T", "│ ═══", "==="]),
        ("- T\n  ===\n- U\n---", ["• T", "  ═══", "• U", "────────────"]),
        ("- a\n## H\n- b\n~~~\nx\n~~~", ["• a", "## H", "• b", "~~~", "x", "~~~"]),
        ("- a\n  > b c d e f\n  > - g\n- h", ["• a", "  │ b c d e", "  │ f", "  │ • g", "• h"]),
        ("- > a\n  >\n  > b\n\n  c", ["• │ a", "  │", "  │ b", "", "  c"]),
        ("1. > ```\n   >  x\n   > ```", ["1. │ ```", "   │  x", "   │ ```"]),
        ("- a\n| b |\n|---|\n| c |", ["• a", "b", "─", "c"]),
        ("7) a\n   1. b\n   2. c", ["7) a", "   1. b", "   2. c"]),
        ("~~~py x=1\n```\n~~~\na", ["~~~py x=1", "```", "~~~", "a"]),
        ("a\\\nb", ["a", "b"]),
        ("[^1] and [1]: x", ["[^1] and", "[1]: x"]),
        ("```py\nx = 'a very long line'\n```", ["```py", "x = 'a very long line'", "```"]),
        ("    code  *raw*\n    more", ["    code  *raw*", "    more"]),
        ("```\nnot ended", ["```", "not ended"]),
        ("- a\n  ```\n  b\n  ```", ["• a", "  ```", "  b", "  ```"]),
        ("$$\na *b* c\n$$\nd", ["$$", "a *b* c", "$$", "d"]),
        ("漢字漢字漢字漢字", ["漢字漢字漢", "字漢字"]),
        ("漢字漢字漢。字", ["漢字漢字", "漢。字"]),
        ("a\n\n\nb\n\n\n", ["a", "", "", "b"]),
        ("  +--+\n  |ab|\n  +--+", ["  +--+", "  |ab|", "  +--+"]),
    ],
)
def test_blocks(source, lines):
    assert shown(source, 12).splitlines() == lines


@pytest.mark.parametrize(
    "plain",
    [
        "snake_case_name and _private",
        "2 * 3 * 4 = 24, 2*3*4, 2**3**4",
        "__init__ and __name__",
        r"C:\Users\_me\*.txt and \\host\share\_x",
        "List<String> and <div class='x'> and a < b",
        "$x^*$ and $y^*$, \\(a_1 * b_2\\), costs $5 and $6",
        "array[i](x) and [0, 1) and f(*args, **kwargs)",
        "a | b | c",
        "* * a",
        "AT&T & co",
    ],
)
def test_what_is_no_markdown_is_not_changed(plain):
    assert shown(f"x {plain}", 200).strip() == f"x {plain}"


@pytest.mark.parametrize(
    ("source", "styled"),
    [
        ("**bold**", "\x1b[1mbold\x1b[0m"),
        ("*it*", "\x1b[3mit\x1b[0m"),
        ("~~no~~", "\x1b[9mno\x1b[0m"),
        ("`a*b`", "\x1b[2m`\x1b[0m\x1b[36ma*b\x1b[0m\x1b[2m`\x1b[0m"),
        ("**two\nlines**", "\x1b[1mtwo\x1b[0m\n\x1b[1mlines\x1b[0m"),
        ("**重点：**内容", "\x1b[1m重\x1b[0m\x1b[1m点：\x1b[0m内容"),
        ("[t](http://a 'b')", '\x1b[4mt\x1b[0m \x1b[2m(http://a\x1b[0m\x1b[2m "b")\x1b[0m'),
        ("<http://a.b>", "\x1b[4mhttp://a.b\x1b[0m"),
        ("![p](q.png)", "image: p \x1b[2m(q.png)\x1b[0m"),
        ("<me@x.org>", "\x1b[4mme@x.org\x1b[0m"),
        (r"\*a\* &lt; \#1 \$5 \_ \`", "*a* < #1 $5 _ `"),
        ("&#27;[2J &#12;", "\ufffd[2J ␌"),
        ("[a](x&#x202e;y)", "\x1b[4ma\x1b[0m \x1b[2m(x\ufffdy)\x1b[0m"),
        ("## T", "\x1b[1mT\x1b[0m"),
        ("```\n\x1b]8;;x\x07\n```", "\x1b[2m```\x1b[0m\n␛]8;;x␇\n\x1b[2m```\x1b[0m"),
    ],
)
def test_markup_inside_a_line(source, styled):
    assert shown(source, 80, styled=True) == styled + "\n"


def test_a_string_over_several_lines_of_code_keeps_its_colour():
    lines = shown('```python\nx = """a\nb"""\nc = 1\n```', 80, styled=True).splitlines()
    assert lines[2] == '\x1b[32mb"""\x1b[0m'
    assert lines[3] == "c = \x1b[36m1\x1b[0m"


@pytest.mark.parametrize(
    ("language", "lines", "coloured"),
    [
        ("c", ["/* a", "b */", "int x;"], [True, True, False]),
        ("js", ["/** a", "*/ x", "y = `a", "b`", "z"], [True, False, False, True, False]),
        ("css", ["/* a", "b */"], [True, True]),
        ("html", ["<!-- a", "b -->"], [True, True]),
        ("python", ['"""a', "b", '"""', "c"], [True, True, True, False]),
        ("bash", ["curl -d '{", "b", "}'", "c"], [False, True, True, False]),
        ("c", ["x = 'a", "b", "c"], [False, False, False]),
        ("sql", ["/*", *"x" * 200, "*/", "y"], [True, *[True] * 200, True, False]),
    ],
)
def test_comments_and_texts_have_their_colour_from_their_first_line_to_their_last(language, lines, coloured):
    shown_lines = shown(f"```{language}\n" + "\n".join(lines), 80, styled=True).splitlines()[1:]
    assert [bare(line) for line in shown_lines] == lines
    whole = [bool(re.fullmatch(r"\x1b\[[0-9;]+m[^\x1b]*\x1b\[0m", line)) for line in shown_lines]
    assert whole == coloured


TABLE = "| name | what it is |\n| --- | ---: |\n| 漢字 | **two**<br>lines |\n| b | a \\| b |\nend"


def test_a_table_is_drawn_in_columns():
    assert shown(TABLE, 40).splitlines() == [
        "name │ what it is",
        "─────┼───────────",
        "漢字 │    **two**",
        "     │      lines",
        "b    │      a | b",
        "end",
    ]


def test_a_table_is_made_smaller_or_shown_as_it_is_written():
    assert shown(TABLE, 15).startswith("name │ what it\n     │      is\n")
    assert shown(TABLE, 10).startswith("| name | what it is |\n| --- | ---: |\n")
    more = "| a |\n|---|\n| b | lost? |\n"
    assert shown(more, 40) == more
    bars = "| a | b |\n|---|---|\n| `c|d` | `e \\| f` |\n"
    assert shown(bars, 40).splitlines()[2] == "`c|d` │ `e | f`"
    pipes = "| no table\n| at all\n"
    assert shown(pipes, 40) == pipes


def test_a_long_table_is_drawn_while_it_comes():
    rows = [f"| {number} | text {number} |" for number in range(500)]
    written: list[str] = []
    stream = MarkdownStream(written.append, lambda: 40, styled=False)
    stream.feed("\n".join(["| n | t |", "|---|---|", *rows[:100]]) + "\n")
    assert "99  │ text 99" in re.sub(r" +│", "  │", "".join(written))
    stream.feed("\n".join(rows[100:]))
    stream.finish()
    assert "".join(written).count("│") == 501


def test_the_first_paragraph_follows_the_name_and_everything_else_starts_below():
    assert shown("one two three", 16, lead=8) == " one\ntwo three\n"
    for block in ("# h", "- a", "```\nx\n```", "> q", "    c"):
        assert shown(block, 16, lead=8).startswith("\n"), block


def test_lines_that_are_full_do_not_wait_for_the_end():
    written: list[str] = []
    stream = MarkdownStream(written.append, lambda: 20)
    stream.feed("words that come one by one **and bold")
    assert "".join(written) == "words that come one\nby one"
    assert stream.tail() == [" **and bold"]
    stream.feed("** x")
    assert bare("".join(written)) == "words that come one\nby one and bold"
    # What is never closed waits for a while only.
    stream.feed(" *" + "never closed " * 100)
    assert "never closed never" in " ".join("".join(written).split())


def test_a_window_that_changes_its_size():
    width = [40]
    written: list[str] = []
    stream = MarkdownStream(written.append, lambda: width[0])
    for size in (40, 20, 60, 10):
        width[0] = size
        stream.feed("some more words " * 5)
    stream.finish()
    assert "".join(written).split() == "some more words".split() * 20


def test_what_is_live_leaves_no_trace():
    size = [20, 6]
    screen = Screen(20, 6)
    stream = pyte.Stream(screen)
    tail = LiveTail(lambda: (size[0], size[1]), styled=True, reflows=False)

    def put(text: str) -> None:
        stream.feed(text.replace("\n", "\r\n"))

    put("\n" * 5 + "said")
    for rows in ([" held"], [" held", "漢字" * 20], [str(number) for number in range(30)], [""]):
        put(tail.draw(rows, 4, "note " * 20))
        assert any(line.startswith("note note") for line in screen.shown)
        assert tail.draw(rows, 4, "note " * 20) == ""
    put(tail.erase() + " more")
    assert [line for line in [*screen.above, *screen.shown] if line] == ["said more"]
    assert tail.erase() == ""


def test_a_terminal_that_breaks_its_lines_anew_is_cleared_too():
    size = [20, 6]
    tail = LiveTail(lambda: (size[0], size[1]), styled=False, reflows=True)
    assert tail.draw([" abcdef"], 4, "123456789012345") == " abcdef\n123456789012345"
    size[0] = 10
    # 11 columns in two rows, 15 columns in two rows.
    assert tail.erase() == "\r\x1b[K\x1b[A" * 3 + "\r\x1b[4C\x1b[K"


REPEATED = {
    **dict.fromkeys(["\\(", "\\[", "$$a ", "**a ", "["], 100),
    **dict.fromkeys(["[a](", "`a``", "1. "], 700),
    "\\(\n": 1200,
}
"""Marks, and how often they are repeated at least: the others are held until a limit is reached."""


@pytest.mark.parametrize("mark", REPEATED)
def test_repeated_marks_take_linear_work(mark: str):
    def work(size: int) -> None:
        stream = MarkdownStream(lambda text: None, lambda: 80)
        stream.feed(mark * size)
        stream.finish()

    assert_linear(work, REPEATED[mark])


@pytest.mark.parametrize("mark", REPEATED)
def test_only_so_much_text_is_held_for_markup_to_end(mark: str):
    written: list[str] = []
    text = InlineText(Flow(written.append, lambda: 80), styled=True)
    for _ in range(20_000 // len(mark)):
        text.feed(mark.strip("\n"))
        assert len(text.pending) <= 2 * LONGEST_WORD + len(mark)
