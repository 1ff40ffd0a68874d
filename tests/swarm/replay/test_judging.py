"""Similar answers, and the verdicts of a model."""

import asyncio
from pathlib import Path

import pytest
from recorded import again
from swarmchat.swarm import Agent, Swarm
from swarmchat.swarm.errors import OutputError
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder

SHOP = Swarm("shop", [Agent("clerk")], embedder=NgramEmbedder())
ASKED = """
steps:
  - user: where is it?
  - assistant: Your order was sent on Monday.
  - expect: {judge: [it says when, it is polite]}
"""
YES, NO = '{"reason": "it says Monday", "passed": true}', 'I think: {"reason": "no please", "passed": false}'


def replayed(text: str, path: Path, **options):
    return asyncio.run(again(text.encode(), path / "t.yaml", SHOP, **options))


def test_similar_answers(tmp_path):
    text = ASKED.replace("{judge: [it says when, it is polite]}", "{similar_to: {text: X, min: 0.5}}")
    assert replayed(text.replace("X", "on Monday your order was sent"), tmp_path).same
    (unmet,) = replayed(text.replace("X", "Which colour?"), tmp_path).differences
    assert 'expected an answer similar to "Which colour?" (' in str(unmet)
    assert "by ngram-1-512, at least 0.50 expected), got" in str(unmet)


def test_a_model_judges_once(tmp_path):
    model = ScriptedModel(["On Monday.", YES, "hm", NO])
    done = replayed(ASKED, tmp_path, mode="live", model=model)
    assert [str(each) for each in done.differences] == [
        'turn 1, line 5: expected an answer that meets "it is polite", but the judge says: no please'
    ]
    assert [verdict["passed"] for verdict in done.verdicts.values()] == [True, False]
    again_asked = ASKED.replace("  - expect", "  - expect: {judge: it says when}\n  - expect")
    assert len(replayed(again_asked, tmp_path, mode="live", model=ScriptedModel(["On Monday.", YES, NO])).verdicts) == 2
    # Nobody judges offline.
    assert replayed(ASKED, tmp_path).same


def test_a_judge_without_a_usable_verdict(tmp_path):
    with pytest.raises(OutputError, match="gave no usable verdict for 'judge'"):
        replayed(ASKED, tmp_path, mode="live", model=ScriptedModel(["On Monday.", "a", "b", "c"]))
