"""Rules for what a replay does not compare: in a file, in the swarm, and for one replay."""

import asyncio
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recorded import Recorder, again, ask, calls
from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, State, Swarm, tool
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.agents.replay_rules import ReplayRules
from swarmchat.swarm.errors import DefinitionError, TranscriptError
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.replay.files import read_conversations


@pytest.mark.parametrize(
    ("rule", "texts"),
    [
        ("dates", ["on 2026-01-05", "on 2026-11-28T10:00:00.123Z", "on 5.1.2026", "on 28/11/26"]),
        ("dates", ["on 2026-01-05 10:30 UTC", "on 10:30", "on 9:05 pm", "on 10:30:00"]),
        ("dates", ["on 5 January 2026", "on Jan 5, 2026", "on November 28th, 2026"]),
        ("dates", ["Saturday, it is", "Monday, it is"]),
        ("ids", ["order 123e4567-e89b-12d3-a456-426614174000", "order 0123456789abcdef"]),
        ("ids", ["ord_8f3a2b1c", "ord_777777"]),
        ("ids", ["order 01ARZ3NDEKTSV4RRFFQ69G5FAV", "order 0123456789abcdef"]),
        ("numbers", ["it costs 5", "it costs 1,234.50", "it costs -7"]),
        (r"v\d+", ["version v1", "version v22"]),
    ],
)  # fmt: skip
def test_a_rule_lets_texts_differ(rule, texts):
    rules = ReplayRules(normalize=[rule])
    for one, other in itertools.combinations(texts, 2):
        assert rules.same(one, other), (rules.text(one), rules.text(other))
        assert rules.same({"a": [one]}, {"a": [other]})
        assert not rules.same(one, f"{other} or so")
        assert not ReplayRules().same(one, other)


def test_a_word_is_no_id_and_no_date():
    text = "The decade of cabbage and a facade: order-now, may be, 5 marches"
    assert ReplayRules(normalize=["ids", "dates"]).text(text) == text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"normalize": ["date"]}, "unknown rule 'date' in 'normalize'; did you mean 'dates'?, or write a regex"),
        ({"normalize": ["("]}, "'(' in 'normalize' is not a regular expression"),
        ({"normalize": ["a*."[:2]]}, "matches the empty text"),
        ({"normalize": "dates"}, "'normalize' is 'dates', expected a list of texts"),
        ({"ignore": [5]}, "'ignore' is [5], expected a list of texts"),
    ],
)  # fmt: skip
def test_an_unknown_rule(fields, message, tmp_path):
    with pytest.raises(DefinitionError) as caught:
        ReplayRules(**fields)
    assert message in str(caught.value)
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"type": "session", **fields}) + '\n{"type":"user","text":"hi"}\n')
    with pytest.raises(TranscriptError, match=r"t\.jsonl, line 1: "):
        asyncio.run(read_conversations(path))


def shop(number: int, **fields: Any) -> Swarm:
    """Return a swarm whose prompt and tool say another date and number each time."""

    @tool
    def order(item: str) -> str:
        """Order an item."""
        return json.dumps({"order": f"ord-a{number}b{number}c{number}d", "at": f"2026-01-{number:02}", "item": item})

    prompt = f"You sell tea. Today is 2026-0{1 + number // 20}-{number:02}."
    return Swarm("shop", [Agent("clerk", prompt, tools=[order])], states=[State("orders", default=list)], **fields)


async def log() -> bytes:
    recorder = Recorder(open_backend("memory:"), shop(1))
    model = ScriptedModel([calls(("order", '{"item":"tea"}')), "Done.", "Yes."])
    async with await recorder.open(model) as session:
        await ask(session, "tea")
        await ask(session, "thanks")
    return await recorder.log()


@pytest.mark.parametrize("mode", ["verify", "tools"])
def test_prompts_and_results_may_differ_by_rule(mode, tmp_path: Path):
    async def run() -> None:
        recorded, path, other = await log(), tmp_path / "log.jsonl", shop(25)
        rules = ReplayRules(normalize=["dates", "ids"])
        bare = await again(recorded, path, other, mode=mode)
        assert not bare.same
        assert (await again(recorded, path, other, mode=mode, rules=rules)).differences == []
        assert (await again(recorded, path, replace(other, replay=rules), mode=mode)).differences == []
        first, rest = recorded.split(b"\n", 1)
        own = first[:-1] + b',"normalize":["dates","ids"]}\n' + rest
        assert (await again(own, path, other, mode=mode)).differences == []
        # Anything else is still reported, with what follows from it.
        agent = replace(other.agents[0], prompt=f"{other.agents[0].prompt} And rum.")
        changed = await again(recorded, path, replace(other, agents=[agent]), mode=mode, rules=rules)
        assert "the system prompt of 'clerk' has changed" in str(changed.differences[0])

    asyncio.run(run())


def test_fields_may_be_ignored(tmp_path: Path):
    async def run() -> None:
        recorded, path, other = await log(), tmp_path / "log.jsonl", shop(25)
        done = await again(recorded, path, other, rules=ReplayRules(ignore=["request.parts.instructions"]))
        assert done.differences == []
        assert (await again(recorded, path, other, rules=ReplayRules(ignore=["request"]))).same
        assert not (await again(recorded, path, other, rules=ReplayRules(ignore=["tool"]))).same

    asyncio.run(run())


def test_expectations_use_the_rules(tmp_path: Path):
    path = tmp_path / "t.yaml"
    text = """
normalize: [dates]
steps:
  - user: when?
  - assistant: On 2026-11-28, at noon.
  - expect: {equals: "On 2026-01-05, at noon.", contains: 5 January 2026}
"""
    (differences,) = asyncio.run(_differences(path, text))
    assert differences == []
    (differences,) = asyncio.run(_differences(path, text.replace("normalize: [dates]", "")))
    assert len(differences) == 2


async def _differences(path: Path, text: str) -> list[Any]:
    done = await again(text.encode(), path, Swarm("s", [Agent("a")]))
    return [done.differences]


def test_a_swarm_file_has_rules(tmp_path: Path):
    path = tmp_path / "swarm.toml"
    path.write_text('[agents.clerk]\nprompt = "hi"\n[replay]\nnormalize = ["dates"]\nignore = ["request.tokens"]\n')
    assert load_swarm(str(path), tmp_path).replay == ReplayRules(["request.tokens"], ["dates"])
    path.write_text(path.read_text().replace("dates", "dats"))
    with pytest.raises(DefinitionError, match="did you mean 'dates'"):
        load_swarm(str(path), tmp_path)
