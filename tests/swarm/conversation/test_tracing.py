"""OpenTelemetry spans, as an SDK collects them."""

import asyncio
import json
import subprocess
import sys
from contextlib import suppress

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from swarmchat.swarm import Agent, Answer, Context, ModelBusy, ScriptedModel, Session, Swarm, Tracing, tool
from swarmchat.swarm.testing import call


@tool
async def look(ctx: Context, at: str) -> str:
    """Look."""
    return await ctx.ask(f"What is {at}?")


@tool
async def fall() -> str:
    """Fail."""
    raise ValueError("secret")


SWARM = Swarm("shop", [Agent("desk", tools=[look, fall], handoffs=["till"]), Agent("till")])
USAGE = {"prompt_tokens": 7, "completion_tokens": 2}
STEPS = [
    [call(look, {"at": "a tree"}), call("transfer_to_till")],
    "A plant.",
    Answer("Done.", usage=USAGE, model="gpt-4o-2024"),
]


def traced(steps=STEPS, *, content=False, message="hi"):
    """Run a turn; return its spans by name, and all of them."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(content=content, provider=provider)

    async def scenario():
        model = ScriptedModel(steps, name="gpt-4o")
        async with Session.open("memory:", model, SWARM, name="s", tracing=tracing) as session:
            span = provider.get_tracer("test").start_span("mine")
            with trace.use_span(span, end_on_exit=True), suppress(ModelBusy):
                await session.ask(message)
            # Nothing is current after it.
            assert not trace.get_current_span().get_span_context().is_valid

    asyncio.run(scenario())
    spans = exporter.get_finished_spans()
    return {span.name: span for span in spans}, spans


def test_the_spans_of_a_turn_are_a_tree():
    named, spans = traced()
    turn = named["invoke_agent desk"]
    parents = {span.context.span_id: span.name for span in spans}
    tree = [(span.name, parents.get(span.parent.span_id)) for span in spans if span.parent]
    assert tree.count(("chat gpt-4o", "invoke_agent desk")) == 2
    assert tree.count(("chat gpt-4o", "execute_tool look")) == 1
    assert ("execute_tool look", "invoke_agent desk") in tree
    assert ("handoff till", "invoke_agent desk") in tree
    assert ("invoke_agent desk", "mine") in tree
    assert tree.count(("commit", "invoke_agent desk")) >= 3
    assert turn.attributes["gen_ai.conversation.id"] == "s"
    assert turn.attributes["gen_ai.agent.name"] == "desk"
    assert turn.kind is SpanKind.INTERNAL


def test_the_attributes_of_the_conventions():
    named, spans = traced()
    last = [span for span in spans if span.name == "chat gpt-4o"][-1]
    assert dict(last.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "swarmchat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
    }
    assert last.kind is SpanKind.CLIENT
    assert dict(named["execute_tool look"].attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.call.id": "call_1_1",
        "gen_ai.tool.type": "function",
    }


def test_content_is_off_by_default():
    def text(spans):
        return " ".join(span.to_json() for span in spans)

    secrets = ["my question", "a tree", "A plant", "Done."]
    assert not [secret for secret in secrets if secret in text(traced(message="my question")[1])]
    spans = traced(message="my question", content=True)[1]
    assert not [secret for secret in secrets if secret not in text(spans)]
    chats = [span for span in spans if span.name == "chat gpt-4o"]
    sent = json.loads(chats[0].attributes["gen_ai.input.messages"])
    assert sent[-1] == {"role": "user", "parts": [{"type": "text", "content": "my question"}]}
    calls = next(span for span in chats if "tool_call" in span.attributes["gen_ai.output.messages"])
    (answer,) = json.loads(calls.attributes["gen_ai.output.messages"])
    assert answer["finish_reason"] == "tool_calls"
    assert answer["parts"][0] == {"type": "tool_call", "id": "call_1_1", "name": "look", "arguments": {"at": "a tree"}}


def test_errors_have_a_type_and_no_words():
    named, spans = traced([call(fall), "Done."])
    span = named["execute_tool fall"]
    assert (span.attributes["error.type"], span.status.status_code) == ("ValueError", StatusCode.ERROR)
    assert "secret" not in "".join(each.to_json() for each in spans)
    named, _ = traced([ModelBusy("no secret")])
    assert named["chat gpt-4o"].attributes["error.type"] == "ModelBusy"
    assert named["invoke_agent desk"].status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("code", ["import swarmchat.swarm.turn.loop", "import swarmchat.cli.main"])
def test_it_is_loaded_only_when_it_is_used(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('opentelemetry' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_without_the_package_it_says_what_to_install():
    code = "import sys; sys.modules['opentelemetry'] = None\nfrom swarmchat.swarm import Tracing\nTracing()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Tracing needs opentelemetry-api, which is not installed: pip install 'swarmchat[otel]'" in done.stderr
