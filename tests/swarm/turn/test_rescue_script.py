"""The same misbehaving model under the rule of the original and under ours: how many questions are lost?"""

import asyncio
from dataclasses import replace
from pathlib import Path

from chat_rules import check_messages
from chats import open_session, say, sent, text_of
from misbehaving import SCRIPT, Misbehaving, original_check
from swarmchat.backends import open_backend
from swarmchat.examples.helpdesk import swarm as helpdesk
from swarmchat.swarm.agents.rescue_steps import PLACEHOLDER
from swarmchat.swarm.models.scripted import ScriptedModel

DOCS = Path(__file__).parents[3] / "docs" / "rescue.md"


def apologise(fault, ctx):
    # The original has no rule against a text that repeats itself.
    return fault.answer.text if fault.cause == "repetition" else PLACEHOLDER


def play(*, original):
    """Ask all questions; return for each whether it was answered, and how often the conversation was thrown away."""

    async def scenario():
        swarm, options = helpdesk, {}
        if original:
            agents = [replace(each, validate=original_check) for each in helpdesk.agents if not each.is_person]
            swarm = replace(helpdesk, agents=agents, rescue=[apologise])
            options = {"max_repeats": 99}
        model = ScriptedModel([Misbehaving()] * 200)
        answered, thrown_away = {}, 0
        async with await open_session(open_backend("memory:"), model, swarm=swarm, **options) as session:
            for question in SCRIPT:
                events = await say(session, question.text)
                text = text_of(events)
                answered[question.text] = events[-1].text != PLACEHOLDER and bool(events[-1].text.strip())
                if not original:
                    assert events[-1].text.strip()
                    assert not any(sign in text for sign in ("tool_call", "toolcall", "TOOL_", "<|", "<function"))
                flushed = [event for event in events if getattr(event, "step", "") == "flush"]
                thrown_away += len(flushed) or (original and not answered[question.text])
                if original and not answered[question.text]:
                    await session.reset()
        for request in range(len(model.requests)):
            assert check_messages(sent(model, request)) is None
        return answered, thrown_away

    return asyncio.run(scenario())


def test_how_many_questions_are_lost():
    theirs, thrown_away_there = play(original=True)
    ours, thrown_away_here = play(original=False)
    hopeless = {"silence for ever", "unknown tools, for ever"}
    assert {question.fault for question in SCRIPT if not ours[question.text]} == hopeless
    rows = ["| what is wrong with the model's output | flush and apologise | swarmchat |", "| --- | --- | --- |"]
    for question in SCRIPT:
        outcomes = ("answered" if answered[question.text] else "**lost**" for answered in (theirs, ours))
        rows.append(f"| {question.fault} | {' | '.join(outcomes)} |")
    lost = [sum(not answered for answered in outcomes.values()) for outcomes in (theirs, ours)]
    rows.append(f"| questions lost, of {len(SCRIPT)} | {lost[0]} | {lost[1]} |")
    rows.append(f"| conversation thrown away, times | {thrown_away_there} | {thrown_away_here} |")
    table = DOCS.read_text("utf-8").split("<!-- begin comparison -->\n")[1].split("<!-- end comparison -->")[0]
    assert table.strip() == "\n".join(rows)
