"""What tests of a swarm use: a context, scripted calls, no network, and replays."""

import asyncio
import json

import pytest
from model_server import server_fixture, text
from swarmchat.examples.helpdesk import swarm as helpdesk
from swarmchat.swarm import (
    Agent,
    AskError,
    Context,
    DefinitionError,
    NetworkForbidden,
    OpenAIEmbedder,
    ScriptedModel,
    ScriptError,
    Session,
    State,
    Storage,
    Swarm,
    TranscriptError,
    tool,
)
from swarmchat.swarm.testing import call, context, forbid_network_models, replay_transcript

server = server_fixture
order = State("order", "")
rooms = Storage("rooms", index=lambda room: room["about"], items=[{"name": "12", "about": "quiet"}])


@tool
async def fill(ctx: Context[dict[str, int]], item: str) -> str:
    """Order something."""
    await ctx.state(order).set(item)
    return f"{item} for {ctx.client}, tax {ctx.deps['tax']}"


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
    with pytest.raises(AssertionError, match=r"hi\.jsonl::hi: turn 1, line 4: expected the agent 'triage' at the end"):
        replay_transcript(transcript, Agent("clerk", "x"))
    with pytest.raises(AssertionError, match="line 4: expected an answer that contains"):
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
    with pytest.raises(AssertionError, match="recorded with the swarm 'mine'"):
        replay_transcript(transcript)
    transcript.write_text('{"type":"user"')
    with pytest.raises(TranscriptError, match="line 1: it is the last line and ends after"):
        replay_transcript(transcript)


def test_a_tool_is_called_as_a_function():
    async def scenario():
        ctx = context(states=[order], storages=[rooms], client="ann", deps={"tax": 2})
        assert await fill(ctx, "pen") == "pen for ann, tax 2"
        assert (await ctx.state(order).get(), ctx.agent) == ("pen", "tester")
        assert [room["name"] for room in await ctx.storage(rooms).list()] == ["12"]
        await ctx.memory.set("name", "Ann")
        assert await ctx.memory.all() == {"name": "Ann"}

    asyncio.run(scenario())


def test_a_context_of_a_swarm_knows_its_agents():
    ctx = context(Swarm("shop", [Agent("desk"), Agent("till")]), agent="till")
    ctx.handoff("desk")
    assert (ctx.agent, ctx.handoff_to) == ("till", "desk")
    with pytest.raises(DefinitionError, match="no agent 'tyll'"):
        ctx.handoff("tyll")


def test_scripted_calls_take_mappings():
    model = ScriptedModel(["Wait.", ["Now.", call(fill, {"item": "pen"}), call("fill", '{"item":')], "Done."])
    swarm = Swarm("shop", [Agent("desk", tools=[fill])], states=[order])

    async def scenario():
        async with Session.open("memory:", model, swarm, deps={"tax": 1}) as session:
            await session.ask("hi")
            return await session.ask("a pen")

    reply = asyncio.run(scenario())
    assert [each.status for each in reply.calls] == ["error", "ok"]
    ids = [each["id"] for each in model.requests[-1].decoded_messages()[-3]["tool_calls"]]
    assert ids == ["call_2_1", "call_2_2"]


def test_network_models_can_be_forbidden(server, monkeypatch):
    server.reply(text("Hello"))
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)

    async def ask():
        async with Session.open("memory:", "m") as session:
            return (await session.ask("hi")).text

    with forbid_network_models():
        with pytest.raises(NetworkForbidden, match=r"forbid_network_models\(\) forbids it: use a ScriptedModel"):
            asyncio.run(ask())
        with pytest.raises(NetworkForbidden):
            asyncio.run(OpenAIEmbedder("e", base_url=server.base_url).embed(["a"]))
    assert not server.chats
    assert asyncio.run(ask()) == "Hello"


def test_a_context_answers_what_a_tool_asks():
    @tool
    async def pick(ctx: Context) -> str:
        """Pick."""
        return f"{await ctx.ask('Which?', output=int)} {await ctx.ask_user('Sure?', output=bool)}"

    assert asyncio.run(pick(context(model_answers=[7], user_answers=[True]))) == "7 True"
    with pytest.raises(AskError, match="the context's user_answers"):
        asyncio.run(pick(context(model_answers=[7])))
    with pytest.raises(ScriptError, match="the context's model_answers"):
        asyncio.run(pick(context()))
