"""What the prompt is made of, without a terminal: pastes, open blocks, the queue, the history, completion."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from contexts import chat_in
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from swarmchat.backends import open_backend
from swarmchat.cli.prompt.completer import SlashCompleter
from swarmchat.cli.prompt.entry import Entered, Pastes, Queue, is_unfinished, without_quotes
from swarmchat.cli.prompt.history import PromptHistory, open_history
from swarmchat.cli.slash.builtin import COMMANDS
from swarmchat.cli.slash.registry import always
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.models.demo import DemoModel
from swarmchat.swarm.session.session import Session


@given(st.lists(st.text("ab\n[paste 2,lns]", max_size=60), max_size=6))
def test_what_is_folded_is_sent_whole(pieces):
    pastes, text, whole = Pastes(), "", ""
    for number, piece in enumerate(pieces):
        long = piece + "\n" * 25 + str(number)
        text += pastes.fold(long, text) + "and "
        whole += long + "and "
    assert "\n" not in text
    assert pastes.unfold(text) == whole


def test_only_long_pastes_are_folded():
    pastes = Pastes()
    assert pastes.fold("a\r\nb\rc", "") == "a\nb\nc"
    assert pastes.fold("x\n" * 20, "") == "x\n" * 20
    assert pastes.fold("x\n" * 214, "") == "[paste 214 lines]"
    assert pastes.fold("y\n" * 214, "") == "[paste 2, 214 lines]"
    assert pastes.fold("x\n" * 214, "") == "[paste 214 lines]"
    assert pastes.fold("z" * 1_000_000, "") == "[paste 1,000,000 characters]"
    assert pastes.unfold("[paste 214 lines][paste 3 lines]") == "x\n" * 214 + "[paste 3 lines]"
    # Words of the user's own are no mark.
    assert Pastes().fold("x\n" * 30, "see [paste 30 lines]") == "[paste 2, 30 lines]"


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("", False),
        ("hello", False),
        ("```", True),
        ("see\n```py\nx = 1", True),
        ("```py\nx\n```", False),
        ("````\n```", True),
        ("```a```", False),
        ("~~~\n```", True),
        ("a ``` b", False),
        ("```\nx\n```\n```", True),
        ('"""', True),
        ('"""a\n"""', False),
        ('what is """ in Python?', False),
        ("/help ```", False),
        ("//help\n```", True),
    ],
)
def test_what_is_still_open(text, open_):
    assert is_unfinished(text) is open_


@pytest.mark.parametrize(
    ("text", "sent"),
    [('"""\na\nb\n"""', "a\nb"), ('"""a"""', "a"), ('""""""', ""), ('"""a""" b', '"""a""" b'), ('""', '""')],
)
def test_quotation_marks_around_all_of_it_are_left_out(text, sent):
    assert without_quotes(text) == sent


def test_the_queue():
    queue, (one, two, three) = Queue(), [Entered(text, text) for text in ("one", "two", "three")]
    for entered in (one, two, three):
        queue.append(entered)
    assert queue.next() == one
    queue.paused = True
    assert queue.next() is None
    assert queue.take_back() == three
    assert queue.paused
    assert queue.drop() == 1
    assert (queue.take_back(), queue.next(), queue.paused) == (None, None, False)


def test_the_history_survives_what_is_wrong_with_its_file(tmp_path: Path):
    path = tmp_path / "data" / "prompts"
    history = open_history(path)
    assert isinstance(history, PromptHistory)
    for text in ("one", "two\nlines", "p" * 100_000, "lone \ud800", "three"):
        history.append_string(text)
    assert list(open_history(path).load_history_strings()) == ["three", "lone ?", "two\nlines", "one"]
    history.keep_unsent("three")
    history.keep_unsent("u" * 100_000)
    assert list(open_history(path).load_history_strings())[:2] == ["u" * 100_000, "three"]
    with path.open("ab") as file:
        file.write(b"\n# x\n+\xff\n" + b"\n# y\n+many\n" * 200_000)
    entries = list(open_history(path).load_history_strings())
    assert entries[0] == "many"
    assert set(entries) == {"many"}
    path.unlink()
    path.mkdir()
    said: list[str] = []
    history = open_history(path, said.append)
    history.append_string("kept in memory")
    assert history.get_strings() == ["kept in memory"]
    assert said == [f"what you enter is in the history of this chat only: {path} cannot be written (Is a directory)"]
    path.rmdir()
    history = open_history(path, said.append)
    path.unlink()
    path.mkdir()
    for _ in range(3):
        history.append_string("kept in memory")
    assert len(said) == 2


@pytest.mark.parametrize("make", [Path.symlink_to, lambda path, target: os.mkfifo(path)], ids=["link", "pipe"])
def test_the_history_is_no_link_and_no_pipe(tmp_path: Path, make: Any):
    other, path = tmp_path / "other", tmp_path / "prompts"
    other.write_text("mine\n")
    make(path, other)
    open_history(path).append_string("kept in memory")
    assert other.read_text() == "mine\n"
    # One that was put there meanwhile.
    path.unlink()
    history = open_history(path)
    path.unlink()
    make(path, other)
    history.append_string("lost")
    assert list(history.load_history_strings()) == []
    assert other.read_text() == "mine\n"


def complete(*lines: str) -> list[list[str]]:
    """Return what Tab offers for each of ``lines``, in a chat with the helpdesk that has another session."""

    async def run() -> list[list[str]]:
        backend, swarm = open_backend("memory:"), load_swarm("helpdesk", Path.cwd())
        async with await Session.open(backend, DemoModel(), client="ann", name="other", swarm=swarm) as other:
            async for _ in other.run_turn("hello"):
                pass
        async with await Session.open(backend, DemoModel(), client="ann", name="box", swarm=swarm) as session:
            completer = SlashCompleter(chat_in(session))
            candidates = []
            for line in lines:
                asked = completer.get_completions_async(Document(line), CompleteEvent())
                candidates.append([completion.text async for completion in asked])
            return candidates

    return asyncio.run(run())


def test_completion_of_commands_and_their_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.md").touch()
    (tmp_path / "sub folder").mkdir()
    (tmp_path / "sub folder" / ".hidden").touch()
    candidates = complete(
        "/", "/st", "/agent ", "/agent R", "/ag s", "/state o", "/export n", "/export ! s", "/export sub folder/"
    )
    valid = {f"/{name}" for name, each in COMMANDS.items() if each.is_useful is always}
    assert valid <= set(candidates[0])
    # There is nobody to go back to, and nothing to take back.
    assert not {"/back", "/undo", "/retry", "/edit"} & set(candidates[0])
    assert {"/stack", "/state"} <= set(candidates[1])
    assert candidates[2:] == [
        ["sales", "refunds", "support", "researcher"],
        ["refunds", "researcher"],
        [],
        ["order"],
        ["notes.md"],
        ["! sub folder/"],
        [],
    ]


def test_completion_of_what_commands_take():
    candidates = complete(
        "/call fin",
        "/call find_fact ",
        '/call find_fact {"about": "x, ',
        '/call find_fact {"about": "x, y", ',
        "/call place_order ",
        "/set rea",
        "/set reasoning_effort ",
        "/set rescue repair,fl",
        "/approve p",
        "/approve pl* d",
        "/resume ",
        "/rename ",
        "/memory ",
        "/unpin ",
    )
    assert candidates[:4] == [["find_fact"], ['find_fact {"about": ""}'], [], ['find_fact {"about": "x, y", "limit": ']]
    assert candidates[4:6] == [[], ["reasoning_effort"]]
    assert candidates[6] == [f"reasoning_effort {word}" for word in ("low", "medium", "high", "default")]
    assert candidates[7:] == [
        ["rescue repair,flush"],
        ["play", "place_order"],
        ["pl* deny"],
        ["other"],
        ["box"],
        [],
        [],
    ]


def test_completion_offers_nothing_for_what_is_no_command_and_never_fails():
    assert complete("hello", "//a", "/nothing x", "/help\n", "/export /nowhere/at all/x", "/export \0") == [[]] * 6
