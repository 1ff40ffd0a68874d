"""`swarmchat run --schema FILE`: answers as JSON of a given form, and nothing else."""

import json

import pytest
from model_server import failure, text

SCHEMA = {
    "title": "Order",
    "type": "object",
    "properties": {"item": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
    "required": ["item", "count"],
}
ORDER = {"item": "té", "count": 2}


@pytest.fixture
def asked(program, server):
    """The program with a model server, and a schema in ``order.json``."""
    (program.folder / "order.json").write_text(json.dumps(SCHEMA))
    program.connect(server)
    return program


def test_the_answer_is_one_line_of_json(asked, server):
    server.reply(text(f"Sure:\n```json\n{json.dumps(ORDER)}\n```"))
    done = asked.invoke("run", "--schema", "order.json", "two teas")
    assert (done.code, done.out) == (0, '{"item": "té", "count": 2}\n')
    assert "took the JSON out of the answer" in done.err
    assert server.chats[0]["response_format"]["json_schema"]["name"] == "Order"


def test_a_script_gives_a_line_for_each_message(asked, server):
    (asked.folder / "script").write_text("one\ntwo\n")
    server.reply(text(json.dumps(ORDER)), text('{"item": "tea", "count": 1}'))
    done = asked.invoke("run", "--schema", "order.json", "--script", "script")
    assert [json.loads(line)["count"] for line in done.out.splitlines()] == [2, 1]


def test_no_answer_of_the_form_prints_nothing_and_exits_with_4(asked, server):
    server.reply(*[text('{"item": "tea", "count": 0}')] * 3)
    done = asked.invoke("run", "--schema", "order.json", "no teas")
    assert (done.code, done.out) == (4, "")
    assert "count: is 0, expected at least 1" in done.err
    assert "asked again" in done.err


def test_a_server_without_formats(asked, server):
    server.reply(failure(400, "This response_format type is unavailable now"), text(json.dumps(ORDER)))
    done = asked.invoke("run", "--schema", "order.json", "two teas")
    assert json.loads(done.out) == ORDER
    assert server.chats[1]["tool_choice"] == "required"


def test_a_whole_document(asked, server):
    server.reply(text(json.dumps(ORDER)))
    done = asked.invoke("run", "--schema", "order.json", "--output", "json", "two teas")
    assert json.loads(done.out)["turns"][0]["output"] == ORDER


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "holds []: expected a JSON schema"),
        ('{"type": "text"}', "has the type 'text' at #: expected one of object"),
        ('{"not": {}}', "has the keyword 'not' at #, which is not checked"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_no_schema(asked, server, content, words):
    (asked.folder / "order.json").unlink()
    if content is not None:
        (asked.folder / "order.json").write_text(content)
    done = asked.invoke("run", "--schema", "order.json", "two teas")
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert not server.chats
