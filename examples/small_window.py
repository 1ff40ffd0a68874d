"""See how the oldest turns are dropped when the context window is full. The log keeps everything.

$ python examples/small_window.py
turn 1: 47 of 210 tokens sent
turn 2: 91 of 210 tokens sent
turn 3: 134 of 210 tokens sent
turn 4: 179 of 210 tokens sent
  6 messages left out: 198 became 66
turn 5: 93 of 210 tokens sent
turn 6: 137 of 210 tokens sent
the session has 6 turns; the last 3 questions are in memory
"""

import asyncio

from swarmchat.backends import open_backend
from swarmchat.swarm import Rotated, ScriptedModel, Session, SessionSettings, TurnEnded

QUESTION = "What is the longest river of {}, and through which countries does it run?"
ANSWER = "Through {}: the {}, and ten countries, if the sea that it ends in counts."
RIVERS = {
    "Europe": "Volga",
    "Africa": "Nile",
    "Asia": "Yangtze",
    "Peru": "Ucayali",
    "Canada": "Mackenzie",
    "Spain": "Tagus",
}


async def main() -> None:
    """Run six turns in a window that has room for four."""
    backend = open_backend("memory:")
    model = ScriptedModel([ANSWER.format(place, river) for place, river in RIVERS.items()])
    settings = SessionSettings(context_window=240, reserve=30)
    async with await Session.open(backend, model, client="ann", settings=settings) as session:
        for place in RIVERS:
            async for event in session.run_turn(QUESTION.format(place)):
                if isinstance(event, Rotated):
                    print(f"  {event.groups} messages left out: {event.tokens_before} became {event.tokens_after}")
                if isinstance(event, TurnEnded):
                    used, available = session.fill
                    print(f"turn {event.turn}: {used} of {available} tokens sent")
        questions = [record for record in session.records if record.type == "user"]
        print(f"the session has {session.turns} turns; the last {len(questions)} questions are in memory")
    await backend.close()


if __name__ == "__main__":
    asyncio.run(main())
