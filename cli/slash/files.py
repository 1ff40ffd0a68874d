"""The slash command ``/file``, and the completion of paths."""

import asyncio
import re

from swarmchat.cli.attachments.message import with_files
from swarmchat.cli.attachments.paths import expand, folder_entries, is_file
from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Command, CommandResult
from swarmchat.swarm.agents.agent import Swarm

_ARGUMENT = re.compile(r'(?:"([^"\n]+)"|(\S+))\s*(.*)', re.DOTALL)


async def file_choices(chat: ChatContext, typed: str) -> list[Choice]:
    """Offer the paths that ``typed`` may become."""
    return [(path, "") for path in await asyncio.to_thread(folder_entries, typed)]


def _check(swarm: Swarm, argument: str) -> None:
    _parse(argument)


@Command(
    "file",
    "send a file with a question about it; @PATH in a message does the same",
    "PATH [QUESTION]",
    check=_check,
    completes=file_choices,
)
async def _file(chat: ChatContext, argument: str) -> CommandResult:
    pattern, question = _parse(argument)
    message, remark = await asyncio.to_thread(with_files, question, expand([pattern]), chat.settings.max_input)
    return CommandResult(remark=remark, send=message)


def _parse(argument: str) -> tuple[str, str]:
    """Return the path or pattern, and the question after it. Raises UsageError."""
    if is_file(argument):
        return argument, ""
    match = _ARGUMENT.fullmatch(argument)
    if match is None or match[2] == "-":
        raise UsageError("/file needs the path of a file: /file PATH [QUESTION]")
    return match[1] or match[2], match[3]
