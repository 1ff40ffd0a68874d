"""Regular expressions of others: they end, and match what those of Python match."""

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import asked, lines_of, put_session
from swarmchat.backends import open_backend
from swarmchat.swarm import Policy
from swarmchat.swarm.agents.replay_rules import ReplayRules
from swarmchat.swarm.archive.redaction import Redaction
from swarmchat.swarm.archive.search import search_session
from swarmchat.swarm.common import patterns
from swarmchat.swarm.common.patterns import BoundedPattern
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.models.demo import DemoRule, follow_rules
from swarmchat.swarm.replay.assertions import unmet_expectations
from swarmchat.swarm.replay.expectations import TurnOutcome
from swarmchat.swarm.replay.matchers import Matching, schema_problem

SLOW = "^(?:a|a)+$"
TEXT = "a" * 60 + "!"
PIECES = (
    "a b | * + ? ( (?: ) [ab] [^a] ^ $ . {2} {1,2} {,1} \\d \\w \\b (?=a) (?!b) (?<=a) \\1 *? A é ß - {e} {e<=1} {} "
    "[[:alpha:]] [[a] [\\[a] [\\\\[] \\[ \\{e} (?P<x> \\N{COLON}"
).split()


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.text("abAé ß1{e}[:\\", max_size=8), st.booleans())
@pytest.mark.filterwarnings("ignore:Possible nested set")
def test_a_bounded_pattern_matches_as_that_of_python(pattern, text, ignore_case):
    try:
        expected = re.compile(pattern, re.IGNORECASE if ignore_case else 0).search(text)
    except re.error:
        with pytest.raises(re.error):
            BoundedPattern(pattern, ignore_case=ignore_case)
        return
    match = BoundedPattern(pattern, ignore_case=ignore_case).search(text)
    assert (match and match.span()) == (expected and expected.span())


@pytest.mark.parametrize("pattern", ["(?:(?:(?:a{999}){999}){999}){999}", "a" * 100_001, "(" * 2000 + ")" * 2000])
def test_a_pattern_that_is_too_large_is_invalid(pattern):
    with pytest.raises(re.error):
        BoundedPattern(pattern)


async def search() -> None:
    backend = open_backend("memory:")
    info = await put_session(backend, lines_of([asked(TEXT)]))
    await search_session(backend, info, BoundedPattern(SLOW))


@pytest.mark.parametrize(
    "use",
    [
        lambda: asyncio.run(Policy("p", SLOW).rejects_input(TEXT)),
        lambda: ReplayRules(normalize=[SLOW]).text(TEXT),
        lambda: Redaction([SLOW]).text(TEXT),
        lambda: follow_rules([DemoRule(SLOW)], [{"role": "user", "content": TEXT}], [], "c"),
        lambda: Matching().mismatch({"$matches": SLOW}, TEXT),
        lambda: asyncio.run(search()),
    ],
    ids=["policy", "normalize", "redact", "demo", "matches", "search"],
)
def test_whoever_wrote_a_pattern_it_comes_to_an_end(use, monkeypatch):
    monkeypatch.setattr(patterns, "MAX_PATTERN_TIME", 0.01)
    with pytest.raises(DefinitionError, match=r"takes more than 0\.01 s on a text of 61 characters"):
        use()


def test_a_test_with_a_slow_pattern_fails_by_name(monkeypatch):
    monkeypatch.setattr(patterns, "MAX_PATTERN_TIME", 0.01)
    assert "takes more than 0.01 s" in str(schema_problem({"pattern": SLOW}, TEXT))
    (unmet,) = unmet_expectations({"matches": SLOW}, TurnOutcome(1, answer=TEXT), Matching())
    assert "'matches' cannot be checked" in unmet.words
