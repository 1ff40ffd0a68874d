"""What a tool asks while it runs: a model, or the user."""

import asyncio
import json
from typing import Literal

import pytest
from pydantic import BaseModel, Field
from recorded import record_and_replay
from swarmchat.swarm import (
    Agent,
    Answer,
    AskError,
    Context,
    ModelBusy,
    ScriptedModel,
    Session,
    SessionSettings,
    State,
    Swarm,
    tool,
)
from swarmchat.swarm.testing import call


class Address(BaseModel):
    street: str
    number: int = Field(description="of the house")
    country: Literal["FR", "DE"] = "FR"


@tool
async def summarize(ctx: Context, text: str) -> str:
    """Summarize."""
    return await ctx.ask(f"Summarize: {text * 400}" if text == "very long " else f"Summarize: {text}")


@tool
async def sort(ctx: Context, text: str) -> str:
    """Sort into a drawer."""
    return f"drawer {await ctx.ask(text, output=int, model='small')}"


@tool
async def paint(ctx: Context) -> str:
    """Paint it."""
    colour = await ctx.ask_user("Which colour?", choices=["red", "blue"])
    await ctx.state("colour").set(colour)
    return f"painted {colour}"


@tool(timeout=0.2)
async def send(ctx: Context) -> str:
    """Send it."""
    address = await ctx.ask_user("Where to?", output=Address)
    sure = await ctx.ask_user("Sure?", output=bool)
    note = await ctx.ask_user("A note?")
    return f"{address.number} {address.street}, {address.country}, {sure}, {note}"


SWARM = Swarm("s", [Agent("a", tools=[summarize, sort, paint, send])], states=[State("colour", "")])


def hold(model, answers=(), models=None, settings=None, question="go"):
    """Run a turn in which the user gives ``answers``; return the reply, the questions and the records."""
    asked = []
    waiting = list(answers)

    async def answerer(question):
        asked.append(question)
        # Longer than the tool may take.
        await asyncio.sleep(0.3 if question.kind == "form" else 0)
        return waiting.pop(0)

    async def scenario():
        people = {"answerer": answerer} if answers else {}
        async with Session.open("memory:", model, SWARM, models=models, settings=settings, **people) as session:
            return await session.ask(question), asked, list(session.records)

    return asyncio.run(scenario())


def test_a_tool_asks_the_model_outside_of_the_conversation():
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "cost": 0.5}
    model = ScriptedModel([call(summarize, {"text": "long"}), Answer("Short.", usage=usage), "Done."])
    reply, _, records = hold(model)
    assert (reply.calls[0].result, reply.text) == ("Short.", "Done.")
    request = model.requests[1]
    assert (request.decoded_messages(), request.tools) == ([{"role": "user", "content": "Summarize: long"}], ())
    assert "Summarize" not in json.dumps(model.requests[2].decoded_messages()[:2])
    assert (reply.usage["prompt_tokens"], reply.cost) == (5, 0.5)
    asked = next(record for record in records if record.type == "ask_model")
    assert (asked.data["answer"], asked.data["call"]) == ("Short.", "call_1_1")


def test_another_model_and_an_answer_of_a_type():
    small = ScriptedModel(["I think 7", '{"answer": 7}'], name="small")
    model = ScriptedModel([call(sort, {"text": "a"}), "Done."])
    reply, _, records = hold(model, models=lambda name: small)
    assert reply.calls[0].result == "drawer 7"
    assert "Your answer does not fit" in small.requests[1].decoded_messages()[-1]["content"]
    assert [record.data["model"] for record in records if record.type == "ask_model"] == ["small", "small"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (["no", "no", "no"], "OutputError: scripted gave no usable answer to the tool (it is not JSON"),
        ([ModelBusy("busy")], "ModelBusy: busy"),
    ],
)
def test_no_answer_is_an_error_of_the_tool(steps, words):
    reply, _, _ = hold(ScriptedModel([call(sort, {"text": "a"}), *steps, "Done."]))
    assert words in reply.calls[0].result
    assert reply.text == "Done."


def test_an_empty_answer_is_asked_for_again():
    model = ScriptedModel([call(summarize, {"text": "a"}), "", "<think>hm</think>", "Yes.", "Done."])
    assert hold(model)[0].calls[0].result == "Yes."


def test_a_question_that_does_not_fit():
    model = ScriptedModel([call(summarize, {"text": "very long "}), "Done."], context_window=700)
    reply, _, _ = hold(model, settings=SessionSettings(reserve=100))
    assert "OverBudget: the question of the tool has" in reply.calls[0].result


def test_the_user_is_asked_one_question_at_a_time_and_time_stands_still():
    model = ScriptedModel([[call(paint), call(send)], "Done."])
    answers = ["blue", {"street": "Rue X", "number": 3}, True, "soon"]
    reply, asked, records = hold(model, answers)
    assert {each.result for each in reply.calls} == {"painted blue", "3 Rue X, FR, True, soon"}
    assert [question.kind for question in asked] == ["choice", "form", "yes_no", "text"]
    form = asked[1]
    assert [(field.name, field.type, field.required) for field in form.fields] == [
        ("street", "string", True),
        ("number", "integer", True),
        ("country", "string", False),
    ]
    assert (form.fields[1].description, form.fields[2].choices, form.tool) == ("of the house", ("FR", "DE"), "send")
    assert [record.data["answer"] for record in records if record.type == "ask_user"] == answers


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((), "Error: nobody can be asked here (Which colour?): this needs a person at a terminal"),
        ((None,), "Error: the user did not answer: Which colour?"),
        (("green",), "Error: the user's answer is invalid: 'green' is not one of red, blue"),
    ],
)
def test_no_answer_of_the_user(answers, words):
    reply, _, _ = hold(ScriptedModel([call(paint), "Done."]), answers)
    assert reply.calls[0].result == words


def test_a_tool_can_do_without_an_answer():
    @tool
    async def ask_or_guess(ctx: Context) -> str:
        """Ask."""
        try:
            return await ctx.ask_user("Which?")
        except AskError:
            return "guessed"

    async def scenario():
        model = ScriptedModel([call(ask_or_guess), "Done."])
        async with Session.open("memory:", model, Agent("a", tools=[ask_or_guess])) as session:
            return (await session.ask("go")).calls[0].result

    assert asyncio.run(scenario()) == "guessed"


def test_a_tool_that_is_not_async_asks_too():
    @tool
    def pick(ctx: Context) -> str:
        """Pick."""
        return ctx.wait(ctx.ask_user("Which?")) + ctx.wait(ctx.ask("And?"))

    async def answerer(question):
        return "this"

    async def scenario():
        model = ScriptedModel([call(pick), "that", "Done."])
        async with Session.open("memory:", model, Agent("a", tools=[pick]), answerer=answerer) as session:
            return (await session.ask("go")).calls[0].result

    assert asyncio.run(scenario()) == "thisthat"


def test_outside_of_a_tool_nobody_is_asked():
    async def prompt(ctx: Context) -> str:
        return await ctx.ask("hm?")

    async def scenario():
        async with Session.open("memory:", ScriptedModel(), Agent("a", prompt)) as session:
            await session.ask("go")

    with pytest.raises(Exception, match=r"ctx.ask works only in a tool while it runs"):
        asyncio.run(scenario())


@pytest.mark.parametrize("mode", ["verify", "tools"])
def test_a_replay_asks_nobody(tmp_path, mode):
    async def answerer(question):
        return {"choice": "red", "form": {"street": "X", "number": 1}, "yes_no": False, "text": "ok"}[question.kind]

    async def scenario(recorder):
        steps = [[call(paint), call(summarize, {"text": "x"}), call(send)], "Short.", "Done.", call(paint), "Again."]
        session = await recorder.open(ScriptedModel(steps), options={"answerer": answerer})
        await session.ask("go")
        assert (await session.call_tool(paint, {}, agent="a")).result == "painted red"
        await session.ask("go on")
        await session.close()

    done = record_and_replay(SWARM, scenario, tmp_path / "log.jsonl", mode=mode)
    assert done.turns[0].now.states == {"colour": "red"}


def test_a_failed_call_keeps_what_was_asked(tmp_path):
    async def scenario(recorder):
        session = await recorder.open(ScriptedModel([call(sort, {"text": "a"}), "no", "no", "no", "Done."]))
        await session.ask("go")
        assert sum(record.type == "ask_model" for record in session.records) == 3
        await session.close()

    record_and_replay(SWARM, scenario, tmp_path / "log.jsonl")
