"""The line below the prompt, and what sessions cost."""

import asyncio
from dataclasses import replace

import pytest
from prompt_toolkit.formatted_text import fragment_list_to_text
from prompt_toolkit.utils import get_cwidth
from swarmchat.backends import open_backend
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.prompt.toolbar import Cost, _fitting, _level
from swarmchat.cli.settings.loading import load_settings
from swarmchat.swarm.models.base import Answer
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.session.session import Session

PARTS = [("", "sales ‹ triage"), ("class:fill.low", "10 / 100 tokens 10%"), ("", "gpt-4o-mini"), ("", "box")]


def test_parts_are_left_out_from_the_right_and_a_line_is_never_too_long():
    whole = " sales ‹ triage   10 / 100 tokens 10%   gpt-4o-mini   box"
    for columns in range(1, 90):
        shown = fragment_list_to_text(_fitting(list(PARTS), columns))
        assert get_cwidth(shown) <= columns
        assert shown == whole[: len(shown)] or shown.endswith("…"), columns
        assert (shown == whole) == (columns >= len(whole))


def test_wide_letters_have_their_room():
    assert fragment_list_to_text(_fitting([("", "漢字漢字")], 7)) == " 漢字…"


@pytest.mark.parametrize(
    ("share", "level"), [(0, "low"), (0.49, "low"), (0.5, "middle"), (0.84, "middle"), (0.85, "high"), (2, "high")]
)
def test_the_fill_has_levels(share, level):
    assert _level(share) == level


def test_what_a_session_costs():
    answer = Answer("Yes.", usage={"prompt_tokens": 1_000_000, "completion_tokens": 500_000})

    async def run() -> list[float | None]:
        backend = open_backend("memory:")
        model = ScriptedModel([answer, replace(answer), Answer("No figures.")], name="dear")
        costs = []
        async with await Session.open(backend, model, client="ann", name="box") as session:
            cost = Cost({"dear": (0.15, 0.60), "other": (1, 1)})
            costs.append(cost.of(session))
            for text in "abc":
                async for _ in session.run_turn(text):
                    pass
                costs.append(cost.of(session))
        async with await Session.open(backend, model, client="ann", name="box") as session:
            # What was before is read, and then counted.
            again = Cost({"dear": (0.15, 0.60)})
            while (amount := again.of(session)) is None:  # noqa: ASYNC110 - the toolbar looks again and again, too
                await asyncio.sleep(0)
            costs.append(amount)
            costs.append(Cost({"other": (1, 1)}).of(session))
            costs.append(Cost({}).of(session))
        return costs

    costs = asyncio.run(run())
    assert costs == [None, pytest.approx(0.45), pytest.approx(0.9), pytest.approx(0.9), pytest.approx(0.9), None, None]


@pytest.mark.parametrize(
    "value", ["5", "{", '{"m": [1]}', '{"m": [1, -1]}', '{"m": [1, "2"]}', '{"m": [true, 1]}', "[]"]
)
def test_invalid_prices(value):
    with pytest.raises(ConfigError, match=r"\$SWARMCHAT_PRICES: prices is .* expected prices of a million tokens"):
        load_settings({}, {"SWARMCHAT_PRICES": value}, [])


def test_prices_from_a_file_and_from_the_environment(write):
    table = write("config.toml", 'prices = { "gpt-4o-mini" = [0.15, 0.60] }\n')
    assert load_settings({}, {}, [table]).prices == {"gpt-4o-mini": (0.15, 0.6)}
    assert load_settings({}, {"SWARMCHAT_PRICES": '{"m": [1, 2]}'}, [table]).prices == {"m": (1, 2)}
