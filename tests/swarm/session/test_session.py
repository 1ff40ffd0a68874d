"""A session survives: what is stored when, what is sent, who may write."""

import asyncio
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from chat_rules import check_messages
from chats import AGENT, Faulty, contents, open_session, say, sent, text_of
from swarmchat.backends import Append, BackendUnavailable, open_backend
from swarmchat.swarm.agents.agent import Agent
from swarmchat.swarm.context.normalize import NO_RESULT
from swarmchat.swarm.conversation.events import (
    ReasoningDelta,
    Retrying,
    Rotated,
    TextDelta,
    ToolFinished,
    TurnEnded,
    Warned,
)
from swarmchat.swarm.errors import BadRecord, ContextTooLong, ModelUnavailable, OverBudget, RequestLimit, SessionBusy
from swarmchat.swarm.models.base import Answer, ReasoningChunk, Retry, TextChunk, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import Holder, SessionLease
from swarmchat.swarm.persistence.log import CHUNK
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session, latest_session, list_sessions
from swarmchat.swarm.persistence.store import Lifetimes
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.tools.tool import tool

CALL = Answer("", (ToolCall("c1", "look_up", "{}"),), "tool_calls")


def run(scenario):
    return asyncio.run(scenario)


async def stored(backend, name="s"):
    lines = await backend.slice(keys.session_log("ann", name), 0)
    return [parse_record(line) for line in lines]


def kinds(records):
    return [record.type for record in records]


def test_a_turn_on_every_backend(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = ScriptedModel(["Hello there.", "Well."])
        async with await open_session(backend, model) as session:
            events = await say(session, "hi")
            assert text_of(events) == "Hello there."
            assert events[-1] == TurnEnded(1, "Hello there.", "stop", session.fill[0], None)
            await say(session, "how are you?")
        model.assert_finished()
        assert contents(model) == ["Be brief.", "hi", "Hello there.", "how are you?"]
        records = await stored(backend)
        assert kinds(records) == ["session", "user", "request", "assistant", "user", "request", "assistant"]
        assert [record.seq for record in records] == list(range(7))
        assert [record.turn for record in records] == [0, 1, 1, 1, 2, 2, 2]
        assert records[2].data["key"] == model.requests[0].key
        [info] = await list_sessions(backend, "ann")
        assert (info.name, info.title, info.turns, info.model) == ("s", "hi", 2, "scripted")
        await backend.close()

    run(scenario())


def test_every_backend_sends_the_same_bytes_and_stores_the_same_records(tmp_path, redis_url):
    async def converse(url):
        backend = open_backend(url)
        model = ScriptedModel(
            ["one", CALL, "two", Answer("cut", finish="length"), "x " * 300, "last"], context_window=500
        )
        for texts in (["hi", "look it up"], ["and?", "é🦦\udc80 more " * 20, "end"]):
            async with await open_session(backend, model, reserve=50) as session:
                for text in texts:
                    await say(session, text)
        model.assert_finished()
        lines = await backend.slice(keys.session_log("ann", "s"), 0)
        await backend.close()
        return [request.body() for request in model.requests], lines

    async def scenario():
        return [await converse(url) for url in ("memory:", f"disk:{tmp_path}", redis_url)]

    memory, disk, redis = run(scenario())
    assert memory == disk == redis
    assert any(json.loads(line)["type"] == "rotate" for line in memory[1])


def test_a_new_process_continues_where_the_last_one_stopped(tmp_path, redis_url):
    program = """if True:
        import asyncio, sys
        sys.path[:0] = sys.argv[1].split(":")
        from chats import contents, open_session, say
        from swarmchat.backends import open_backend
        from swarmchat.swarm.models.scripted import ScriptedModel

        async def main():
            backend = open_backend(sys.argv[2])
            model = ScriptedModel([sys.argv[3]])
            async with await open_session(backend, model) as session:
                await say(session, "question for " + sys.argv[3])
            print(contents(model))
            await backend.close()

        asyncio.run(main())
    """

    async def first_turn(url):
        backend = open_backend(url)
        async with await open_session(backend, ScriptedModel(["answer 1"])) as session:
            await say(session, "question for answer 1")
        await backend.close()

    for url in (f"disk:{tmp_path}", redis_url):
        run(first_turn(url))
        done = warm.run_python("-c", program, ":".join(sys.path), url, "answer 2")
        assert done.stdout.strip() == str(
            [
                "Be brief.",
                "question for answer 1",
                "answer 1",
                "question for answer 2",
            ]
        )


def test_nothing_is_stored_before_the_first_message():
    async def scenario():
        backend = open_backend("memory:")
        async with await open_session(backend, ScriptedModel(), name=None):
            pass
        assert await list_sessions(backend, "ann") == []

    run(scenario())


def test_one_commit_before_the_request_and_one_after():
    async def scenario():
        backend = Faulty(open_backend("memory:"))
        at_request = []
        model = ScriptedModel([lambda request: at_request.append(backend.commits) or "fine"])
        async with await open_session(backend, model) as session:
            await say(session, "hi")
            assert at_request == [1]
            assert backend.commits == 2

    run(scenario())


def test_a_call_of_an_unknown_tool_is_answered_and_the_model_asked_again():
    async def scenario():
        backend = open_backend("memory:")
        two = Answer("Let me see.", (ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"q": 1}')), "tool_calls")
        model = ScriptedModel([two, "I cannot."])
        async with await open_session(backend, model) as session:
            events = await say(session, "look")
            finished = [event for event in events if isinstance(event, ToolFinished)]
            assert [(event.name, event.status) for event in finished] == [("f", "error"), ("g", "error")]
            assert check_messages(sent(model)) is None
            assert [message.get("tool_call_id") for message in sent(model)[3:]] == ["a", "b"]
        assert kinds(await stored(backend))[3:8] == ["rescue", "assistant", "tool", "tool", "request"]

    run(scenario())


def test_a_model_that_only_calls_tools_is_stopped():
    async def scenario():
        backend = open_backend("memory:")
        calls = [Answer("", (ToolCall(f"c{n}", "look_up", f'{{"n": {n}}}'),), "tool_calls") for n in range(3)]
        model = ScriptedModel([*calls, "at last"])
        async with await open_session(backend, model, max_requests=3, rescue=()) as session:
            with pytest.raises(RequestLimit, match="3 requests"):
                await say(session, "go")
            await say(session, "and now?")
            assert check_messages(sent(model)) is None
        assert "error" in kinds(await stored(backend))

    run(scenario())


class Pause:
    """A step of a script that says something and then waits to be interrupted."""

    def __init__(self, *pieces):
        self.pieces = pieces
        self.reached = asyncio.Event()

    async def stream(self, request):
        for piece in self.pieces:
            yield TextChunk(piece)
        self.reached.set()
        await asyncio.Event().wait()


class PausingModel(ScriptedModel):
    """A scripted model whose first answer stops in the middle."""

    def __init__(self, pause, *steps):
        super().__init__(steps)
        self.pause = pause

    async def stream(self, request):
        if self.pause is not None:
            pause, self.pause = self.pause, None
            async for event in pause.stream(request):
                yield event
        async for event in super().stream(request):
            yield event


@pytest.mark.parametrize("pieces", [(), ("Half an",), ("Half an", " answer")])
def test_an_interrupted_answer_is_kept(backend_url, pieces):
    async def scenario():
        backend = open_backend(backend_url)
        pause = Pause(*pieces)
        model = PausingModel(pause, "Again.")
        async with await open_session(backend, model) as session:
            task = asyncio.create_task(say(session, "tell me"))
            await pause.reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await say(session, "go on")
            heard = ["".join(pieces)] if pieces else []
            assert contents(model) == ["Be brief.", "tell me", *heard, "go on"]
        partial = [r for r in await stored(backend) if r.data.get("finish") == "interrupted"]
        assert [r.message["content"] for r in partial] == heard
        await backend.close()

    run(scenario())


def test_leaving_the_iterator_is_an_interruption():
    async def scenario():
        backend = open_backend("memory:")
        async with await open_session(backend, ScriptedModel(["one two three"])) as session:
            events = session.run_turn("hi")
            async for event in events:
                assert isinstance(event, TextDelta)
                break
            await events.aclose()
        assert (await stored(backend))[-1].message["content"] == "one"

    run(scenario())


def test_a_cancel_at_any_commit_leaves_a_log_that_can_be_continued():
    async def scenario(cancel_at):
        inner = open_backend("memory:")
        backend = Faulty(inner)
        model = ScriptedModel([CALL, "done"])
        async with await open_session(backend, model) as session:
            backend.committing, backend.go_on = asyncio.Event(), asyncio.Event()
            task = asyncio.create_task(say(session, "go"))
            for number in range(4):
                await backend.committing.wait()
                backend.committing.clear()
                if number == cancel_at:
                    task.cancel()
                    await asyncio.sleep(0)
                backend.go_on.set()
                if number == cancel_at:
                    break
                await asyncio.sleep(0)
                backend.go_on.clear()
            with pytest.raises(asyncio.CancelledError):
                await task
            backend.committing = None
            session.model = model = ScriptedModel(["after"])
            await say(session, "next")
            assert check_messages(sent(model)) is None
            assert contents(model)[1] == "go"
            assert contents(model)[-1] == "next"
        records = await stored(inner)
        assert [record.seq for record in records] == list(range(len(records)))

    for cancel_at in range(3):
        run(scenario(cancel_at))


def test_an_error_of_the_model_is_recorded_and_changes_nothing_else():
    async def scenario():
        backend = open_backend("memory:")
        model = ScriptedModel([ModelUnavailable("no answer"), ["Half", ModelUnavailable("cut off")], "fine"])
        async with await open_session(backend, model) as session:
            for _ in range(2):
                with pytest.raises(ModelUnavailable):
                    await say(session, "hi")
            await say(session, "again")
            assert contents(model) == ["Be brief.", "hi", "hi", "Half", "again"]
        errors = [record.data["error"] for record in await stored(backend) if record.type == "error"]
        assert errors == [
            {"kind": "ModelUnavailable", "message": "no answer"},
            {"kind": "ModelUnavailable", "message": "cut off"},
        ]

    run(scenario())


def test_notices_of_a_model_are_passed_on():
    async def scenario():
        step = [Retry(2, 0.5, "busy"), ReasoningChunk("hm"), "So", Answer("So", reasoning="hm")]
        async with await open_session(open_backend("memory:"), ScriptedModel([step])) as session:
            events = await say(session, "hi")
            assert events[:3] == [
                Retrying(2, 0.5, "busy"),
                ReasoningDelta("hm", "assistant"),
                TextDelta("So", "assistant"),
            ]
            assert session.records[-1].data["reasoning"] == "hm"

    run(scenario())


@pytest.mark.parametrize("lands", [True, False])
def test_an_answer_that_could_not_be_stored_is_stored_with_the_next_turn(lands):
    async def scenario():
        inner = open_backend("memory:")
        backend = Faulty(inner)

        def break_down(request):
            backend.fail, backend.lands = 1, lands
            return "the answer"

        model = ScriptedModel([break_down, "fine"])
        async with await open_session(backend, model) as session:
            with pytest.raises(BackendUnavailable):
                await say(session, "hi")
            await say(session, "and?")
            assert contents(model) == ["Be brief.", "hi", "the answer", "and?"]
        records = await stored(inner)
        assert [record.seq for record in records] == list(range(len(records)))
        assert [r.message["content"] for r in records if r.type in ("user", "assistant")] == [
            "hi",
            "the answer",
            "and?",
            "fine",
        ]

    run(scenario())


@pytest.mark.parametrize("lands", [True, False])
def test_a_message_that_could_not_be_stored_is_the_users_again(lands):
    async def scenario():
        inner = open_backend("memory:")
        backend = Faulty(inner)
        model = ScriptedModel(["fine"])
        async with await open_session(backend, model) as session:
            backend.fail, backend.lands = 1, lands
            with pytest.raises(BackendUnavailable):
                await say(session, "hi")
            assert session.turns == 0
            await say(session, "hi")
            assert contents(model) == ["Be brief.", *(["hi"] if lands else []), "hi"]
        records = await stored(inner)
        assert [record.seq for record in records] == list(range(len(records)))

    run(scenario())


def test_an_unsaved_answer_is_saved_when_the_session_is_closed():
    async def scenario():
        inner = open_backend("memory:")
        backend = Faulty(inner)
        model = ScriptedModel([lambda request: setattr(backend, "fail", 1) or "kept"])
        session = await open_session(backend, model)
        with pytest.raises(BackendUnavailable):
            await say(session, "hi")
        await session.close()
        assert (await stored(inner))[-1].message["content"] == "kept"

    run(scenario())


def test_a_message_too_long_for_the_window_is_kept_and_the_chat_continues():
    async def scenario():
        backend = open_backend("memory:")
        model = ScriptedModel(["fine"])
        async with await open_session(backend, model, context_window=200) as session:
            with pytest.raises(OverBudget, match="--max-context"):
                await say(session, "word " * 500)
            await say(session, "short")
            assert contents(model) == ["Be brief.", "short"]
        assert (await stored(backend))[1].message["content"].startswith("word word")

    run(scenario())


def test_a_context_that_the_server_finds_too_long_is_cut_once_and_for_the_rest():
    async def scenario():
        model = ScriptedModel(["word " * 200, "yes", ContextTooLong("too long", limit=150), "fine", "more"])
        async with await open_session(open_backend("memory:"), model) as session:
            await say(session, "one")
            await say(session, "two")
            events = await say(session, "three")
            assert any(isinstance(event, Warned) for event in events)
            assert any(isinstance(event, Rotated) for event in events)
            assert contents(model) == ["Be brief.", "two", "yes", "three"]
            await say(session, "four")
            assert contents(model) == ["Be brief.", "two", "yes", "three", "fine", "four"]

    run(scenario())


def test_a_context_that_stays_too_long_is_an_error():
    async def scenario():
        model = ScriptedModel(
            [
                ContextTooLong("too long"),
                "word " * 100,
                ContextTooLong("too long"),
                ContextTooLong("too long still"),
                "fine",
            ]
        )
        async with await open_session(open_backend("memory:"), model) as session:
            # With nothing to leave out there is no second request, and the window stays.
            with pytest.raises(ContextTooLong, match=r"too long\. Nothing more can be dropped"):
                await say(session, "one")
            await say(session, "two")
            with pytest.raises(ContextTooLong, match="still"):
                await say(session, "three")
            await say(session, "four")
        model.assert_finished()

    run(scenario())


def test_the_servers_own_count_corrects_ours_and_a_small_one_warns():
    async def scenario():
        model = ScriptedModel()
        async with await open_session(open_backend("memory:"), model) as session:

            async def ask(share):
                tokens = (await session.context()).tokens
                text = "word " * 600
                estimate = tokens + session.conversation.count({"role": "user", "content": text})["count"]
                model._scripts[""].append(Answer("ok", usage={"prompt_tokens": int(share * estimate)}))
                return await say(session, text)

            await ask(1.2)
            assert session.conversation.budget.correction == pytest.approx(1.2, abs=0.01)
            events = await ask(0.3)
            [warning] = [event for event in events if isinstance(event, Warned)]
            assert "num_ctx" in warning.text
            assert session.conversation.budget.correction == pytest.approx(1.2, abs=0.01)
            assert not any(isinstance(event, Warned) for event in await ask(0.3))

    run(scenario())


def test_what_a_server_adds_for_tools_is_kept_free_as_a_constant(backend_url):
    @tool
    def look_up() -> str:
        """Look it up."""
        return ""

    agent = Agent("assistant", "Be brief.", tools=[look_up])

    async def scenario():
        backend = open_backend(backend_url)
        model = ScriptedModel(context_window=2000)
        async with await open_session(backend, model, swarm=agent) as session:

            async def ask(share, extra, words):
                text = "word " * words
                estimate = (await session.context()).tokens
                estimate += session.conversation.count({"role": "user", "content": text})["count"]
                model._scripts[""].append(Answer("ok", usage={"prompt_tokens": int(share * estimate) + extra}))
                await say(session, text)
                budget = session.conversation.budget
                return budget.correction, budget.overhead

            assert await ask(1, 350, 10) == (1, 350)
            assert await ask(1, 430, 600) == (1, 430)
            assert (await session.context()).available == 2000 - session.conversation.budget.reserve - 430
            # More than a template can add grows with the conversation.
            correction, overhead = await ask(2, 0, 100)
            assert (correction, overhead) == (pytest.approx(1.3, abs=0.2), 500)
            before = session.conversation.budget
        async with await open_session(backend, model, swarm=agent) as session:
            await session.context()
            assert session.conversation.budget == before
        requests = [record for record in await stored(backend) if record.type == "request"]
        assert [record.data["overhead"] for record in requests] == [0, 350, 430]
        await backend.close()

    run(scenario())


def test_a_long_chat_rotates_and_resumes_to_the_same_context(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = ScriptedModel([f"answer {n} " + "x " * 20 for n in range(60)], context_window=1000)
        rotations = 0
        async with await open_session(backend, model, reserve=100) as session:
            for number in range(59):
                events = await say(session, f"question {number} " + "y " * 10)
                rotations += sum(isinstance(event, Rotated) for event in events)
                assert session.fill[0] <= 900
            kept_on = (await session.context()).messages
            assert len(session.records) < 100
        assert rotations > 3
        async with await open_session(backend, model, reserve=100) as session:
            assert (await session.context()).messages == kept_on
            await say(session, "last")
        assert model.requests[-1].messages[: len(kept_on)] == kept_on
        async with await open_session(backend, ScriptedModel(context_window=32_000), reserve=100) as session:
            # A larger window brings back what was cut.
            assert len((await session.context()).messages) == 1 + 2 * 60
        await backend.close()

    run(scenario())


def test_opening_reads_the_end_of_the_log_only():
    async def scenario():
        backend = open_backend("memory:")
        read = []
        inner_slice = backend.slice

        async def counting_slice(key, start, stop=None):
            lines = await inner_slice(key, start, stop)
            read.append(len(lines))
            return lines

        backend.slice = counting_slice
        lines = [
            Record(
                ("user", "assistant")[seq % 2],
                seq,
                seq // 2 + 1,
                "2026-01-02T03:04:05.000Z",
                None,
                {"message": {"role": ("user", "assistant")[seq % 2], "content": f"message {seq}"}},
            ).line
            for seq in range(20_000)
        ]
        info = SessionInfo("s", "s", "ann", "", "", turns=10_000, highest_turn=10_000)
        await backend.commit(Append(keys.session_log("ann", "s"), tuple(lines)), info.put(None))
        async with await open_session(backend, ScriptedModel(context_window=1500)) as session:
            context = await session.context()
            assert json.loads(context.messages[-1])["content"] == "message 19999"
        assert sum(read) <= 32 * CHUNK

    run(scenario())


def test_the_instructions_of_an_imported_log_hold_however_long_it_is():
    async def scenario():
        backend = open_backend("memory:")
        system = Record("system", 0, 0, "t", None, {"message": {"role": "system", "content": "Be kind."}})
        lines = [system.line] + [
            Record("user", seq, seq, "t", None, {"message": {"role": "user", "content": f"message {seq}"}}).line
            for seq in range(1, 1000)
        ]
        await backend.commit(Append(keys.session_log("ann", "s"), tuple(lines)))
        async with await open_session(backend, ScriptedModel(context_window=600)) as session:
            messages = [json.loads(message)["content"] for message in (await session.context()).messages]
        assert messages[:2] == ["Be brief.", "Be kind."]
        assert messages[-1] == "message 999"

    run(scenario())


def test_hidden_turns_and_resets_are_not_sent_and_stay_in_the_log():
    async def scenario():
        backend = open_backend("memory:")
        model = ScriptedModel(["a1", "a2", "a3"])
        async with await open_session(backend, model) as session:
            for number in (1, 2, 3):
                await say(session, f"q{number}")

            async def add(kind, **data):
                batch = session.conversation.batch()
                batch.add(kind, turn=session.turns, agent=session.agent.name, **data)
                await session.conversation.commit(batch)
                return [json.loads(message)["content"] for message in (await session.context()).messages[1:]]

            # Turn 3 is hidden, and the records of the undo itself stand in turn 3 too.
            assert await add("undo", **{"from": 2, "to": 2}) == ["q1", "a1", "q3", "a3"]
            assert await add("redo", **{"from": 2, "to": 2}) == ["q1", "a1", "q2", "a2", "q3", "a3"]
            assert await add("reset") == []
        assert sum(record.type == "user" for record in await stored(backend)) == 3
        async with await open_session(backend, ScriptedModel()) as session:
            assert len((await session.context()).messages) == 1

    run(scenario())


def test_damaged_lines_are_named_and_the_rest_is_used():
    async def scenario():
        backend = open_backend("memory:")
        model = ScriptedModel(["a1", "a2"])
        async with await open_session(backend, model) as session:
            await say(session, "q1")
        await backend.commit(Append(keys.session_log("ann", "s"), (b"{torn",)))
        async with await open_session(backend, model) as session:
            assert list(session.damaged) == [4]
            warned = [event.text for event in await say(session, "q2") if isinstance(event, Warned)]
            assert [notice[:21] for notice in warned] == ["record 4 is damaged: "]
            assert contents(model) == ["Be brief.", "q1", "a1", "q2"]
        assert [r.seq for r in map(parse_record, (await backend.slice(keys.session_log("ann", "s"), 5)))] == [5, 6, 7]

    run(scenario())


def test_a_log_of_a_newer_version_is_refused_and_not_touched():
    async def scenario():
        backend = open_backend("memory:")
        newer = json.dumps({"v": 99, "type": "user", "seq": 0}).encode()
        await backend.commit(Append(keys.session_log("ann", "s"), (newer,)))
        with pytest.raises(BadRecord, match="99"):
            await open_session(backend, ScriptedModel())
        assert await backend.slice(keys.session_log("ann", "s"), 0) == [newer]
        # And the lease is free again.
        lease = SessionLease(backend, keys.session_lease("ann", "s"), 30)
        await lease.acquire("s")
        await lease.release()

    run(scenario())


def test_a_call_whose_process_died_is_sent_with_a_result_that_says_so():
    async def scenario():
        backend = open_backend("memory:")
        async with await open_session(backend, ScriptedModel(["a1"])) as session:
            await say(session, "q1")
            batch = session.conversation.batch()
            batch.add("assistant", turn=1, agent=session.agent.name, message=CALL.to_message())
            await session.conversation.commit(batch)
        model = ScriptedModel(["a2"])
        async with await open_session(backend, model) as session:
            await say(session, "q2")
        assert check_messages(sent(model)) is None
        assert contents(model) == ["Be brief.", "q1", "a1", None, NO_RESULT, "q2"]

    run(scenario())


def test_one_process_at_a_time(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        first = await open_session(backend, ScriptedModel(["a"]))
        await say(first, "q")
        with pytest.raises(SessionBusy, match="open in this process already"):
            await open_session(backend, ScriptedModel())
        async with await open_session(backend, ScriptedModel(), name="another"):
            pass
        await first.close()
        async with await open_session(backend, ScriptedModel()) as second:
            assert second.turns == 1
        await backend.close()

    run(scenario())


def test_a_session_whose_process_died_is_free_at_once(tmp_path, redis_url):
    program = """if True:
        import asyncio, os, signal, sys
        sys.path[:0] = sys.argv[1].split(":")
        from chats import open_session
        from swarmchat.backends import open_backend
        from swarmchat.swarm.models.scripted import ScriptedModel

        async def main():
            await open_session(open_backend(sys.argv[2]), ScriptedModel(), lease=3600)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """

    async def reopen(url):
        backend = open_backend(url)
        async with await open_session(backend, ScriptedModel()):
            pass
        await backend.close()

    for url in (f"disk:{tmp_path}", redis_url):
        died = warm.run_python("-c", program, ":".join(sys.path), url)
        assert died.returncode == -9, died.stderr
        run(reopen(url))


def test_a_holder_on_another_machine_is_left_alone():
    async def scenario():
        backend = open_backend("memory:")
        lease = SessionLease(backend, keys.session_lease("ann", "s"), 30)
        await lease.acquire("s")
        key = keys.session_lease("ann", "s")
        holder = json.loads(await backend.get(key) or b"")
        await lease.release()
        for change, message in (({"machine": "elsewhere", "host": "elsewhere"}, "elsewhere"), ({}, "process")):
            other = json.dumps(holder | change).encode()
            taken = await backend.acquire(key, other, 30)
            with pytest.raises(SessionBusy, match=message):
                await open_session(backend, ScriptedModel())
            await backend.release(taken)
        # The same process id, started at another time, is another process.
        await backend.acquire(key, json.dumps(holder | {"started": "1"}).encode(), 30)
        async with await open_session(backend, ScriptedModel()):
            pass
        # What is no holder of ours is somebody.
        await backend.acquire(key, b"?", 30)
        with pytest.raises(SessionBusy, match="another process"):
            await open_session(backend, ScriptedModel())

    run(scenario())


@pytest.mark.parametrize(
    "change", [{"pid": 0.5}, {"pid": True}, {"pid": 0}, {"pid": 2**70}, {"machine": {}}, {"host": 1}]
)
def test_a_lease_of_any_shape_is_read_and_left_alone(change):
    async def scenario():
        backend = open_backend("memory:")
        holder = json.loads(Holder.of_this_process().to_bytes())
        await backend.acquire(keys.session_lease("ann", "s"), json.dumps(holder | change).encode(), 30)
        with pytest.raises(SessionBusy):
            await open_session(backend, ScriptedModel())

    run(scenario())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux says that a process is a zombie")
def test_the_session_of_a_zombie_is_free_at_once():
    holder = json.loads(Holder.of_this_process().to_bytes())
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    started = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]

    async def scenario():
        backend = open_backend("memory:")
        value = json.dumps(holder | {"pid": child.pid, "started": started}).encode()
        await backend.acquire(keys.session_lease("ann", "s"), value, 30)
        with pytest.raises(SessionBusy, match=f"process {child.pid}"):
            await open_session(backend, ScriptedModel())
        await asyncio.to_thread(end)
        async with await open_session(backend, ScriptedModel()):
            pass

    def end():
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    run(scenario())
    child.wait()


def test_a_lease_that_ran_out_is_taken_again_if_nobody_wrote(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = ScriptedModel(["a1", "a2", "a3"])
        session = await open_session(backend, model)
        await say(session, "q1")
        await backend.release(session.conversation.journal._lease.lease)
        await say(session, "q2")
        assert contents(model)[1:] == ["q1", "a1", "q2"]
        # Somebody else comes, writes, and goes.
        await backend.release(session.conversation.journal._lease.lease)
        async with await open_session(backend, ScriptedModel(["b"])) as other:
            await say(other, "from elsewhere")
        with pytest.raises(SessionBusy, match="continued by another process"):
            await say(session, "q3")
        await session.close()
        assert "q3" not in str(await stored(backend))
        await backend.close()

    run(scenario())


def test_two_turns_at_once_come_one_after_the_other():
    async def scenario():
        model = ScriptedModel(["a1", "a2"])
        async with await open_session(open_backend("memory:"), model) as session:
            await asyncio.gather(say(session, "q1"), say(session, "q2"))
            assert contents(model) == ["Be brief.", "q1", "a1", "q2"]

    run(scenario())


def test_sessions_of_one_client_by_name_and_by_time():
    async def scenario():
        backend = open_backend("memory:")
        assert await latest_session(backend, "ann") is None
        for name in ("b", "a:*{}/..", None):
            async with await open_session(backend, ScriptedModel(["x"]), name=name) as session:
                await say(session, f"first line of {name}\nsecond")
        names = [info.name for info in await list_sessions(backend, "ann")]
        assert len(names) == 3
        assert "-" in next(name for name in names if name not in ("b", "a:*{}/.."))
        info_again = await find_session(backend, "ann", "a:*{}/..")
        assert info_again is not None
        assert info_again.title == "first line of a:*{}/.."
        assert await find_session(backend, "bob", "b") is None

    run(scenario())


def test_random_names_are_free_ones():
    async def scenario():
        backend = open_backend("memory:")
        names = set()
        for _ in range(3):
            session = await Session.open(backend, ScriptedModel(["x"]), client="ann", swarm=AGENT, rng=random.Random(1))
            await say(session, "hi")
            names.add(session.info.name)
            await session.close()
        assert len(names) == 3

    run(scenario())


def test_a_lifetime_is_given_to_all_keys_of_a_session(redis_url):
    import redis

    async def scenario():
        backend = open_backend(redis_url)
        async with await open_session(
            backend, ScriptedModel(["a"]), lifetimes=Lifetimes(session=1000), lease=50
        ) as session:
            await say(session, "hi")
            with redis.Redis.from_url(redis_url) as client:
                ttls = {
                    key.decode().rsplit(":", 1)[-1]: client.ttl(key) for key in client.scan_iter("swarmchat:1:{ann}:s*")
                }
        await backend.close()
        return ttls

    ttls = run(scenario())
    assert set(ttls) == {"log", "lease", "s"}
    assert 900 < ttls["log"] <= 1000
    assert 900 < ttls["s"] <= 1000
    assert 0 < ttls["lease"] <= 50


def test_usage_out_of_all_bounds_is_ignored():
    async def scenario():
        usage = {"prompt_tokens": 10**309, "completion_tokens": 5, "cost": math.nan, "total_tokens": -3}
        model = ScriptedModel([Answer("a1", usage=usage), "a2"])
        async with await open_session(open_backend("memory:"), model) as session:
            await say(session, "q1 " * 2000)
            assert text_of(await say(session, "q2")) == "a2"
            (answer, _) = [record for record in session.records if record.type == "assistant"]
            assert answer.data["usage"] == {"completion_tokens": 5}

    run(scenario())


def test_a_log_with_a_figure_out_of_all_bounds_opens():
    async def scenario():
        backend = open_backend("memory:")
        async with await open_session(backend, ScriptedModel(["a1"])) as session:
            await say(session, "q1 " * 2000)
            batch = session.conversation.batch()
            usage = {"prompt_tokens": 10**400}
            message = {"role": "assistant", "content": "a2"}
            batch.add("assistant", turn=1, agent=session.agent.name, message=message, usage=usage)
            await session.conversation.commit(batch)
        async with await open_session(backend, ScriptedModel(["a3"])) as session:
            assert text_of(await say(session, "q2")) == "a3"

    run(scenario())


def test_no_session_waits_for_the_turn_of_another(backend_url):
    """The models answer when all of them have been asked."""

    async def scenario():
        barrier = asyncio.Barrier(20)

        class Patient(ScriptedModel):
            async def stream(self, request):
                await barrier.wait()
                yield Answer("at last")

        backend = open_backend(backend_url)
        sessions = [await open_session(backend, Patient(), f"s{number}") for number in range(barrier.parties)]
        async with asyncio.timeout(60):
            ends = await asyncio.gather(*(say(session, "hi") for session in sessions))
        assert {text_of(events) for events in ends} == {"at last"}
        await asyncio.gather(*(session.close() for session in sessions))
        await backend.close()

    run(scenario())
