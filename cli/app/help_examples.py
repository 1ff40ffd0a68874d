"""Examples at the end of help pages. They stand as they are written: a line that wraps cannot be copied."""


def _as_written(text: str) -> str:
    # click leaves a paragraph alone that begins so.
    return f"Examples:\n\n\b\n{text.strip()}"


PROGRAM = _as_written("""
swarmchat                             a chat begins
swarmchat "why is the sky blue?"      one answer, and the program ends
git diff | swarmchat "what is this?"  what is piped in stands below the question
swarmchat -S helpdesk                 a swarm of agents, that runs without a key
swarmchat -c                          go on where the last chat ended
swarmchat doctor                      find out what is wrong
swarmchat COMMAND --help              more about a command
""")
CHAT = _as_written("""
swarmchat -s trip                     the session "trip", begun if there is none
swarmchat -m gpt-4o-mini              a model of OpenAI's: needs OPENAI_API_KEY
swarmchat -m qwen3:8b --base-url http://localhost:11434/v1
swarmchat -b redis -c                 the last session that is kept in Redis
swarmchat --profile work              the settings of [profiles.work]
swarmchat "count to 5" --output json  one object, for programs
""")
MODELS_LIST = _as_written("""
swarmchat models list
swarmchat models list --base-url http://localhost:11434/v1
""")
MODELS_TEST = _as_written("""
swarmchat models test -m qwen3:8b --base-url http://localhost:11434/v1
swarmchat models test --quick --json
""")
INIT = _as_written("""
swarmchat init bakery && swarmchat -S bakery
""")
MEMORY = _as_written("""
swarmchat memory                      all that is remembered of you
swarmchat memory name --set Ann
""")
