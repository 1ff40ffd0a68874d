"""Names: checks, the most similar one for a misspelt one, and random ones for new sessions."""

import difflib
import hashlib
import random
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

from swarmchat.swarm.errors import DefinitionError

AGENT_TOOL = "agent:"
"""How the name of an agent begins among the tools of another one: ``agent:researcher``."""

OUTPUT_TOOL = "final_answer"
"""The tool that a model calls with an answer of a given type; no tool of an agent may have this name."""


class Named(Protocol):
    """A part of a swarm: an agent, a state, a storage."""

    @property
    def name(self) -> str:
        """The name."""


def name_of(part: Named | str) -> str:
    """Return the name of a part of a swarm, which may be given by its name alone. Raises DefinitionError."""
    name = part if isinstance(part, str) else getattr(part, "name", None)
    if not isinstance(name, str):
        raise DefinitionError(
            f"{part!r:.60} is not part of a swarm: expected an agent, a state or a storage, or its name"
        )
    return name


def check_name(kind: str, name: str, longest: int) -> None:
    """Raise DefinitionError unless ``name`` has at most ``longest`` characters, all of which the chat API allows."""
    if not isinstance(name, str) or not re.fullmatch(rf"[A-Za-z0-9_-]{{1,{longest}}}", name):
        raise DefinitionError(f"{kind} {name!r}: expected a name of 1 to {longest} letters, digits, _ and -")


_LONGEST_FUNCTION = 64


@lru_cache(4096)
def portable_name(name: str) -> str:
    """Return the name by which servers of the chat API know the tool ``name``: itself if all of them take it.

    It is a letter (Gemini, Kimi), then letters, digits, ``_`` and ``-``, 64 characters at most (OpenAI). What is lost
    of a long name, or of letters outside ASCII, is replaced by a hash, so that two tools do not get the same name.
    """
    portable = re.sub(r"[^a-zA-Z0-9_-]+", "_", name)
    if not re.match("[a-zA-Z]", portable):
        portable = "t_" + portable.lstrip("_")
    if len(portable) <= _LONGEST_FUNCTION and not any(char.isalnum() and not char.isascii() for char in name):
        return portable
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{portable[: _LONGEST_FUNCTION - 9].rstrip('_')}_{digest}"


def nearest(name: str, available: Iterable[str]) -> str:
    """Return a hint for an unknown ``name``: the most similar of those ``available``, or all of them."""
    names = sorted(available)
    similar = difflib.get_close_matches(name, names, n=1)
    if similar:
        return f"did you mean {similar[0]!r}?"
    return f"available: {', '.join(names)}" if names else "none defined"


_ADJECTIVES = """
    able amber brave bright brisk calm clear clever cool coral crisp daring deft eager early fair fast fine fond frank
    fresh gentle glad golden grand green happy hardy honest humble jolly keen kind late light lively loyal lucky mellow
    merry mild modest neat noble patient plain polite prime proud quick quiet rapid ready ruby sharp silent silver
    sleek smart snowy solid sound steady still sunny swift tidy true vivid warm wise witty young zesty
""".split()

_ANIMALS = """
    badger beaver bee bison camel cat condor crab crane crow deer dingo dolphin dove duck eagle egret elk falcon ferret
    finch fox frog gecko goose grouse hare hawk heron horse ibex jay koala lark lemur lion llama lynx magpie marten
    mole moose moth newt ocelot orca oriole osprey otter owl ox panda parrot pelican plover pony puffin quail rabbit
    raven robin salmon seal shark shrew sloth snail sparrow squid stork swan tapir tern tiger toad trout turtle viper
    vole walrus whale wolf wombat wren yak zebra
""".split()


def random_name(rng: random.Random) -> str:
    """Return a name such as ``brave-otter``: one of about 7,000."""
    return f"{rng.choice(_ADJECTIVES)}-{rng.choice(_ANIMALS)}"
