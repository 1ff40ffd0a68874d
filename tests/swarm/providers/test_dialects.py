"""Whole conversations on stand-ins of providers, each with one strict rule."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from chats import copy_into
from dialects import STAND_INS, StandIn
from model_server import ModelServer, Reply, chunk, failure, model_server, server_fixture, stream, text, tool_calls
from pictures import picture, picture_url
from pydantic import Field
from swarmchat.backends.memory import MemoryBackend
from swarmchat.swarm import (
    Agent,
    LearnedAdaptations,
    OpenAIModel,
    Session,
    SessionSettings,
    Swarm,
    ToolStarted,
    Warned,
    tool,
)
from swarmchat.swarm.archive.writer import SessionWriter
from swarmchat.swarm.common.names import portable_name
from swarmchat.swarm.errors import ModelRefused
from swarmchat.swarm.importers.detect import open_transcript
from swarmchat.swarm.providers.adaptations import learn

server = server_fixture


@tool
def note(text: str) -> str:
    """Write a note down."""
    return f"noted {text}"


def search(
    text: Annotated[str, Field(max_length=2000)],
    limit: Annotated[list[str], Field(max_length=5000)],
    size: Annotated[int | str, Field(description="How many.")] = 5,
    more: dict[str, int] | None = None,
    anything: Any = None,
) -> str:
    return ""


search.__doc__ = "Search in the notes. " + "Each word has to be in the note, in any order. " * 30


CLOCK = "24h clock/what.time is it, in the place where the one who asks lives at the moment?"


@tool(name=CLOCK)
def now() -> str:
    """Tell the time."""
    return ""


SWARM = Swarm(
    "desk",
    agents=[
        Agent(
            "desk",
            "You are the desk.",
            system=[lambda ctx: "Be brief."],
            tools=[note, now, tool(search)],
            handoffs=["sales"],
        ),
        Agent("sales", "You sell.", tools=[note], handoffs=["desk"]),
        Agent("bare", "You have no tools."),
    ],
    default="desk",
)


PICTURES = [
    {"role": "user", "content": [{"type": "text", "text": "Hello."}, {"type": "text", "text": "What is this?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "I see nothing."}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": picture_url(picture())}}]},
    {"role": "assistant", "content": "A cat."},
]


def call(name: str, arguments: str = "{}", identity: str = "call_0123456789", index: int = 0) -> list[dict[str, Any]]:
    function = {"name": name, "arguments": arguments}
    return [{"index": index, "id": identity, "type": "function", "function": function}]


def thoughtful_call() -> Reply:
    """A call with reasoning, which goes back with it unless the server refuses that."""
    entries = call("note", '{"text": "tea"}', "123456789")
    reasoning = chunk({"reasoning_content": "Tea, then."})
    return stream(reasoning, chunk({"tool_calls": entries}), chunk({}, "tool_calls"))


def handoff_with_text() -> Reply:
    """A model that says something before it hands over."""
    entries = call("transfer_to_sales", identity="abcdefghi")
    return stream(chunk({"content": "One moment."}), chunk({"tool_calls": entries}), chunk({}, "tool_calls"))


async def converse(
    server: ModelServer,
    backend: MemoryBackend,
    adaptations: LearnedAdaptations,
    *questions: str,
    parameters: Mapping[str, Any] | None = None,
) -> list[str]:
    """Ask ``questions`` in one session; return the warnings."""
    model = OpenAIModel("m", base_url=server.base_url, max_retries=0, adaptations=adaptations)
    settings = SessionSettings(parameters=parameters or {})
    session = await Session.open(backend, model, client="ann", swarm=SWARM, name="box", settings=settings)
    warnings = []
    try:
        for question in questions:
            events = [event async for event in session.run_turn(question)]
            warnings += [event.text for event in events if isinstance(event, Warned) and "another form" in event.text]
    finally:
        await session.close()
        await model.close()
    return warnings


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> MemoryBackend:
    """A store with what was said to a server that accepts all."""
    backend = MemoryBackend()
    asyncio.run(history_of_another_server(backend, tmp_path_factory.mktemp("history")))
    return backend


async def history_of_another_server(backend: MemoryBackend, folder: Path) -> None:
    """Text in parts, a picture, and calls, two of them at once, made by a server that accepts all."""
    path = folder / "messages.json"
    path.write_text(json.dumps({"messages": PICTURES}), "utf-8")
    with open_transcript(path, "ann") as transcript:
        for incoming in transcript.sessions:
            await SessionWriter(backend, "ann").store(incoming, name="box")
    with model_server() as free:
        free.reply(
            tool_calls(call("note", '{"text": "milk"}'), call("note", '{"text": "rice"}', "call_1", 1)),
            text("Noted."),
            tool_calls(call(portable_name(CLOCK), identity="call_2")),
            text("Late."),
        )
        await converse(free, backend, LearnedAdaptations(), "note milk", "what time is it?")


@pytest.mark.parametrize("stand_in", STAND_INS, ids=lambda each: each.name)
def test_a_conversation_continues_at_a_strict_server(stand_in: StandIn, server: ModelServer, history: MemoryBackend):
    async def scenario() -> None:
        backend, adaptations = MemoryBackend(), LearnedAdaptations()
        copy_into(backend, history)
        server.rule = stand_in.refuse
        without_tools = stand_in.adaptation in ("no-tools", "tools-off")
        thinks = stand_in.name in ("reasoning", "no-echo")
        a_call = thoughtful_call() if thinks else tool_calls(call("note", '{"text": "tea"}', "123456789"))
        server.reply(
            *([] if without_tools else [a_call]),
            text("Noted."),
            *([] if without_tools else [handoff_with_text()]),
            text("Sales here."),
            text("Bye."),
        )
        questions = ("note tea", "go to sales", "bye")
        warnings = await converse(server, backend, adaptations, *questions, parameters=stand_in.parameters)
        address = server.base_url
        learned = adaptations.of(address, "m")
        assert learned == (() if stand_in.adaptation is None else (stand_in.adaptation,))
        assert len(warnings) == len(learned)
        refused = [body for body in server.chats if stand_in.rule(body) is not None]
        assert len(refused) == len(learned)
        assert len(server.chats) - len(refused) == (3 if without_tools else 5)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        tool_calls(call(portable_name(CLOCK), identity="123456789")),
        tool_calls(call(CLOCK, identity="123456789")),
        text(f'<tool_call>{{"name": "{portable_name(CLOCK)}", "arguments": {{}}}}</tool_call>'),
        text(f'{{"name": "functions.{portable_name(CLOCK)}", "arguments": {{}}}}'),
    ],
    ids=["sent-name", "own-name", "as-text", "as-text-in-a-namespace"],
)
def test_a_call_has_its_own_name_in_events_and_log(answer: Reply, server: ModelServer):
    async def scenario() -> None:
        server.rule = next(each for each in STAND_INS if each.name == "function-names").refuse
        server.reply(answer, text("Late."), text("Still late."))
        model = OpenAIModel("m", base_url=server.base_url, max_retries=0)
        async with await Session.open(MemoryBackend(), model, client="ann", swarm=SWARM) as session:
            events = [event async for event in session.run_turn("what time is it?")]
            events += [event async for event in session.run_turn("and now?")]
            messages = [record.message for record in session.records if "message" in record.data]
        await model.close()
        assert [event.name for event in events if isinstance(event, ToolStarted)] == [CLOCK]
        calls = [call for message in messages for call in message.get("tool_calls", ())]
        assert [call["function"]["name"] for call in calls] == [CLOCK]
        sent = server.chats[-1]["messages"][2]["tool_calls"][0]["function"]["name"]
        assert sent == portable_name(CLOCK) != CLOCK

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("words", "adaptation"),
    [
        ("Streaming is not supported for this model", "no-stream"),
        ("streaming not available for model o1-pro; set stream=false", "no-stream"),
        ("OllamaChatGenerator does not support tools and streaming at the same time.", "no-stream"),
        ("Input should be False: stream", "no-stream"),
        ("body.stream: Input should be 'false'", "no-stream"),
        ("Unrecognized request argument supplied: stream_options", "no-stream-options"),
        ("parameters.properties[more].properties: should be non-empty for OBJECT type", "no-open-objects"),
        ("Invalid schema for function 'f': 'oneOf' is not permitted.", "no-alternatives"),
        ("functionDeclaration `parameters.size` schema specified other fields alongside any_of.", "no-alternatives"),
        ("Invalid value for 'content': expected a string, got null.", "empty-content"),
        ("`tools` is not supported with this model", "no-tools"),
        ("Function calling is not enabled for models/gemma-3", "no-tools"),
        ("litellm.UnsupportedParamsError: ollama does not support parameters: ['tools'], for model=x.", "no-tools"),
        (
            "gpt-5 models don't support temperature=0.2. Only temperature=1 is supported. For gpt-5.1, temperature is "
            "supported when reasoning_effort='none' (or not specified, as it defaults to 'none').",
            "without-temperature",
        ),
        ("parallel tool calls are not supported", "single-calls"),
        ("Unsupported value: 'messages[0].role' does not support 'system' with this model.", "no-system"),
        ("Only user and assistant roles are supported!", "no-system"),
        ("property 'messages.3.name' is unsupported", "no-names"),
        ("tools.0.function.parameters: Field required", "empty-parameters"),
        ("max_tokens is too large: 9000. This model supports at most 4096", "without-max_tokens"),
        ("`temperature` and `top_p` cannot both be specified for this model.", "without-temperature"),
        ("Argument not supported on this model: presencePenalty", "without-presence_penalty"),
        ("The model returned the following errors: name: Extra inputs are not permitted", "no-names"),
        ("Extra inputs are not permitted, field: 'messages[3].name', value: 'x'", "no-names"),
        ("BedrockException: reasoning: Extra inputs are not permitted", "no-echo"),
        ("messages[3].role: unknown variant `tool`, expected `user` or `assistant`", "no-tools"),
        ('[{"loc":["body","tools"],"msg":"Extra inputs are not permitted"}]', "no-tools"),
        ("Unrecognized request argument supplied: tools", "no-tools"),
        ("Conversation roles must alternate user/assistant", None),
        ("the weather tool is not supported in your region; streams are fine", None),
    ],
)
def test_what_a_refusal_asks_for(words: str, adaptation: str | None):
    body = {"stream": True, "tools": [{}], "temperature": 1, "top_p": 1, "max_tokens": 9000, "presence_penalty": 1}
    assert learn(400, words, {**body, "stream_options": {}}, ()) == adaptation


def test_a_refusal_may_come_in_a_stream(server: ModelServer):
    async def scenario() -> None:
        adaptations = LearnedAdaptations()
        refusal = {"error": {"code": 400, "message": "Unsupported parameter: 'stream_options'"}}
        server.reply(Reply([f"data: {json.dumps(refusal)}\n\ndata: [DONE]\n\n".encode()]), text("Fine."))
        await converse(server, MemoryBackend(), adaptations, "hello")
        assert adaptations.of(server.base_url, "m") == ("no-stream-options",)
        assert "stream_options" not in server.chats[-1]

    asyncio.run(scenario())


def test_a_form_that_does_not_help_is_not_remembered(server: ModelServer):
    async def scenario() -> None:
        adaptations = LearnedAdaptations()
        refusal = failure(400, "System role not supported")
        server.reply(refusal, failure(400, "No."), text("Fine."))
        with pytest.raises(ModelRefused, match=r"No\."):
            await converse(server, MemoryBackend(), adaptations, "hello")
        assert adaptations.of(server.base_url, "m") == ()
        await converse(server, MemoryBackend(), adaptations, "hello")
        assert server.chats[-1]["messages"][0]["role"] == "system"

    asyncio.run(scenario())


def test_what_was_learned_is_kept_in_a_file(tmp_path: Path):
    path = tmp_path / "new" / "servers.json"
    first = LearnedAdaptations(path)
    first.add("http://a/v1", "m", "no-stream")
    first.add("http://a/v1", "m", "tools-off")
    assert first.of("http://a/v1", "m") == ("no-stream", "tools-off")
    # The server may be started again, with the switch that it lacks.
    LearnedAdaptations(path).add("http://a/v1", "m", "empty-content")
    assert LearnedAdaptations(path).of("http://a/v1", "m") == ("no-stream", "empty-content")
    assert LearnedAdaptations(path).of("http://a/v1", "other") == ()
    path.write_text('{"http://a/v1": {"m": ["no-stream", "unknown", 3], "n": "x"}, "b": []}')
    assert LearnedAdaptations(path).of("http://a/v1", "m") == ("no-stream",)
    path.write_text("{")
    assert LearnedAdaptations(path).of("http://a/v1", "m") == ()


def test_a_file_that_cannot_be_written_is_no_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    adaptations = LearnedAdaptations(tmp_path / "file" / "servers.json")
    adaptations.add("http://a/v1", "m", "no-stream")
    assert adaptations.of("http://a/v1", "m") == ("no-stream",)


@pytest.mark.parametrize(
    ("status", "said", "means_blind"),
    [
        (400, "Invalid content type. image_url is only supported by certain models.", True),
        (400, "this model does not support image input (ref: b8bd630e)", True),
        (400, "Model does not support images. Please use a model that does.", True),
        (400, "Model do not support image input.", True),
        (422, "messages[94]: unknown variant `image_url`, expected `text` at line 1 column 802043", True),
        (
            400,
            "'messages.1' : for 'role:user' the following must be satisfied[('messages.1.content' : value must be a "
            "string)]",
            True,
        ),
        (400, "At most 0 image(s) may be provided in one request.", True),
        (400, "/models/qwen is not a multimodal model", True),
        (404, "No endpoints found that support image input", True),
        (400, "Image input is not enabled for this model", True),
        (400, "Image content is currently not supported by this model", True),
        (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", True),
        (500, "this model is missing data required for image input", True),
        (400, "image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes", False),
        (400, "You uploaded an unsupported image. Please make sure your image is one of ['png', 'jpeg']", False),
        (400, "Could not process image", False),
        (400, "Too many images in the request: at most 5 image(s) may be provided", False),
    ],
)
def test_a_model_without_eyes_is_told_apart_from_a_bad_image(status, said, means_blind):
    learned = learn(status, said, {}, ())
    assert (learned == "no-attachments") == means_blind
    assert learn(status, said, {}, (), attachments=False) != "no-attachments"
