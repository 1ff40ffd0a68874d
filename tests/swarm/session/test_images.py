"""Images in a conversation: small logs, whole exports, the same replay, and a model that has no eyes."""

import asyncio
import json
from dataclasses import replace
from io import BytesIO

import pytest
from chat_rules import check_messages
from chats import ticking_clock
from model_server import failure, model_server, text, tool_calls
from pictures import picture, picture_url
from PIL import Image
from recorded import Recorder, again, calls
from swarmchat.backends import Append, Delete, open_backend
from swarmchat.swarm import (
    Agent,
    Context,
    Hooks,
    ImageError,
    OpenAIModel,
    ScriptedModel,
    Session,
    Swarm,
    ToolFinished,
    Warned,
    image_file,
    tool,
)
from swarmchat.swarm.archive.export import as_messages
from swarmchat.swarm.archive.redaction import Redaction
from swarmchat.swarm.archive.repair import repair_session
from swarmchat.swarm.archive.sessions import delete_session, fork_session, snapshot
from swarmchat.swarm.archive.whole_lines import whole_lines
from swarmchat.swarm.archive.writer import SessionWriter
from swarmchat.swarm.common.messages import text_of
from swarmchat.swarm.importers.detect import open_transcript
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.blobs import Blobs
from swarmchat.swarm.persistence.log import read_lines, read_records
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.session_index import find_session
from swarmchat.swarm.session.compaction import compact

AGENT = Agent("a", "Help.")
SWARM = Swarm("images", [AGENT])

GONE = "There was an attachment here (image: cat.png"


@pytest.fixture
def cat(tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(picture(width=300, height=200, noise=True))
    return path


async def two_turns(url, cat):
    """Ask about the image, and once more; return the recorder."""
    recorder = Recorder(open_backend(url), SWARM)
    async with await recorder.open(ScriptedModel(["A cat.", "Yes."])) as session:
        await session.ask([{"type": "text", "text": "What is this?"}, image_file(cat)])
        await session.ask("Sure?")
        assert session.info.title == "What is this?"
    return recorder


async def lines_in(backend, info):
    return [line async for line in whole_lines(backend, info)]


def test_a_session_with_images_on_every_store(backend_url, cat, tmp_path):
    async def scenario():
        recorder = await two_turns(backend_url, cat)
        backend = recorder.backend
        log, data = await recorder.log(), cat.read_bytes()
        assert len(log) < 4000 < len(data)
        async with await recorder.open(ScriptedModel(["Yes."])) as session:
            info = session.info
            await session.ask([image_file(cat), {"type": "image_url", "image_url": {"url": picture_url(data)}}])
            model = session.model
            sent = [
                message["content"] for message in model.requests[-1].decoded_messages() if message["role"] == "user"
            ]
            assert sent[0] == [{"type": "text", "text": "What is this?"}, part(data)]
            assert sent[2] == [part(data), part(data)]
        blobs = Blobs(backend, "ann", info.id)
        assert len(await blobs.digests()) == 1
        shown = [text_of(record.message) async for record in read_records(backend, info) if record.type == "user"]
        assert shown[0] == "What is this?\n[image: cat.png, 300 × 200 PNG, 180 KB]"

        whole = await lines_in(backend, info)
        path = tmp_path / "export.jsonl"
        path.write_bytes(b"\n".join(whole) + b"\n")
        assert picture_url(data).encode() in path.read_bytes()
        target = open_backend("memory:")
        with open_transcript(path, "ann") as transcript:
            stored = await SessionWriter(target, "ann").store(transcript.sessions[0])
            assert (await SessionWriter(target, "ann").store(transcript.sessions[0])).status == "there"
        assert [line async for line in read_lines(target, stored.info)] == (await recorder.log()).splitlines()
        assert await lines_in(target, stored.info) == whole
        copied = await SessionWriter(target, "bea").store(await snapshot(backend, info))
        assert await lines_in(target, copied.info) == whole
        forked = await SessionWriter(backend, "ann").store(await fork_session(backend, info, "f", ticking_clock()(), 1))
        assert len(await lines_in(backend, forked.info)) == 4
        assert await Blobs(backend, "ann", "f").digests() == await blobs.digests()
        await delete_session(backend, info)
        assert await blobs.keys() == []
        assert await Blobs(backend, "ann", "f").get((await Blobs(backend, "ann", "f").digests())[0]) == data
        await backend.close()

    asyncio.run(scenario())


def part(data):
    return {"type": "image_url", "image_url": {"url": picture_url(data)}}


def timeless(record):
    return replace(record, ts="", data={name: value for name, value in record.data.items() if name != "ms"}).line


@pytest.mark.parametrize("self_contained", [True, False])
def test_a_replay_comes_to_the_same_with_and_without_the_data(self_contained, cat, tmp_path):
    async def scenario():
        recorder = await two_turns("memory:", cat)
        info = await find_session(recorder.backend, "ann", "s")
        lines = await lines_in(recorder.backend, info) if self_contained else (await recorder.log()).splitlines()
        replayed = await again(b"\n".join(lines) + b"\n", tmp_path / "s.jsonl", SWARM)
        assert replayed.differences == []
        recorded = [record async for record in read_records(recorder.backend, info)]
        assert [timeless(record) for record in replayed.records] == [timeless(record) for record in recorded]

    asyncio.run(scenario())


def test_a_missing_image_is_a_text_and_a_warning(cat):
    async def scenario():
        recorder = await two_turns("memory:", cat)
        await recorder.backend.commit(Delete((await Blobs(recorder.backend, "ann", "s").keys())[1]))
        async with await recorder.open(ScriptedModel(["What?", "No."])) as session:
            warnings = [
                event.text for _ in "12" async for event in session.run_turn("And?") if isinstance(event, Warned)
            ]
            content = session.model.requests[-1].decoded_messages()[1]["content"]
            assert content[1]["text"] == f"{GONE}, 300 × 200 PNG, 180 KB). It is no longer stored."
            assert [each for each in warnings if "no longer in the store" in each] == warnings[:1]
            assert len(await lines_in(recorder.backend, session.info)) == len((await recorder.log()).splitlines())

    asyncio.run(scenario())


def test_a_strict_server_gets_images_and_one_without_eyes_is_told(cat, tmp_path):
    refusal = "Invalid content type. image_url is only supported by certain models."

    async def scenario():
        with model_server() as server:
            server.reply(text("A cat."), failure(400, refusal), text("I see nothing."), text("Still."))
            model = OpenAIModel("m", base_url=server.base_url)
            async with Session.open("memory:", model, AGENT, name="s") as session:
                await session.ask([{"type": "text", "text": "What is this?"}, image_file(cat, detail="low")])
                image = server.chats[0]["messages"][1]["content"][1]
                assert image == {
                    "type": "image_url",
                    "image_url": {"url": picture_url(cat.read_bytes()), "detail": "low"},
                }
                changes = [event.text async for event in session.run_turn("Sure?") if isinstance(event, Warned)]
                assert len(changes) == 1
                assert "accepts only text" in changes[0]
                assert server.chats[2]["messages"][1]["content"].startswith(
                    "What is this?\n\nThere was an attachment here (image: cat.png"
                )
                await session.ask("Really?")
                assert len(server.chats) == 4
            await model.close()

    asyncio.run(scenario())


@tool
async def plot(ctx: Context, path: str) -> str:
    """Draw a plot."""
    ctx.show(image_file(path))
    return "drawn"


def test_a_tool_shows_an_image_to_a_strict_server(cat, tmp_path):
    artist = Swarm("art", [Agent("a", "Help.", tools=[plot])])
    arguments = json.dumps({"path": str(cat)})
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "plot", "arguments": arguments}}

    async def scenario():
        recorder = Recorder(open_backend("memory:"), artist)
        with model_server() as server:
            server.reply(tool_calls([call]), text("A plot."), text("Yes."))
            model = OpenAIModel("m", base_url=server.base_url)
            async with await recorder.open(model) as session:
                events = [event async for event in session.run_turn("draw")]
                finished = next(event for event in events if isinstance(event, ToolFinished))
                assert finished.result == "drawn\n[image: cat.png, 300 × 200 PNG, 180 KB]"
                await session.ask("Sure?")
            await model.close()
        first, second = (each["messages"][1:] for each in server.chats[1:])
        assert [message["role"] for message in first] == ["user", "assistant", "tool", "assistant", "user"]
        assert (first[2]["content"], first[4]["content"]) == ("drawn", [part(cat.read_bytes())])
        assert second[:5] == first
        assert len(await recorder.log()) < 6000
        info = await find_session(recorder.backend, "ann", "s")
        lines = await lines_in(recorder.backend, info)
        assert check_messages(as_messages(map(parse_record, lines))) is None
        replayed = await again(b"\n".join(lines) + b"\n", tmp_path / "s.jsonl", artist)
        # What a server attached to its answers is not repeated.
        assert {each.field for each in replayed.differences} <= {"echo"}

    asyncio.run(scenario())


def test_what_a_tool_asks_a_model_about_an_image_is_not_in_the_log(cat):
    @tool
    async def look(ctx: Context) -> str:
        """Look."""
        return await ctx.ask([{"type": "text", "text": "What?"}, image_file(cat)])

    async def scenario():
        recorder = Recorder(open_backend("memory:"), Swarm("art", [Agent("a", "Help.", tools=[look])]))
        async with await recorder.open(ScriptedModel([calls(("look", "{}")), "A cat.", "Fine."])) as session:
            await session.ask("look")
            asked = session.model.requests[1].decoded_messages()[0]["content"]
            assert asked[1] == part(cat.read_bytes())
        assert len(await recorder.log()) < 6000
        assert len(await Blobs(recorder.backend, "ann", "s").digests()) == 1

    asyncio.run(scenario())


def test_redaction_leaves_images_whole_and_hides_their_names(cat):
    async def scenario():
        recorder = await two_turns("memory:", cat)
        info = await find_session(recorder.backend, "ann", "s")
        redaction = Redaction(["[0-9a-f]{4}", "cat"])
        records = [redaction.record(record) async for record in read_records(recorder.backend, info)]
        (question,) = [record for record in records if record.type == "user" and record.turn == 1]
        assert question.message["content"][1]["image"]["name"] == "[redacted].png"
        assert question.message["content"][1]["image_url"]["url"].startswith("blob:image/png;sha256,")
        assert as_messages(records)[0]["content"][1]["type"] == "text"

    asyncio.run(scenario())


def test_a_hook_that_changes_the_text_keeps_the_image(cat):
    class Upper(Hooks):
        async def before_turn(self, ctx: Context, text: str) -> str:
            return text.upper()

    async def scenario():
        model = ScriptedModel(["Fine."])
        async with Session.open("memory:", model, AGENT, name="s", hooks=[Upper()]) as session:
            await session.ask([{"type": "text", "text": "look"}, image_file(cat)])
            content = model.requests[0].decoded_messages()[1]["content"]
            assert content == [{"type": "text", "text": "LOOK"}, part(cat.read_bytes())]

    asyncio.run(scenario())


def test_a_summary_names_the_images_and_a_repair_keeps_them(cat):
    async def scenario():
        recorder = await two_turns("memory:", cat)
        async with await recorder.open(ScriptedModel(["A cat was shown."])) as session:
            await compact(session.conversation, "")
            assert "(image: cat.png" in json.dumps(session.model.requests[-1].decoded_messages(), ensure_ascii=False)
            info = session.info
        damaged = (await recorder.log()).splitlines()
        await recorder.backend.commit(Append(keys.session_log("ann", "s"), (b"{oops",)))
        repaired = await repair_session(recorder.backend, info)
        assert repaired.kept_as == "s-before-repair"
        assert (await recorder.log()).splitlines() == damaged
        assert await Blobs(recorder.backend, "ann", "s-before-repair").digests()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (picture()[:-20], "damaged"),
        (picture("JPEG")[:-300], "damaged"),
        (picture("GIF", frames=3), "animated"),
        (picture("WEBP", frames=3), "animated"),
        (picture("BMP"), "BMP image, expected PNG"),
        (picture("GIF")[:6] + b"\xff" * 4 + picture("GIF")[10:], "65,535 pixels, more than the 25,000,000 of a gif"),
        (b"%PDF-1.7 ", "PDF document, expected PNG"),
        (b"hello", "no image, expected PNG"),
        (b"", "no image, expected PNG"),
    ],
)
def test_what_is_no_image_is_an_error(data, said, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=rf"x\.png cannot be sent: .*{said}"):
        image_file(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_an_image_is_told_apart_by_its_content(kind, tmp_path):
    path = tmp_path / "x.dat"
    path.write_bytes(picture(kind))
    facts = image_file(path)["image"]
    assert facts["type"] == f"image/{kind.lower()}"
    assert (facts["width"], facts["height"], facts["bytes"]) == (40, 30, path.stat().st_size)


def test_a_large_image_is_scaled(tmp_path):
    path = tmp_path / "wide.png"
    path.write_bytes(picture(width=3000, height=20))
    assert image_file(path)["image"]["width"] == 2048
    # A photo of a camera that was held upright, which is decoded at a smaller scale.
    turned, output = Image.Exif(), BytesIO()
    turned[0x0112] = 6
    Image.new("RGB", (6200, 310)).save(output, "JPEG", exif=turned)
    path.write_bytes(output.getvalue())
    assert (image_file(path)["image"]["width"], image_file(path)["image"]["height"]) == (102, 2048)
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        image_file(tmp_path / "none.png")


def test_without_pillow_only_what_must_be_scaled_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("swarmchat.swarm.images.scaling.is_available", lambda: False)
    path = tmp_path / "x.png"
    for kind in ("PNG", "JPEG", "GIF", "WEBP"):
        path.write_bytes(picture(kind))
        assert image_file(path)["image"]["width"] == 40
    path.write_bytes(picture(width=3000, height=20))
    with pytest.raises(ImageError, match=r"pip install 'swarmchat\[images\]'"):
        image_file(path)


def test_a_data_url_is_checked_as_a_file_is():
    async def scenario():
        async with Session.open("memory:", ScriptedModel(["Fine."]), AGENT, name="s") as session:
            wide = picture_url(picture("JPEG", width=3000, height=20), "png")
            await session.ask([{"type": "image_url", "image_url": {"url": wide, "detail": "low"}}])
            (sent,) = session.model.requests[0].decoded_messages()[1]["content"]
            assert sent["image_url"]["url"].startswith("data:image/jpeg;base64,")
            assert sent["image_url"]["detail"] == "low"
            for url in ("data:image/png;base64,@", picture_url(picture("GIF", frames=2), "gif"), picture_url(b"text")):
                with pytest.raises(ImageError, match="an image cannot be sent: "):
                    await session.ask([{"type": "image_url", "image_url": {"url": url}}])
            assert session.turns == 1

    asyncio.run(scenario())
