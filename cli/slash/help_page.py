"""``/help``: the commands by topic, or one of them in full."""

import shutil
import textwrap
from collections.abc import Iterator

from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import COMMANDS, Choice, command, find_command
from swarmchat.cli.terminal.sanitize import one_line

TOPICS = {
    "conversation": "retry edit undo redo copy reset help exit",
    "sessions": "new resume sessions history search rename session fork export import",
    "model and settings": "model set approve theme doctor debug clear",
    "context window": "context tokens compact pin unpin",
    "agents and data": "agents agent back stack tools call state memory storage",
}
"""The names of all commands by topic, the most useful first."""

_KEYS = (
    "Enter sends · Tab completes · Up: earlier messages · Alt-Enter or Ctrl-J: new line · "
    "Ctrl-C: stop the answer, clear the line · Ctrl-D: leave"
)


async def _names(chat: ChatContext, typed: str) -> list[Choice]:
    return [(each.name, each.help) for each in COMMANDS.values()]


@command("help", "list the commands, or explain one", arguments="[COMMAND]", completes=_names)
async def _help(chat: ChatContext, argument: str) -> str:
    return _explanation(chat, argument) if argument else "\n".join(_overview(chat))


def _explanation(chat: ChatContext, name: str) -> str:
    each = find_command(name.removeprefix("/"))
    lines = [f"/{each.name} {each.arguments}".rstrip(), f"  {each.summary}"]
    if each.at_prompt_only:
        lines.append("  not in scripts")
    if not each.is_useful(chat):
        lines.append("  nothing to do for it now")
    return "\n".join(lines)


def _overview(chat: ChatContext) -> Iterator[str]:
    """Yield a line for each command that can do something now, and the keys of the prompt."""
    columns = shutil.get_terminal_size().columns
    width = max(map(len, COMMANDS)) + 1
    for topic, names in TOPICS.items():
        useful = [each for each in map(COMMANDS.__getitem__, names.split()) if each.is_useful(chat)]
        if useful:
            yield topic
        for each in useful:
            yield f"  {'/' + each.name:<{width}}  " + one_line(each.summary, max(10, columns - width - 5))
    yield "/help COMMAND explains one"
    yield from textwrap.wrap(_KEYS, max(20, columns - 1))
