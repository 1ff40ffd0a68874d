"""``swarmchat replay --record``, and sessions and files of other programs as tests."""

import json
from pathlib import Path

import pytest
from model_server import failure, text, tool_calls
from pictures import picture
from swarmchat.examples import helpdesk
from swarmchat.swarm import ScriptedModel, Session, image_file, load_swarm
from swarmchat.swarm.testing import call

DIFFERENT, USAGE = 3, 2

WRITTEN = """\
# A test that I wrote.
swarm: helpdesk
conversations:
  - name: phones
    steps:
      - user: I want to buy a phone   # the first question
        expect:
          agent: sales
          tools: [{fill_order: {item: phone}}]
      # Now the details.
      - user: |
          red, 2
          please
      - assistant: an old answer
        # This stays.
      - expect: {contains: name, states: {order: {quantity: 2}}}
  - steps:
      - user: who will win the election?
        expect: {refused: true}
"""


@pytest.fixture
def written(program) -> Path:
    path = program.folder / "phones.yaml"
    path.write_text(
        WRITTEN.replace("  - {name: politics, steps: [{user", "  - steps:\n      - {user").replace("}}]}", "}}")
    )
    return path


def test_record_writes_answers_and_results_between_the_lines_of_the_author(program, written):
    before = written.read_text().splitlines()
    assert program.invoke("replay", "phones.yaml").code == DIFFERENT
    done = program.invoke("replay", "--record", "phones.yaml", "-m", "demo")
    assert (done.err, done.code) == ("", 0)
    assert "phones.yaml: recorded 3 turns" in done.out
    recorded = written.read_text()
    lines = recorded.splitlines()
    assert [line for line in before if line not in lines] == [
        "        expect:",
        "      - assistant: an old answer",
        "        # This stays.",
    ]
    assert "      - expect:\n          agent: sales" in recorded
    assert "# This stays.\n" in recorded
    # Offline, nothing differs, and a second recording changes nothing.
    assert program.invoke("replay", "phones.yaml").code == 0
    assert program.invoke("replay", "phones.yaml", "--mode", "tools").code == 0
    assert program.invoke("replay", "--record", "phones.yaml", "-m", "demo").code == 0
    assert written.read_text() == recorded


def test_one_conversation_is_recorded_and_what_came_before_a_failure_stays(program, server):
    path = program.folder / "t.yaml"
    steps = "    steps:\n      - user: hi\n"
    path.write_text("conversations:\n" + "".join(f"  - name: {name}\n{steps}" for name in "abc"))
    server.reply(text("only b"))
    done = program.invoke("replay", "--record", "t.yaml::b")
    assert (done.err, done.code, path.read_text().count("assistant: only b")) == ("", 0, 1)
    server.reply(text("now a"), failure(401))
    done = program.invoke("replay", "--record", "t.yaml")
    assert (done.code, "t.yaml: recorded 1 turn\n" in done.out) == (77, True)
    assert [path.read_text().count(each) for each in ("now a", "only b", "assistant")] == [1, 1, 2]


def test_record_writes_jsonl_too(program):
    path = program.folder / "a.jsonl"
    lines = [
        {"type": "session", "swarm": "helpdesk"},
        {"type": "user", "text": "play 5"},
        {"type": "assistant", "text": "old"},
        {"type": "expect", "tools": ["play"]},
        {"type": "user", "text": "hi"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert program.invoke("replay", "--record", "a.jsonl", "-m", "demo").code == 0
    kinds = [json.loads(line)["type"] for line in path.read_text().splitlines()]
    assert kinds == ["session", "user", "assistant", "tool", "assistant", "expect", "user", "assistant"]
    assert program.invoke("replay", "a.jsonl").code == 0


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("steps:\n  - user: hi\nparameters: [{a: 1}, {a: 2}]", ["-k", "a=1 or 1"], "1 of the 2 rows of its parameters"),
        ("steps: [{user: hi}]", [], "a step shares its line with others"),
        ("steps:\n  - user: hi\nparameters: [{a: 1}, {a: 1}]", [], "another row of its parameters is the same"),
        ("steps:\n  - user: hi", ["--update"], "leave out --mode, --update"),
        ("steps:\n  - user: hi", ["-m", "other"], "--record keeps the answers of one model"),
    ],
)
def test_what_cannot_be_recorded_stays_as_it_is(text, options, message, program):
    path = program.folder / "t.yaml"
    path.write_text(text)
    done = program.invoke("replay", "--record", "t.yaml", "-m", "demo", *options)
    assert message in done.err
    assert done.code in (USAGE, 65)
    assert path.read_text() == text


PRICES = """\
# One conversation for each row.
parameters:
  - {item: tea, euros: "4"}
  - {item: rum, euros: "9"}
steps:
  - user: how much is ${item}?
  # Still here.
  - expect: {tools: [{price: {item: "${item}"}}], contains: "${euros}"}
  - user: bye
"""
SHOP = """\
from swarmchat.swarm import Agent, Swarm, tool

@tool
def price(item: str) -> str:
    return f"{4 if item == 'tea' else 9} ${{x}}"

swarm = Swarm("shop", [Agent("clerk", "You sell tea.", tools=[price])])
"""


@pytest.mark.parametrize("name", ["t.yaml", "t.jsonl"])
def test_each_row_of_parameters_has_a_recording_which_can_be_updated(name, program, server):
    path = program.folder / name
    path.write_text(PRICES)
    if name == "t.jsonl":
        steps = [
            {"type": "session", "parameters": [{"item": "tea", "euros": "4"}, {"item": "rum", "euros": "9"}]},
            {"type": "user", "text": "how much is ${item}?"},
            {"type": "expect", "tools": [{"price": {"item": "${item}"}}], "contains": "${euros}"},
            {"type": "user", "text": "bye"},
        ]
        path.write_text("\n".join(map(json.dumps, steps)))
    before = path.read_text()
    (program.folder / "shop.py").write_text(SHOP)
    for item, euros in (("tea", 4), ("rum", 9)):
        call = {"index": 0, "id": item, "function": {"name": "price", "arguments": json.dumps({"item": item})}}
        server.reply(tool_calls([call]), text(f"{euros} euros, not ${{y}}"), text("Goodbye."))
    command = ("replay", name, "-S", "shop.py")
    done = program.invoke(*command, "--record")
    assert (done.err, done.code, f"{name}: recorded 4 turns" in done.out) == ("", 0, True)
    recorded = path.read_text()
    # What is the same in all rows is written once.
    assert (recorded.count("Goodbye."), recorded.count("not $${y}"), recorded.count("when")) == (1, 2, 6)
    assert set(before.splitlines()) <= set(recorded.splitlines())
    assert program.invoke(*command, "--mode", "tools").code == 0

    (program.folder / "shop.py").write_text(SHOP.replace("else 9}", "else 10}"))
    done = program.invoke(*command, "--mode", "tools", "--update", "--yes")
    assert (done.code, path.read_text()) == (0, recorded.replace("9 $${x}", "10 $${x}"))


def test_a_verdict_is_recorded_and_counts_offline(program, server):
    path = program.folder / "t.yaml"
    path.write_text("steps:\n  - user: hi\n  - expect: {judge: it greets}\n")
    verdict = json.dumps({"reason": "it does not greet", "passed": False})
    server.reply(text("tea?"), text(verdict))
    done = program.invoke("replay", "--record", "t.yaml")
    assert done.code == DIFFERENT
    words = ': expected an answer that meets "it greets", but the judge says: it does not greet'
    assert words in done.out
    offline = program.invoke("replay", "t.yaml")
    assert words in offline.out
    # It is about this answer only.
    path.write_text(path.read_text().replace("tea?", "hello"))
    done = program.invoke("replay", "t.yaml")
    assert (done.err, done.code) == ("  1 requirement was not judged: --record asks a model\n", 0)


@pytest.mark.parametrize("name", ["tea.yaml", "tea.jsonl"])
def test_a_session_becomes_a_test(name, program):
    asked = ["play 5", "I want to buy a phone", "red, 2 please", "I am Ann", "the election?"]
    (program.folder / "script").write_text("\n".join(asked))
    options = ("-S", "helpdesk", "-m", "demo", "-b", "disk", "-s", "tea")
    program.invoke("run", "--script", "script", *options)
    done = program.invoke("sessions", "export", "tea", "-b", "disk", "--as-test", "--redact", "Ann", "-o", name)
    assert (done.err, done.code) == ("", 0)
    text = (program.folder / name).read_text()
    assert "Ann" not in text
    assert program.invoke("replay", name).code == 0
    assert program.invoke("replay", name, "--mode", "tools").code == 0
    changed = (Path(helpdesk.__file__)).read_text("utf-8").replace("fill_order", "fill_form")
    (program.folder / "other.py").write_text(changed)
    assert program.invoke("replay", name, "-S", "other.py").code == DIFFERENT


def test_a_conversation_of_another_program_becomes_a_test(program):
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": '{"about": "tea"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "tea?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": '{"kinds": 2}'},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "thanks"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "bye"},
    ]
    over_lines = json.dumps({"messages": messages}).replace('"Two."', '\n"Two."')
    (program.folder / "chat.json").write_text(over_lines)
    assert program.invoke("replay", "chat.json").code == 0
    assert program.invoke("sessions", "import", "chat.json", "-b", "disk", "--as", "tea").code == 0
    done = program.invoke("sessions", "export", "tea", "-b", "disk", "--as-test", "-o", "t.yaml")
    assert (done.code, "3" in done.err) == (0, True), done.err
    done = program.invoke("replay", "t.yaml")
    assert (done.err, done.code) == ("", 0)
    # Nobody answered the last question.
    written = (program.folder / "t.yaml").read_text()
    assert ("kinds: 2" in written, "bye" in written) == (True, False)


def test_rules_on_the_command_line(program):
    path = program.folder / "t.yaml"
    path.write_text("steps:\n  - user: hi\n  - assistant: on 2026-01-05\n  - expect: {equals: on 2026-11-28}\n")
    assert program.invoke("replay", "t.yaml").code == DIFFERENT
    assert program.invoke("replay", "t.yaml", "--normalize", "dates", "--ignore", "request.tokens").code == 0
    done = program.invoke("replay", "t.yaml", "--normalize", "date")
    assert (done.code, "unknown rule 'date' in 'normalize'; did you mean 'dates'?" in done.err) == (USAGE, True)


TEAROOM = """\
from swarmchat.swarm import Agent, Context, McpServer, Swarm, tool

@tool
def stamp(ctx: Context) -> str:
    return f"{ctx.new_id('no-')} on {ctx.now():%Y-%m-%d}"

expert = Agent("expert", "You know tea.", description="Knows tea")
desk = Agent("desk", "You sell tea.", tools=[stamp, expert.as_tool(), "clock/*"])
swarm = Swarm("tearoom", [desk], mcp=[McpServer("clock", "no-such-program")])
"""


def test_a_session_with_images_ids_and_tasks_becomes_a_test_that_runs_its_tools(program):
    (program.folder / "room.py").write_text(TEAROOM)
    (program.folder / "cup.png").write_bytes(picture())
    swarm = load_swarm("room.py", program.folder)
    answers = [call("stamp"), "Done.", call("expert", {"task": "green"}), "It is from Japan.", "A cup."]
    model = ScriptedModel({"desk": answers, "expert": ["From Japan."]})
    with Session.open(f"disk:{program.folder / 'store'}", model, swarm, client="ann", name="tea") as session:
        cup = [{"type": "text", "text": "this?"}, image_file(program.folder / "cup.png")]
        for question in ("stamp", "green?", cup):
            session.ask_sync(question)
    store = ("-b", f"disk:{program.folder / 'store'}", "--client", "ann")
    assert program.invoke("sessions", "export", "tea", *store, "--as-test", "-o", "t.yaml").code == 0
    written = program.folder / "t.yaml"
    assert "  - user:\n      text: this?\n      images: [t-1.png]\n" in written.read_text()
    assert (program.folder / "t-1.png").read_bytes() == picture()
    # Nobody starts an MCP server for a replay: any arguments of a tool that is called fit.
    asked = "  - user: time?\n  - assistant: {calls: [{clock/hour: {city: Lima}}]}\n  - tool: 12\n"
    written.write_text(f"{written.read_text()}{asked}  - assistant: It is 12.\n  - expect: {{tools: [clock/hour]}}\n")
    done = program.invoke("replay", "t.yaml", "-S", "room.py")
    assert (done.err, done.code) == ("", 0), done.out
    done = program.invoke("replay", "t.yaml", "-S", "room.py", "--mode", "tools")
    assert (done.code, "MCP server clock is not available" in done.err) == (69, True)
    (program.folder / "room.py").write_text(TEAROOM.replace(', "clock/*"', "").partition(", mcp=")[0] + ")\n")
    whole, own = written.read_text(), written.read_text().partition("  - user: time?")[0]
    written.write_text(own)
    done = program.invoke("replay", "t.yaml", "-S", "room.py", "--mode", "tools")
    assert (done.err, done.code) == ("", 0), done.out
    written.write_text(whole.replace("t-1.png", "t-2.png"))
    done = program.invoke("replay", "t.yaml", "-S", "room.py")
    assert (done.code, "t-2.png cannot be read: No such file" in done.err) == (65, True)
