"""The facts of the help desk, and the rules that the demo model follows there."""

import re
from dataclasses import dataclass
from typing import Any

from swarmchat.swarm import DemoRule


@dataclass
class Fact:
    """A fact; ``about`` holds more words to find it by."""

    about: str
    text: str


FACTS = [
    Fact("food fruit bananas berries strawberries", "Botanically a banana is a berry, and a strawberry is not."),
    Fact("food honey keep", "Honey that is kept sealed hardly ever spoils."),
    Fact("food vegetable colour carrot", "Carrots were mostly purple or yellow before the orange ones spread."),
    Fact("food nuts legumes peanut", "Peanuts ripen under the ground: they are legumes, as beans are."),
    Fact("food cocoa drinks", "Chocolate was a drink long before anybody made bars of it."),
    Fact("food nuts fruit cashews", "A cashew nut grows outside of its fruit, below the cashew apple."),
    Fact("animals sea octopuses squid hearts", "An octopus has three hearts, and its blood is blue."),
    Fact("animals birds hummingbird", "Hummingbirds can fly backwards."),
    Fact("animals cats like sweets", "Cats cannot taste what is sweet."),
    Fact("animals giraffes necks", "A giraffe has seven bones in its neck, as many as a person has."),
    Fact("animals insects bees dancing flowers", "Honey bees dance to tell one another where flowers are."),
    Fact("animals birds penguin cold ice", "Emperor penguins keep warm in a huddle, and take turns at its edge."),
    Fact("animals sea otter sleeping", "Sea otters sometimes hold paws while they sleep."),
    Fact("animals elephant clever", "Elephants can recognise themselves in a mirror."),
    Fact("plants grass growing fast", "Some bamboo grows by almost a metre a day."),
    Fact("space planets days years", "A day on Venus is longer than a year there."),
    Fact("space moons distance", "The Moon moves away from the Earth by some four centimetres a year."),
    Fact("space planets storms red spot", "The Great Red Spot of Jupiter is a storm that is wider than the Earth."),
    Fact("space planets light float", "Saturn is less dense than water."),
    Fact("space sunlight speed", "Light takes some eight minutes from the Sun to the Earth."),
    Fact("space planets mountains", "The highest volcano of Mars is more than twice as high as Mount Everest."),
    Fact("weather thunderstorms heat", "Lightning is hotter than the surface of the Sun."),
    Fact("languages words letters", "The word alphabet comes from alpha and beta, the first letters of the Greek one."),
    Fact("languages words machines robots", "The word robot comes from a Czech play of 1920."),
    Fact("languages whistling islands", "On the island of La Gomera people whistle a language across the valleys."),
    Fact("languages words chess games", "The word checkmate comes from Persian."),
    Fact("languages sentences letters", "A pangram is a sentence that has all letters of the alphabet."),
    Fact("music instruments keys pianos", "A piano has 88 keys."),
]

HELP = """\
Try one of these, in your own words:

- a fact: "are bananas berries?", "tell me about space"
- several facts, for which the front desk gives a task to another agent: "research planets"
- a slow answer, which arrives while you continue: "are red phones in stock?"
- a game: "let us play tic-tac-toe", then "5", "I take 3" … You can win.
- an order, over several turns: "I want to buy a phone", "a red one", "two", "my name is Ann", "place the order"
- a refund of it: "I want my money back", then why
- a person: "I want to talk to a person"; `swarmchat operator -S helpdesk` in another terminal is the person's side
- "back" takes you back to the previous agent
- politics: "who will win the election?" That gets you banned, for a minute.

I am a scripted demo, not an AI; ask me how to connect a real model."""

_ITEMS = r"(phone|tablet|laptop)s?"
_ORDER = {
    "item": _ITEMS,
    "colour": r"(red|blue|green|black|white)",
    "quantity": r"(\d+|two|three|four|five)",
    "name": r"(?:my name is|my name's|call me) (\w[\w-]*)",
}
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}


def _order(text: str) -> dict[str, Any]:
    """Return the fields of an order that a sentence mentions, in any order."""
    matches = {field: re.search(rf"\b{pattern}\b", text, re.IGNORECASE) for field, pattern in _ORDER.items()}
    fields = {field: match[1].lower() if field != "name" else match[1] for field, match in matches.items() if match}
    return {field: _NUMBERS.get(value, value) for field, value in fields.items()}


_PERSON = r"\b(?:human|operator|real person|(?:talk|speak) (?:to|with) (?:a person|somebody|someone|support))\b"
_BACK = r"^\W*(?:please |go |let us |let's |take me )*back\b"
_GAME = r"\b(?:tic.?tac.?toe|game|play|board)\b"
_SQUARE = r"\b(?:play|take|square|on|put)\b\D*(?P<square>\d+)"
_BOARD = "{result[status]}\n\n```text\n{result[board]}\n```"
_REASON = r"\b(?:broken?|doesn't|does not|don't|do not|too \w+|changed my mind|wrong|late|because|scratched)\b"
_REFUND = r"\b(?:money back|refund|(?:give|send|bring) (?:it|them|the \w+) back|return (?:it|them|the|my))\b"
_TOPIC = r"\b(?:tell|know|facts?)\b.*?\babout (?!me\b|my\b)(?P<topic>.+)"
_FACT = (
    rf"^(?!.*\b(?:you|i|me|my|we|connect|did|order|price|buy|{_ITEMS})\b)"
    r"(?:.*\?\W*$|(?:is|are|do|does|can|what|which|who|how|why|when|where)\b)"
)

_STOCK = (
    r"\b(?:is|are|check|have)(?: the stock of| the| any| an| a)* (?P<item>\w+(?: \w+){0,3}?)(?: is| are)? in stock\b"
)
_NEWS = r"^A message has arrived from outside[^\n]*It says:\s+\w+:[^\n]*\n(?P<said>[\s\S]*?)\s+This is the end of"

# The first match wins. A rule whose tool the active agent does not have is skipped.
DEMO = [
    # What a task in the background has found out. First, so that nothing in it is taken for a wish of the client.
    DemoRule(_NEWS, reply="Here is the answer that we have been waiting for: {said}"),
    DemoRule(r"^\W*help\b|\bwhat can (?:i|you) do\b", reply=HELP),
    DemoRule(r"^\W*(?:thanks|thank you)\b", reply="You are welcome."),
    # A slow tool, which goes on in the background.
    DemoRule(_STOCK, "check_stock", {"item": "{item}"}, "I am asking the warehouse. Meanwhile, what else can I do?"),
    # Faults of models, to see them rescued.
    DemoRule(r"^\W*leak\b\W*(?P<topic>.*)", "find_fact", {"about": "{topic}"}, leak=True),
    DemoRule(r"^\W*(?:say nothing|be silent)\b", reply=""),
    DemoRule(r"^Your last answer was empty", reply="I was silent, and the program asked me again."),
    DemoRule(_BACK, "transfer_back"),
    DemoRule(_BACK, reply="Here I am again. What can I do for you?"),
    # A person, and the way back from one.
    DemoRule(_PERSON, "transfer_to_support", {"reason": "The client wants to talk to a person: {text}"}),
    DemoRule(_PERSON, "transfer_to_triage"),
    DemoRule(
        r"(?s)^The user was to talk to a person.*but: (?P<why>[^\n]+?)\. Tell",
        reply="I am sorry: {why}. How can I help?",
    ),
    DemoRule(r"(?s)^\w.*has handed this conversation back to you", reply="I am back. What else can I do for you?"),
    # The game.
    DemoRule(r"\b(?:show|see)\b.*\bboard\b|^\W*(?:the )?board\b", "show_board", reply=_BOARD),
    DemoRule(_SQUARE, "play", {"square": "{square}"}, _BOARD),
    DemoRule(r"^\D{0,9}(?P<square>\d+)\W*$", "play", {"square": "{square}"}, _BOARD),
    DemoRule(_GAME, "start_game", reply=_BOARD),
    DemoRule(_GAME, "transfer_to_triage"),
    # A refund.
    DemoRule(_REASON, "request_refund", {"reason": "{text}"}),
    DemoRule(_REFUND, "transfer_to_refunds"),
    DemoRule(_REFUND, reply="I am sorry to hear that. What is wrong with it?"),
    # Several facts: first what the front desk does, then what the agent does that it gives the task to.
    DemoRule(r"\bresearch (?:facts )?(?:about |on )?(?P<topic>.+)", "researcher", {"task": "Collect: {topic}"}),
    DemoRule(r"^Collect: (?P<topic>.+)", "find_fact", {"about": "{topic}", "limit": "3"}),
    # Facts.
    DemoRule(_TOPIC, "find_fact", {"about": "{topic}"}),
    DemoRule(_FACT, "find_fact", {"about": "{text}"}),
    DemoRule(f"{_TOPIC}|{_FACT}", "transfer_to_triage"),
    # The order.
    DemoRule(r"\b(?:place|send|confirm|finish)\b.*\border\b|^\W*(?:order it|that is all|that's all)\b", "place_order"),
    DemoRule(r"\b(?:show|see|what|my)\b.*\border\b", "show_order"),
    DemoRule(rf"\b(?:{'|'.join(_ORDER.values())})\b", "fill_order", _order, "Noted. {result}"),
    DemoRule(rf"\b(?:buy|purchase|order|shop|price|{_ITEMS})\b", "transfer_to_sales"),
    DemoRule(
        r"\b(?:buy|purchase|shop|price)\b", reply="With pleasure. A phone, a tablet or a laptop? And in which colour?"
    ),
    # The client's memory.
    DemoRule(r"\bmy name(?: is|'s) (?P<name>\w[\w-]*)", "remember_client", {"name": "{name}"}),
    DemoRule(r"\bmy (?:locale|language) is (?P<locale>\w[\w-]*)", "remember_client", {"locale": "{locale}"}),
    DemoRule(r"\bwho am i\b|\bknow about me\b|\bwhat(?: is|'s) my\b", "remember_client"),
]
