"""What ``/context`` shows."""

import json
import shutil
from collections.abc import Mapping
from typing import Any

from swarmchat.cli.sanitize import one_line
from swarmchat.swarm.errors import OverBudget
from swarmchat.swarm.session import Session

_COLUMNS = 21
"""What stands before the text of a message."""


async def context_page(session: Session) -> str:
    """Return the messages that would be sent now, one a line, with their tokens and what was left out."""
    try:
        context = await session.context()
    except OverBudget as error:
        return str(error)
    counter = session.counter
    width = max(8, shutil.get_terminal_size().columns - _COLUMNS - 1)
    about = "~" if counter.approximate else ""
    lines = [f"{'tokens':>8}  message"]
    lines.append(f"{about}{context.fixed_tokens:>8,}  instructions, and the frame of a request")
    for group in context.kept:
        for index, part in enumerate(group.parts()):
            tokens = part.tokens(counter, parallel=group.parallel and index > 0)
            lines.append(f"{tokens:>8,}  {part.message['role']:<9}  {one_line(_says(part.message), width)}")
    budget = session.budget
    share = context.tokens / context.available
    lines.append(f"{about}{context.tokens:>8,}  of {context.available:,} in all, {share:.0%}")
    lines.append(
        f"{'':>8}  window {budget.window:,}, {budget.reserve:,} of it kept free for the answer"
        + (f", one token of ours is {budget.correction:g} of the server's" if budget.correction != 1 else "")
    )
    if cut := context.rotation.first_kept if context.rotation else session.first_kept:
        lines.append(f"{'':>8}  what stands before record {cut} of the log is not sent: it would not fit")
    if session.info.rescues:
        lines.append(f"{'':>8}  the rescue took {session.info.rescues:,} steps in this session")
    if counter.problem:
        lines.append(f"{'':>8}  figures with ~ are estimates: {counter.problem}")
    if context.shortened:
        lines.append(f"{'':>8}  the newest tool results are shortened to fit")
    return "\n".join(lines)


def _says(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    text = content if isinstance(content, str) else "" if content is None else json.dumps(content, ensure_ascii=False)
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        text += " ".join(f" {call['function']['name']}({call['function']['arguments']})" for call in calls)
    return text.strip()
