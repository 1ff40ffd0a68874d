"""The probes of ``swarmchat models test`` against servers with all kinds of faults."""

import asyncio
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from dialects import STAND_INS
from model_server import ModelServer, Reply, SeenRequest, failure, server_fixture, text, too_long, tool_calls, whole
from probed_server import Behaviour
from swarmchat.swarm.errors import ModelAuthError, ModelBusy, ModelUnavailable
from swarmchat.swarm.models.demo import DemoModel
from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint
from swarmchat.swarm.probes import checks, results, runner
from swarmchat.swarm.probes.exchanges import exchanges
from swarmchat.swarm.probes.results import QUIRKS, merged_quirks, usable
from swarmchat.swarm.probes.runner import ProbeRun

server = server_fixture
MANY = 100


async def run_all(run: ProbeRun) -> None:
    async for _ in run.run():
        pass


def probe(server: ModelServer, *replies: Reply | Callable[[SeenRequest], Reply], quick: bool = True) -> ProbeRun:
    """Run the probes against ``server``, which gives ``replies`` and then repeats the last one."""
    server.reply(*replies, *[replies[-1]] * MANY)

    async def work() -> ProbeRun:
        model = OpenAIEndpoint("test-model", base_url=server.base_url, max_retries=0)
        run = ProbeRun(model, quick=quick)
        try:
            await run_all(run)
        finally:
            await model.close()
        return run

    return asyncio.run(work())


def not_ok(run: ProbeRun) -> dict[str, str]:
    """Return the probes that are neither ok nor skipped because of ``quick``."""
    return {
        result.name: result.status for result in run.results if result.status != "ok" and result.name != "long_context"
    }


def test_a_good_server_has_no_quirks(server):
    run = probe(server, Behaviour(), quick=False)
    assert [result.name for result in run.results] == [*(each.name for each in checks.PROBES), "clean"]
    assert [(result.name, result.seen) for result in run.results if result.status != "ok"] == []
    assert usable(run.results) == {"chat": "yes", "tools": "yes", "swarms": "yes"}
    assert run.requests == len(server.chats) == 22
    # The cost that the documentation states.
    assert 8_000 < run.tokens < 12_000
    assert all(body["temperature"] == 0 and body["max_tokens"] <= 400 for body in server.chats)


@pytest.mark.parametrize(
    ("behaviour", "statuses", "quirks", "verdict"),
    [
        (
            Behaviour(leaks=True),
            {
                **dict.fromkeys(
                    ("call", "parallel", "nested", "no_parameters", "tool_error", "handoff", "history", "clean"),
                    "quirk",
                ),
                **dict.fromkeys(("call_ids", "call_streaming", "tool_name"), "skipped"),
            },
            {"leaks_calls_as_text": ["repair"]},
            ["yes", "with rescue", "with rescue"],
        ),
        (
            Behaviour(usage=False, parallel=False, whole=True, obeys=False),
            dict.fromkeys(("usage", "parallel", "call_ids", "call_streaming", "tool_choice"), "quirk"),
            {
                "no_usage": [],
                "no_call_ids": [],
                "no_call_streaming": [],
                "no_parallel_calls": [],
                "ignores_tool_choice": [],
            },
            ["yes", "yes", "yes"],
        ),
        (
            Behaviour(prefix="<think>hm</think>"),
            {"reasoning": "quirk"},
            {"thinks_inline": []},
            ["yes", "yes", "yes"],
        ),
        (
            Behaviour(refuses="temperature"),
            {"answer": "quirk"},
            {"refuses_temperature": []},
            ["yes", "yes", "yes"],
        ),
        (Behaviour(refuses="max_tokens"), {"answer": "quirk"}, {"refuses_max_tokens": []}, ["yes", "yes", "yes"]),
        (
            Behaviour(refuses="tool_choice"),
            {"tool_choice": "quirk"},
            {"needs_another_form": [], "ignores_tool_choice": []},
            ["yes", "yes", "yes"],
        ),
    ],
)
def test_quirks_are_found(behaviour, statuses, quirks, verdict, server):
    run = probe(server, behaviour)
    assert (not_ok(run), merged_quirks(run.results)) == (statuses, quirks)
    assert list(usable(run.results).values()) == verdict


@pytest.mark.parametrize(
    ("argument", "instead", "name", "seen", "quirk"),
    [
        ("city", "", "required_argument", "city: none, Paris", "ignores_required_arguments"),
        ("unit", "", "enum_argument", "unit: none, celsius", "ignores_required_arguments"),
        ("unit", "degrees", "enum_argument", "unit: degrees, celsius", "ignores_enums"),
    ],
)
def test_a_wrong_argument_is_corrected_on_request(argument, instead, name, seen, quirk, server):
    run = probe(server, Behaviour(forgets=argument, instead=instead))
    by_name = {result.name: result for result in run.results}
    result = by_name[name]
    assert (result.status, result.seen, result.quirks) == ("quirk", seen, {quirk: ["feedback"]})
    assert {result.status for result in run.results} == {"ok", "quirk", "skipped"}
    assert list(by_name["call"].quirks) == ["wrong_arguments"]
    assert usable(run.results)["tools"] == "with rescue"


def calling(name: str, arguments: str, call_id: str = "call_0") -> Reply:
    return tool_calls([{"index": 0, "id": call_id, "function": {"name": name, "arguments": arguments}}])


ORDER = '{"items": [{"name": "fox", "count": 3}], "address": {"street": "Bühlstraße 1", "town": "Köln"}}'


WEATHER = '{"city": "Paris", "unit": "celsius", "day": "today"}'


@pytest.mark.parametrize(
    ("replies", "statuses", "quirks"),
    [
        (
            {
                "LANTERN": text("Hello."),
                "in Rome": text("As in Paris."),
                "in Paris": calling("get_weather", WEATHER),
                "Order": calling("place_order", ORDER),
                "door": calling("door_code", "{}"),
                "two plus two": calling("get_weather", WEATHER),
            },
            {
                "system": "quirk",
                "call_streaming": "quirk",
                "optional_argument": "quirk",
                "second_turn": "failed",
                "unicode": "quirk",
                "no_parameters": "quirk",
                "tool_name": "quirk",
                "no_call_needed": "quirk",
                # Because of no_parameters: this probe covers all exchanges.
                "clean": "quirk",
                "history": "quirk",
                "tool_choice": "quirk",
            },
            {
                "misses_questions": [],
                "ignores_system": [],
                "no_call_streaming": [],
                "fills_optional_arguments": [],
                "changes_tool_names": ["repair"],
                "breaks_unicode": [],
                "calls_needlessly": [],
                "calls_only_once": [],
                "ignores_tool_choice": [],
            },
        ),
        (
            {
                "Order": calling("place_order", '{"items": "3 foxes", "address": "Köln"}'),
                "door": calling("door-code", '{"day": 1}'),
            },
            {"nested": "failed", "unicode": "quirk", "no_parameters": "quirk", "clean": "quirk"},
            {
                "wrong_arguments": ["feedback"],
                "malformed_arguments": ["repair"],
                "flattens_nested_arguments": ["feedback"],
                "invents_arguments": ["repair"],
                "breaks_unicode": [],
            },
        ),
    ],
)
def test_quirks_of_single_answers(replies, statuses, quirks, server):
    good = Behaviour()

    def odd(request: SeenRequest) -> Reply:
        messages = request.body["messages"]
        reply = next((reply for asked, reply in replies.items() if asked in str(messages)), None)
        return reply if reply is not None and messages[-1]["role"] == "user" else good(request)

    run = probe(server, odd)
    assert (not_ok(run), merged_quirks(run.results)) == (statuses, quirks)


@pytest.mark.parametrize(
    ("replies", "statuses"),
    [
        (
            {"hail": text("I cannot tell."), "out of order": text()},
            {
                "result": ["ignores_results"],
                "second_turn": ["calls_only_once"],
                "tool_error": ["stuck_on_tool_errors", "answers_empty"],
            },
        ),
        (
            {"out of order": calling("read_meter", '{"number": 5}', "")},
            {"tool_error": ["stuck_on_tool_errors", "repeats_calls", "never_answers"]},
        ),
    ],
)
def test_quirks_of_answers_to_results(replies, statuses, server):
    good = Behaviour()

    def odd(request: SeenRequest) -> Reply:
        read = request.raw.decode()
        return next((reply for word, reply in replies.items() if word in read), None) or good(request)

    run = probe(server, odd)
    failed = {result.name: list(result.quirks) for result in run.results if result.status == "failed"}
    assert failed == statuses


def test_repeated_call_ids(server):
    weather = calling("get_weather", '{"city": "Paris", "unit": "celsius"}')
    good = Behaviour()
    run = probe(
        server,
        lambda request: (
            weather
            if "get_weather" in request.raw.decode() and request.body["messages"][-1]["role"] == "user"
            else good(request)
        ),
    )
    call_ids = next(result for result in run.results if result.name == "call_ids")
    assert (call_ids.status, call_ids.seen, list(call_ids.quirks)) == ("quirk", "call_0, call_0", ["repeats_call_ids"])


@pytest.mark.parametrize(
    "answer",
    [
        calling("frobnicate", '{"x": 1}'),
        calling("get_weather", '{"city": "Paris", "unit": "celsius"}'),
        text('<tool_call>{"name": "get_wea'),
        text(),
    ],
)
def test_a_model_that_cannot_call_costs_no_more_than_the_documents_say(answer, server):
    good = Behaviour()
    run = probe(server, lambda request: answer if request.body.get("tools") else good(request), quick=False)
    assert len(server.chats) == run.requests <= 20
    assert run.tokens < 12_000
    assert usable(run.results) == {"chat": "yes", "tools": "no", "swarms": "no"}


@pytest.mark.parametrize("name", ["reasoning", "signatures", "text-content", "no-blank-text"])
def test_what_a_server_demands_of_the_calls_of_another_one(name, server):
    stand_in = next(each for each in STAND_INS if each.name == name)
    good = Behaviour()
    run = probe(server, lambda request: stand_in.refuse(request.body) or good(request))
    [history] = [result for result in run.results if result.name == "history"]
    adapts = stand_in.adaptation is not None
    assert list(run.model.adaptations) == ([stand_in.adaptation] if adapts else [])
    assert history.status in ("ok", "quirk")
    assert ("needs_another_form" in merged_quirks(run.results)) == adapts


def test_control_tokens_are_reported_for_every_answer(server):
    run = probe(server, Behaviour(suffix="\n<|im_end|>"))
    assert merged_quirks(run.results) == {"leaks_control_tokens": ["repair"]}
    assert usable(run.results)["chat"] == "with rescue"


def test_empty_answers_end_the_run_early(server):
    run = probe(server, Behaviour(empty=True))
    assert merged_quirks(run.results) == {"answers_empty": ["recomplete", "flush", "placeholder"]}
    assert usable(run.results) == {"chat": "no", "tools": "no", "swarms": "no"}
    assert {result.seen for result in run.results if result.status == "skipped"} == {
        "no good answer to a plain question"
    }
    assert len(server.chats) == 3


@pytest.mark.parametrize(
    "answer",
    [
        text("Which town is the capital of Germany? Which town is the capital of Spain?"),
        text("Hello! Which town is the capital of France? Paris"),
        text("Paris.\nUser: And of Spain?"),
        text("The town of Paris is on the river and on the river and", finish="length"),
        text('{"name": "capital", "result": "Paris"}'),
    ],
)
def test_a_base_model_cannot_chat(answer, server):
    run = probe(server, answer, quick=False)
    assert set(usable(run.results).values()) == {"no"}
    assert "misses_questions" in merged_quirks(run.results)
    assert len(server.chats) <= 3


@pytest.mark.parametrize(
    ("said", "verdict", "quirk"),
    [
        ("フランスの首都はパリです。", "yes", None),
        ("Die Hauptstadt von Frankreich ist Paris.", "yes", None),
        ("I'm sorry, but I can't help with that.", "no", "refuses_questions"),
        ("As an AI, I do not discuss towns.", "no", "refuses_questions"),
        ("Hello! How can I help you?", "no", "misses_questions"),
    ],
)
def test_the_answer_to_a_plain_question_is_read(said, verdict, quirk, server):
    good = Behaviour()
    run = probe(server, lambda request: text(said) if "capital of France" in request.raw.decode() else good(request))
    assert usable(run.results)["chat"] == verdict
    assert [name for name in merged_quirks(run.results) if name != "odd_usage"] == ([] if quirk is None else [quirk])


def test_a_reading_that_there_is_not_is_invented(server):
    good = Behaviour()
    run = probe(
        server, lambda request: text("It reads 4,711 kWh.") if "out of order" in request.raw.decode() else good(request)
    )
    assert {result.name: list(result.quirks) for result in run.results if result.status == "failed"} == {
        "tool_error": ["ignores_results"]
    }


def test_retries_count_and_the_limits_are_strict(server):
    good, asked = Behaviour(), []

    def fails_half_of_the_time(request: SeenRequest) -> Reply:
        asked.append(request)
        return failure(500, "busy", {"Retry-After": "0"}) if len(asked) % 2 else good(request)

    server.reply(*[fails_half_of_the_time] * MANY)

    async def work() -> ProbeRun:
        model = OpenAIEndpoint("test-model", base_url=server.base_url, max_retries=1)
        run = ProbeRun(model)
        await run_all(run)
        await model.close()
        return run

    run = asyncio.run(work())
    assert run.requests == len(server.chats) == 24
    assert usable(run.results) == {"chat": "yes", "tools": "unknown", "swarms": "unknown"}
    assert next(result.seen for result in run.results if result.name == "handoff").startswith("the test has taken 24")


@pytest.mark.parametrize(("prompt", "answer"), [(4_000, 1_000), (900, 3_000)])
def test_no_request_is_sent_that_could_cost_too_much(prompt, answer, server):
    usage = {"prompt_tokens": prompt, "completion_tokens": answer}
    run = probe(server, text("Paris", usage=usage), quick=False)
    assert len(server.chats) * (prompt + answer) == run.tokens <= 15_000
    assert {result.seen for result in run.results if result.name == "handoff"} == {
        f"the test has taken {run.requests} requests and {run.tokens:,} tokens"
    }


@pytest.mark.parametrize(("said", "status"), [('{"a": 2, "b": 4}', "quirk"), ("Five.", "quirk"), ("It is 4.", "ok")])
def test_the_answer_to_a_sum_is_read(said, status, server):
    good = Behaviour()
    run = probe(server, lambda request: text(said) if "two plus two" in request.raw.decode() else good(request))
    assert next(result.status for result in run.results if result.name == "no_call_needed") == status


def test_a_cut_context_with_usage(server):
    run = probe(server, Behaviour(window=2_000), quick=False)
    assert not_ok(run) == {}
    assert run.results[-2].status == "failed"
    assert re.fullmatch(r"the server counted 2,000 of 5,\d\d\d tokens", run.results[-2].seen)
    assert merged_quirks(run.results) == {"cuts_context": []}


def test_a_cut_context_without_usage(server):
    run = probe(server, Behaviour(window=2_000, usage=False), quick=False)
    assert list(merged_quirks(run.results)) == ["no_usage", "cuts_context"]


def test_a_server_that_reports_its_window(server):
    good = Behaviour()

    def reply(request: SeenRequest) -> Reply:
        return too_long(4096) if len(request.raw) > 10_000 else good(request)

    run = probe(server, reply, quick=False)
    assert run.results[-2].status == "quirk"
    assert "its window is 4,096 tokens" in run.results[-2].seen
    assert merged_quirks(run.results) == {"small_window": []}


def test_a_server_that_refuses_tools_gets_them_only_once(server):
    run = probe(server, Behaviour(refuses="tools"))
    call = next(result for result in run.results if result.name == "call")
    assert (call.status, list(call.quirks)) == ("failed", ["refuses_tools"])
    assert call.seen == "the server refuses tools"
    assert usable(run.results) == {"chat": "yes", "tools": "no", "swarms": "no"}
    assert sum("tools" in body for body in server.chats) == 1
    assert "the server does not accept tools" in {result.seen for result in run.results}


def test_a_model_that_never_calls(server):
    run = probe(server, Behaviour(calls=False))
    assert list(merged_quirks(run.results)) == ["no_calls"]
    assert usable(run.results) == {"chat": "yes", "tools": "no", "swarms": "no"}


def test_a_call_in_an_unknown_form(server):
    run = probe(server, Behaviour(), Behaviour(), Behaviour(), text("I go and use get_weather: for Paris, that is."))
    call = next(result for result in run.results if result.name == "call")
    assert list(call.quirks) == ["leaks_calls_in_unknown_form"]


def test_thinking_gets_more_tokens(server):
    run = probe(server, text(finish="length"), Behaviour())
    assert not_ok(run) == {"answer": "quirk"}
    assert merged_quirks(run.results) == {"thinks_long": []}
    assert [body["max_tokens"] for body in server.chats[:3]] == [400, 2_000, 2_000]


def test_an_answer_in_one_piece(server):
    run = probe(server, whole({"content": "Paris. LANTERN"}))
    by_name = {result.name: result for result in run.results}
    assert list(by_name["streaming"].quirks) == ["no_streaming"]
    assert by_name["stop_reason"].status == by_name["system"].status == "ok"


def test_an_invented_tool(server):
    run = probe(
        server,
        *[Behaviour()] * 3,
        tool_calls([{"index": 0, "id": "a", "function": {"name": "google", "arguments": "{}"}}]),
        Behaviour(),
    )
    call = next(result for result in run.results if result.name == "call")
    assert (call.status, call.quirks) == ("failed", {"invents_tools": ["feedback"]})


def test_a_single_server_error_is_a_result(server):
    run = probe(server, Behaviour(), failure(500, "cannot read the call"), Behaviour())
    streaming = next(result for result in run.results if result.name == "streaming")
    assert (streaming.status, list(streaming.quirks)) == ("failed", ["server_errors"])
    assert next(result for result in run.results if result.name == "clean").status == "ok"


@pytest.mark.parametrize(
    ("reply", "error"),
    [(failure(401), ModelAuthError), (failure(429), ModelBusy), (text("a", done=False, finish=None), ModelUnavailable)],
)
def test_provider_errors_end_the_run(reply, error, server):
    server.reply(Behaviour(), Behaviour(), reply)

    async def work() -> ProbeRun:
        model = OpenAIEndpoint("test-model", base_url=server.base_url, max_retries=0)
        run = ProbeRun(model)
        with pytest.raises(error):
            await run_all(run)
        await model.close()
        return run

    run = asyncio.run(work())
    assert [result.name for result in run.results] == ["answer", "stop_reason", "usage", "reasoning", "streaming"]
    assert usable(run.results) == {"chat": "yes", "tools": "unknown", "swarms": "unknown"}
    assert run.requests == 3


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [{"delta": {"tool_calls": [{"function": "x"}, 7, {"id": {}, "function": {"name": "f"}}]}}]},
        {"choices": [{"delta": "x", "finish_reason": {"a": 1}}, None, 5]},
        {"choices": {"0": {}}, "usage": {"prompt_tokens": "many", "completion_tokens": -1}},
    ],
)
def test_malformed_objects_of_a_server_do_no_harm(odd, server):
    from model_server import chunk, stream

    run = probe(server, stream(odd, chunk({"content": "Paris"}, "stop")))
    assert run.results[-1].name == "clean"


def test_the_demo_model():
    run = ProbeRun(DemoModel())
    asyncio.run(run_all(run))
    assert set(usable(run.results).values()) == {"no"}
    assert merged_quirks(run.results).keys() == {"misses_questions", "no_usage"}


def test_probes_are_in_the_order_of_their_exchanges():
    names = [exchange.name for exchange in exchanges()]
    order = [names.index(each.exchange) for each in checks.PROBES]
    assert order == sorted(order)
    assert set(order) == set(range(len(names)))
    assert len({each.name for each in checks.PROBES}) == len(checks.PROBES)


def test_every_quirk_can_be_found_and_is_documented():
    source = "".join(inspect.getsource(module) for module in (checks, results, runner))
    # Once as the key of its advice, and at least once where it is found.
    assert [name for name in QUIRKS if source.count(f'"{name}"') < 2] == []
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|$", page, re.MULTILINE))
    assert documented == QUIRKS
