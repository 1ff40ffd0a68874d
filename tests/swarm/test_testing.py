"""replay_transcript: what tests of a swarm call."""

import asyncio
import json

import pytest
from swarmchat.examples.helpdesk import swarm as helpdesk
from swarmchat.swarm import Agent
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.testing import replay_transcript

LINES = [
    {"type": "session", "swarm": "helpdesk"},
    {"type": "user", "text": "hi"},
    {"type": "assistant", "text": "Hello!"},
    {"type": "expect", "agent": "triage", "contains": "hello"},
]


@pytest.fixture
def transcript(tmp_path):
    path = tmp_path / "hi.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)))
    return path


@pytest.mark.parametrize("swarm", [None, "helpdesk", helpdesk, Agent("triage", "x")])
def test_whoever_answers(swarm, transcript):
    (done,) = replay_transcript(transcript, swarm)
    assert (done.same, done.turns[0].now.answer) == (True, "Hello!")
    (done,) = replay_transcript(str(transcript), swarm, mode="live", model=ScriptedModel(["Hello, you"]))
    assert done.turns[0].now.answer == "Hello, you"


def test_what_differs_is_an_assertion_error(transcript):
    with pytest.raises(AssertionError, match=r"hi\.jsonl, hi: turn 1: expected agent\n- triage\n\+ clerk"):
        replay_transcript(transcript, Agent("clerk", "x"))
    with pytest.raises(AssertionError, match="turn 1: expected contains"):
        replay_transcript(transcript, mode="live", model=ScriptedModel(["No."]))


def test_where_an_event_loop_runs(transcript):
    async def test() -> None:
        assert replay_transcript(transcript)[0].same

    asyncio.run(test())


def test_what_cannot_be_replayed(transcript):
    with pytest.raises(ValueError, match="expected one of verify, tools, live"):
        replay_transcript(transcript, mode="show")
    with pytest.raises(ValueError, match="for 'live' a model"):
        replay_transcript(transcript, mode="live")
    transcript.write_text(transcript.read_text().replace("helpdesk", "mine"))
    with pytest.raises(AssertionError, match="held with the swarm 'mine'"):
        replay_transcript(transcript)
    transcript.write_text('{"type":"user"')
    with pytest.raises(TranscriptError, match="line 1: it is the last one and breaks off"):
        replay_transcript(transcript)
