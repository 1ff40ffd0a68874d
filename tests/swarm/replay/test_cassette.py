"""Cassettes: answers by request, run and turn of asking; files that several processes share, or that are damaged."""

import asyncio
import multiprocessing
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from swarmchat.swarm import ScriptedModel, ScriptError, TranscriptError
from swarmchat.swarm.models.base import Answer, ModelRequest, ReasoningChunk, TextChunk, ToolCall
from swarmchat.swarm.replay.cassette import Cassette, MeteredModel, TimedAnswer

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
ANSWER = Answer("tea", (ToolCall("c1", "brew", '{"cups":2}'),), "tool_calls", USAGE, "m-1", "hm", {"server": "s"})


def request(text: str = "hi", **parameters) -> ModelRequest:
    return ModelRequest("m", (b'{"role":"user","content":"%s"}' % text.encode(),), parameters=parameters)


def ask(model, *requests: ModelRequest) -> list[list]:
    async def each(one: ModelRequest) -> list:
        return [event async for event in model.stream(one)]

    async def all_of_them() -> list[list]:
        return [await each(one) for one in requests]

    return asyncio.run(all_of_them())


def metered(folder: Path, steps=(), *, run: int = 1, refresh: bool = False) -> MeteredModel:
    return MeteredModel(ScriptedModel(steps, name="m"), Cassette(folder, "m", refresh=refresh), run)


def texts(events: list[list]) -> list[str]:
    return [each[-1].text for each in events]


def test_an_answer_comes_back_whole(tmp_path: Path):
    first = metered(tmp_path, [[ANSWER]])
    ask(first, request())
    second = metered(tmp_path)
    (events,) = ask(second, request())
    assert events == [ReasoningChunk("hm"), TextChunk("tea"), ANSWER]
    assert (first.asked, second.asked, second.answers) == (1, 0, [ANSWER])
    assert abs(first.seconds - second.seconds) < 0.001


def test_each_run_and_each_repetition_has_an_answer_of_its_own(tmp_path: Path):
    assert texts(ask(metered(tmp_path, ["a", "b"]), request(), request())) == ["a", "b"]
    assert texts(ask(metered(tmp_path, ["c"], run=2), request())) == ["c"]
    assert texts(ask(metered(tmp_path), request(), request())) == ["a", "b"]
    assert texts(ask(metered(tmp_path, run=2), request())) == ["c"]


def test_another_request_is_asked(tmp_path: Path):
    ask(metered(tmp_path, ["a"]), request())
    other = metered(tmp_path, ["b", "c"])
    assert texts(ask(other, request("ho"), request(temperature=1), request())) == ["b", "c", "a"]
    assert other.asked == 2
    with pytest.raises(ScriptError, match=r"add a step, .*; \S+/m\.ndjson has no answer to this request"):
        ask(other, request("hey"))


def test_refresh_asks_again_and_replaces(tmp_path: Path):
    ask(metered(tmp_path, ["a", "b"]), request(), request("ho"))
    refreshed = metered(tmp_path, ["c"], refresh=True)
    assert texts(ask(refreshed, request())) == ["c"]
    cassette = Cassette(tmp_path, "m")
    assert cassette.path.read_bytes().count(b"\n") == 3
    cassette.compact()
    assert cassette.path.read_bytes().count(b"\n") == 2
    assert texts(ask(metered(tmp_path), request(), request("ho"))) == ["c", "b"]


def test_damaged_lines_are_asked_for_again(tmp_path: Path):
    ask(metered(tmp_path, ["a", "b", "c"]), request("1"), request("2"), request("3"))
    path = Cassette(tmp_path, "m").path
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"<<<<<<< ours\n" + first + second[:40] + b"\n[]\n" + b'{"key":"x","answer":7}\n' + third[:-9])
    model = metered(tmp_path, ["B"])
    assert texts(ask(model, request("1"), request("2"))) == ["a", "B"]


def test_a_model_name_is_no_path(tmp_path: Path):
    path = Cassette(tmp_path / "in", "../../etc/x:7b").path
    assert path.parent == tmp_path / "in"
    assert path.name == ".._.._etc_x_7b.ndjson"


def _add(folder: Path, number: int) -> None:
    cassette = Cassette(folder, "m")
    for run in range(50):
        cassette.add((f"{number}", run, 1), TimedAnswer(Answer("long " * 2_000), 1.0))


def test_several_processes_write_into_one_file(tmp_path: Path):
    open_before = Cassette(tmp_path, "m")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_add, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    slots = [(f"{number}", run, 1) for number in range(4) for run in range(50)]
    assert all(open_before.find(slot) for slot in slots), "answers of others are found without opening it again"


def test_a_line_that_a_full_disk_cuts_off_is_told_and_costs_no_other(tmp_path: Path):
    cassette = Cassette(tmp_path, "m")
    cassette.add(("a", 1, 1), TimedAnswer(Answer("one"), 1.0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (cassette.path.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(TranscriptError, match=r"cannot be written: .*; choose another --cassette folder"):
            cassette.add(("b", 1, 1), TimedAnswer(Answer("two"), 1.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    cassette.add(("c", 1, 1), TimedAnswer(Answer("three"), 1.0))
    found = [Cassette(tmp_path, "m").find((key, 1, 1)) for key in "abc"]
    assert [timed and timed.answer.text for timed in found] == ["one", None, "three"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/full")], ids=["pipe", "device"])
def test_a_cassette_that_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]):
    make(tmp_path / "m.ndjson")
    with pytest.raises(TranscriptError, match="cannot be written: it is not a regular file"):
        Cassette(tmp_path, "m").add(("a", 1, 1), TimedAnswer(Answer("one"), 1.0))
