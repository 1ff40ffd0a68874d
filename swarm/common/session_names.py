"""Names for sessions that nobody named: two words that can be said and remembered."""

import random

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
    """Return a name such as ``brave-otter``: one of some 7,000."""
    return f"{rng.choice(_ADJECTIVES)}-{rng.choice(_ANIMALS)}"
