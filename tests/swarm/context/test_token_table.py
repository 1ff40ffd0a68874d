"""Short texts are counted without tiktoken's encoder, and come to the same number."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.context import token_table
from swarmchat.swarm.context.encodings import VOCABULARIES, load_encoding, load_table
from swarmchat.swarm.context.token_table import TokenTable, open_table
from swarmchat.swarm.context.tokens import counter_for

NAMES = ("o200k_base", "cl100k_base")
SIMPLE = list("".join(re.findall(token_table.SIMPLE, "".join(map(chr, range(sys.maxunicode + 1))))))
"""All characters of texts that a table counts."""
WORDS = [
    "don't ",
    "I'LL",
    "tokens",
    " 12345",
    "\r\n",
    "   ",
    "…",
    "Größe ",
    "привет ",
    "λόγος",
    "😀",
    "==",
    "/a/b",
    "ſ",
]


@pytest.fixture(scope="module", params=NAMES)
def counted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, TokenTable]:
    table = load_table(request.param, tmp_path_factory.getbasetemp() / "tables")
    assert table is not None
    return request.param, table


@given(
    st.lists(st.sampled_from(WORDS) | st.text(st.sampled_from(SIMPLE), max_size=5)).map("".join)
    | st.text(st.sampled_from([each for each in SIMPLE if each.isascii()]), max_size=20)
)
def test_a_table_counts_as_the_encoder_does(counted: tuple[str, TokenTable], text: str) -> None:
    name, table = counted
    length = len(load_encoding(name).encode_ordinary(text))
    assert table.length(text) == length


def test_every_character_is_split_as_the_encoder_does(counted: tuple[str, TokenTable]) -> None:
    name, table = counted
    texts = [f"a{each}b 1{each}{each}2 {each}A" for each in SIMPLE]
    lengths = [len(tokens) for tokens in load_encoding(name).encode_ordinary_batch(texts)]
    assert [table.length(text) for text in texts] == lengths


@pytest.mark.parametrize("text", ["漢字", "\x1c", "e\u0301", "\u0600", "\ud800", "ab" * 300])
def test_what_only_the_encoder_can_tell(counted: tuple[str, TokenTable], text: str) -> None:
    assert counted[1].length(text) is None


def test_a_damaged_table_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "cl100k_base.tokens"
    assert load_table("cl100k_base", tmp_path) is not None
    whole = path.read_bytes()
    for damaged in (b"", b"x" * 200, whole[:50], whole[:-1], whole[1:]):
        path.write_bytes(damaged)
        assert open_table(path, VOCABULARIES["cl100k_base"].sha256, "") is None
    assert load_table("cl100k_base", tmp_path) is not None
    assert path.read_bytes() == whole


def test_without_a_folder_for_it_the_encoder_counts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load_table("o200k_base", tmp_path / "file") is None
    assert counter_for("gpt-4o", tmp_path / "file").text("hello there") == 2


SHORT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from swarmchat.swarm import ScriptedModel, Session, SessionSettings
from swarmchat.swarm.context.encodings import load_encoding

settings = SessionSettings(token_tables=Path(sys.argv[1]))
with Session.open("memory:", ScriptedModel(["Hello."]), settings=settings) as session:
    session.ask_sync("hi")
    assert session.fill[0] > 10
print(load_encoding.cache_info().misses)
"""


def test_a_short_conversation_needs_no_encoder(tmp_path_factory: pytest.TempPathFactory) -> None:
    command = [sys.executable, "-c", SHORT, str(tmp_path_factory.getbasetemp() / "tables")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"


def test_a_long_conversation_is_counted_by_the_encoder(tmp_path_factory: pytest.TempPathFactory) -> None:
    counter, plain = counter_for("gpt-4o", tmp_path_factory.getbasetemp() / "tables"), counter_for("gpt-4o")
    text = "The quick brown fox. " * 100
    for _ in range(30):
        assert counter.text(text) == plain.text(text)


def test_sessions_that_begin_at_once_load_a_vocabulary_once(tmp_path: Path):
    with ThreadPoolExecutor(4) as threads:
        counters = [*threads.map(lambda _: counter_for("gpt-4o", tmp_path / "new"), range(4))]
    assert len({*map(id, counters)}) == 1
