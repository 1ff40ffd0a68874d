"""A chat with a swarm as its user sees it, on a real terminal, with the demo model."""

import os
import signal

import pytest
from terminal import CTRL_C, CTRL_D, ENTER, Terminal, at_prompt, say

QUESTION = "allow? y/n/a/e/? then Enter"

OFFICE = '''\
from dataclasses import dataclass
from pathlib import Path

from swarmchat.swarm import Agent, Context, DemoRule, Swarm, tool


@dataclass
class Address:
    street: str
    number: int
    country: str = "FR"
    insured: bool = False


@tool(timeout=0.1)
async def paint(ctx: Context) -> str:
    """Paint the door."""
    return await ctx.ask_user("Which colour?", choices=["red", "light blue"])


@tool
async def deliver(ctx: Context) -> str:
    """Deliver a letter."""
    address = await ctx.ask_user("Where to?", output=Address)
    fast = await ctx.ask_user("Express?", output=bool)
    return f"{address} {fast} {await ctx.ask_user('A note?')}"


@tool(approve="ask")
def send_mail(to: str) -> str:
    """Send a mail."""
    with open("sent", "a") as sent:
        sent.write(to + " ")
    return f"sent to {to}"


@tool
def dig(ctx: Context) -> str:
    """Take as long as it is let."""
    ctx.cancelled.wait()
    Path("stopped").touch()
    return "never"


swarm = Swarm(
    "office",
    [Agent("clerk", "You are a clerk.", tools=[send_mail, dig, paint, deliver])],
    demo=[
        DemoRule(r"^mail (?P<to>.+)", "send_mail", {"to": "{to}"}, reply="Done: {result}"),
        DemoRule(r"^dig", "dig"),
        DemoRule(r"^paint", "paint", reply="Painted: {result}"),
        DemoRule(r"^deliver", "deliver", reply="Delivered: {result}"),
    ],
)
'''


@pytest.fixture
def office(program):
    """The program in a folder with a swarm whose mails need approval."""
    (program.folder / "office.py").write_text(OFFICE)
    return program


def sent(program) -> list[str]:
    """Return to whom mails were really sent."""
    path = program.folder / "sent"
    return path.read_text().split() if path.exists() else []


def ask(screen: Terminal, message: str) -> None:
    """Send ``message`` and wait for the newest question about it."""
    screen.wait_for(at_prompt)
    before = screen.words.count(QUESTION)
    screen.send(message + ENTER)
    screen.wait_for(lambda screen: screen.words.count(QUESTION) > before and not at_prompt(screen))


def enter(screen: Terminal, message: str, question: str) -> None:
    """Send ``message`` and wait until a tool asks the ``question``."""
    screen.wait_for(at_prompt)
    screen.send(message + ENTER)
    screen.wait_for(lambda screen: screen.words.endswith(question) and not at_prompt(screen))


def test_a_tool_that_needs_approval(office):
    with office.chat("chat", "-S", "office.py", "-s", "s") as screen:
        ask(screen, "mail bob")
        assert 'clerk wants to call send_mail({"to": "bob"})' in screen.words
        assert sent(office) == []
        # What is no answer is asked again.
        screen.send("what?" + ENTER)
        screen.wait_for(f"{QUESTION} what? {QUESTION}")
        screen.send("y" + ENTER)
        screen.wait_for("clerk ❯ Done: sent to bob")
        assert sent(office) == ["bob"]

        for number, answer in enumerate(("n" + ENTER, CTRL_C, CTRL_D), 1):
            ask(screen, f"mail nobody{number}")
            screen.send(answer)
            screen.wait_for(f'send_mail({{"to": "nobody{number}"}}) denied clerk ❯ That did not work')
        assert sent(office) == ["bob"]

        ask(screen, "mail carl")
        screen.send("a" + ENTER)
        screen.wait_for("clerk ❯ Done: sent to carl")
        say(screen, "mail dora", "clerk ❯ Done: sent to dora")
        assert sent(office) == ["bob", "carl", "dora"]


def test_ctrl_c_stops_a_tool_also_after_a_question(office):
    with office.chat("chat", "-S", "office.py", "-s", "s") as screen:
        ask(screen, "mail bob")
        os.kill(screen.process.pid, signal.SIGINT)
        screen.wait_for("denied clerk ❯ That did not work: the user did not allow")
        screen.wait_for(at_prompt)
        screen.send("dig" + ENTER)
        screen.wait_for("clerk · running dig · ")
        screen.send(CTRL_C)
        screen.wait_for("you ❯ dig stopped; interrupted, may have taken effect: dig you ❯")
        assert "running" not in screen.words
        screen.wait_for(lambda screen: (office.folder / "stopped").exists())
        say(screen, "hello", "clerk ❯ Hello")


def test_a_denial_tells_the_model_why(office):
    with office.chat("chat", "-S", "office.py") as screen:
        ask(screen, "mail bob")
        screen.send("n write to carl instead" + ENTER)
        screen.wait_for("this call was not allowed: write to carl instead")
        assert sent(office) == []


def test_a_tool_asks_for_a_choice(office):
    with office.chat("chat", "-S", "office.py") as screen:
        enter(screen, "paint", "paint asks: Which colour? 1 red 2 light blue 1-2:")
        screen.send("green" + ENTER)
        screen.wait_for(
            "error: 'green' is not one of the choices: enter a number from 1 to 2, or how one begins; "
            "Ctrl-C chooses none 1-2:"
        )
        screen.send("2" + ENTER)
        screen.wait_for("clerk ❯ Painted: light blue")
        enter(screen, "paint", "1-2:")
        screen.send("light" + ENTER)
        screen.wait_for(lambda screen: screen.words.count("clerk ❯ Painted: light blue") == 2)
        enter(screen, "paint", "1-2:")
        screen.send(CTRL_C)
        screen.wait_for("error: the user did not answer: Which colour?")


def test_a_tool_asks_for_a_form_yes_or_no_and_a_text(office):
    with office.chat("chat", "-S", "office.py") as screen:
        enter(screen, "deliver", "deliver asks: Where to? street:")
        screen.send("Rue X" + ENTER)
        screen.wait_for("number (integer):")
        screen.send("two" + ENTER)
        screen.wait_for("country (default FR):")
        screen.send(ENTER)
        screen.wait_for("insured (y/n, default n):")
        screen.send(ENTER)
        # What was entered is there again.
        screen.wait_for("error: number: Input should be a valid integer, unable to parse string as an integer")
        screen.wait_for(lambda screen: screen.words.count("street: Rue X") == 2)
        screen.send(ENTER)
        screen.wait_for(lambda screen: screen.words.count("number (integer): two") == 2)
        screen.send("\x15" + "2" + ENTER)
        screen.wait_for(lambda screen: screen.words.count("country (default FR):") == 2)
        screen.send(ENTER)
        screen.wait_for(lambda screen: screen.words.count("insured (y/n, default n):") == 2)
        screen.send("y" + ENTER)
        screen.wait_for("deliver asks: Express? y/n then Enter:")
        screen.send("perhaps" + ENTER + "yes" + ENTER)
        screen.wait_for("deliver asks: A note? answer:")
        screen.send("thanks" + ENTER)
        screen.wait_for("Delivered: Address(street='Rue X', number=2, country='FR', insured=True) True thanks")


def test_in_a_pipe_nobody_is_asked(office):
    done = office.invoke("run", "-S", "office.py", "paint")
    assert "nobody can be asked here (Which colour?): this needs a person at a terminal" in done.out


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])
def test_slash_commands(columns, rows, program):
    with program.chat("chat", "-S", "helpdesk", "-s", "s", columns=columns, rows=rows) as screen:
        say(screen, "/agents", "* triage Answers questions and plays. sales Takes orders. refunds Gives money back.")
        say(screen, "/back", "error: no previous agent")
        say(screen, "/agent sale", "error: swarm 'helpdesk' has no agent 'sale'; did you mean 'sales'?")
        say(screen, "/agent", "active agent: triage")
        say(screen, "/agent sales", "you ❯ /agent sales sales ‹ triage")
        screen.wait_for(lambda screen: screen.lines[-1].startswith(" sales ‹ triage   "))
        say(screen, "/tools", "place_order() Place the order, once nothing is missing and the client wants it.")
        assert "transfer_to_triage transfer_to_refunds transfer_back" in screen.words
        say(screen, "a red phone", "Still missing: quantity, name.")
        say(screen, "/stack", "you ❯ /stack sales ‹ triage")
        say(
            screen,
            "/state order",
            'order: {"item": "phone", "colour": "red", "quantity": 0, "name": "", "status": "open"}',
        )
        say(screen, "/state ordr", "error: swarm 'helpdesk' has no state 'ordr'; did you mean 'order'?")
        say(screen, "/memory", "memory is empty")
        say(screen, "/memory name Ann", 'name: "Ann"')
        say(screen, "/back", "you ❯ /back triage you")
        screen.wait_for(lambda screen: screen.lines[-1].startswith(" triage   "))
        say(screen, "/reset", "earlier messages are no longer sent")
        say(screen, "/context", "tokens message")
        assert "a red phone" not in screen.words.rsplit("/context", 1)[1]
        assert all(len(line) <= columns for line in screen.lines)


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_a_killed_walk_continues_where_it_was(kind, program, request):
    place = ["-b", "redis", "--redis-url", request.getfixturevalue("redis_url")] if kind == "redis" else []
    where = ["chat", "-S", "helpdesk", "-s", "s", *place]
    with program.chat(*where) as screen:
        say(screen, "play 5", "O 2 3")
        say(screen, "I want to buy a phone", "triage → sales")
        say(screen, "a red one", "Still missing: quantity, name.")
        say(screen, "I want my money back", "sales → refunds")
        screen.process.kill(signal.SIGKILL)
        assert screen.wait_for_end() == 137
    with program.chat(*where) as screen:
        screen.wait_for("resumed after 4 turns")
        screen.wait_for(at_prompt)
        assert screen.lines[-1].startswith(" refunds ‹ sales ‹ triage   ")
        say(screen, "show my order", "item: phone, colour: red, status: open")
        say(screen, "/state game", 'game: {"board": "O234X6789", "winner": ""}')
        say(screen, "back", "refunds → sales")
        say(screen, "two", "quantity: 2")


def test_a_ban_holds_in_two_programs(program):
    where = ["chat", "-S", "helpdesk"]
    with program.chat(*where, "-s", "one") as one, program.chat(*where, "-s", "two") as two:
        two.wait_for(at_prompt)
        say(one, "who will win the election?", "no-politics ❯ I do not talk about politics.")
        assert "you are banned until " in one.words
        say(two, "are bananas berries?", "no-politics ❯ I do not talk about politics.")
        assert "you are banned until " in two.words
        assert program.invoke("bans", "lift", "ann", "-S", "helpdesk").code == 0
        say(two, "are bananas berries?", "a strawberry is not")
        say(one, "are bananas berries?", "a strawberry is not")
