"""The models that answer while the server of the first one is down or too busy."""

import asyncio

import pytest
from model_server import Cut, ModelServer, failure, server_fixture, text
from swarmchat.backends import open_backend
from swarmchat.swarm.conversation.events import Warned
from swarmchat.swarm.errors import ModelBusy, ModelError, ModelRefused, ModelUnavailable
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.models.fallback import FallbackModel
from swarmchat.swarm.models.openai_chat import OpenAIModel
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.session.session import Session

server = server_fixture


def chat(model: Model, *questions: str) -> tuple[list[str], list[str], list[Record]]:
    """Ask the questions; return the answers, the warnings and the records."""

    async def run() -> tuple[list[str], list[str], list[Record]]:
        answers: list[str] = []
        warnings: list[str] = []
        try:
            async with await Session.open(open_backend("memory:"), model, client="ann") as session:
                for question in questions:
                    events = [event async for event in session.run_turn(question)]
                    warnings += [event.text for event in events if isinstance(event, Warned)]
                    answers.append(str(session.records[-1].message["content"]))
                return answers, warnings, list(session.records)
        finally:
            await model.close()

    return asyncio.run(run())


def first(server: ModelServer, retries: int = 0) -> OpenAIModel:
    async def sleep(seconds: float) -> None:
        pass

    return OpenAIModel("first", base_url=server.base_url, max_retries=retries, sleep=sleep)


@pytest.mark.parametrize("reply", [failure(503), failure(429), text(Cut())])
def test_another_model_answers_in_an_outage(server: ModelServer, reply):
    server.reply(reply, reply, text("back"))
    model = FallbackModel(first(server, retries=1), [ScriptedModel(["spare"], name="second")])
    answers, warnings, records = chat(model, "one", "two")
    assert answers == ["spare", "back"]
    (warning,) = warnings
    assert warning.startswith("second answers in place of first: ")
    assert server.base_url in warning
    assert [record.data.get("model") for record in records if record.type == "assistant"] == ["second", None]
    assert {record.data["model"] for record in records if record.type == "request"} == {"first"}


def test_the_next_one_answers_if_one_is_down_too(server: ModelServer):
    server.reply(failure(500))
    others = [ScriptedModel([ModelRefused("no such model")], name="b"), ScriptedModel(["here"], name="c")]
    answers, warnings, _ = chat(FallbackModel(first(server), others), "one")
    assert answers == ["here"]
    assert warnings[0].startswith("c answers in place of first")


@pytest.mark.parametrize(("reply", "kind"), [(failure(500), ModelUnavailable), (failure(429), ModelBusy)])
def test_the_error_is_that_of_the_first_if_none_answers(server: ModelServer, reply, kind: type[ModelError]):
    server.reply(reply)
    with pytest.raises(kind, match=server.base_url):
        chat(FallbackModel(first(server), [ScriptedModel([ModelUnavailable("down")], name="b")]), "one")


@pytest.mark.parametrize("reply", [failure(400), failure(401), text("half ", Cut())])
def test_another_failure_is_no_outage(server: ModelServer, reply):
    spare = ScriptedModel(["spare"], name="b")
    server.reply(reply)
    with pytest.raises(ModelError):
        chat(FallbackModel(first(server), [spare]), "one")
    assert not spare.requests


def test_it_replaces_the_first(server: ModelServer):
    model = FallbackModel(first(server), [ScriptedModel(["spare"], name="b", context_window=10)])
    asyncio.run(model.discover())
    model.warm_up()
    assert (model.name, model.context_window) == ("first", 32_000)
    asyncio.run(model.close())
