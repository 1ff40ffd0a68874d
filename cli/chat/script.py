"""Scripts: messages and commands as lines of text, checked in full before the first one is sent."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.builtin import is_command, parse_command
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.errors import SwarmError

_BLOCK = '"""'
_ESCAPED = ("\\#", "\\/", '\\"', "\\\\")


@dataclass(frozen=True)
class Step:
    """A message or a command. ``line`` is where it begins in the script; ``None``: it comes from no script."""

    text: str
    line: int | None = None
    command: bool = False


def read_script(text: str, name: str) -> list[Step]:
    """Return the steps of a script; ``name`` is what it is called in errors. Raises UsageError.

    Each line is a message, one that begins with a slash is a command, with two a message that begins with one. Three
    quotation marks begin a message of several lines, and three end it. Empty lines, and those that begin with ``#``,
    are skipped. A backslash before one of these signs at the start of a line takes its meaning from it.
    """
    steps = list(_steps(text.removeprefix("\ufeff"), name))
    if not steps:
        raise UsageError(f"{name}: it contains no message and no command")
    return steps


def check_script(steps: Iterable[Step], swarm: Swarm, name: str) -> None:
    """Raise UsageError for the first command that is unknown, or that can never be valid in ``swarm``."""
    for step in steps:
        if not step.command:
            continue
        try:
            command, argument = parse_command(step.text)
            if command.at_prompt_only:
                raise UsageError(f"/{command.name} needs a prompt, and a script has none")
            if command.check is not None:
                command.check(swarm, argument)
        except (UsageError, SwarmError) as error:
            raise UsageError(f"{name}, line {step.line}: {error}") from error


def _steps(text: str, name: str) -> Iterator[Step]:
    lines = enumerate((line.removesuffix("\r") for line in text.split("\n")), 1)
    for number, line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.startswith(_BLOCK):
            message = "\n".join(_block(stripped.removeprefix(_BLOCK), number, lines, name))
            if not message.strip():
                raise UsageError(f"{name}, line {number}: the message is empty")
            yield Step(message, number)
        elif stripped.startswith(_ESCAPED):
            yield Step(stripped[1:], number)
        elif is_command(stripped):
            yield Step(stripped, number, command=True)
        else:
            yield Step(stripped.removeprefix("/") if stripped.startswith("//") else stripped, number)


def _block(first: str, number: int, lines: Iterator[tuple[int, str]], name: str) -> Sequence[str]:
    """Return the lines of a message up to the marks that end it; ``first`` stands behind those that begin it."""
    if first.endswith(_BLOCK):
        return [first.removesuffix(_BLOCK)]
    block = [first] if first else []
    for _, line in lines:
        if line.rstrip().endswith(_BLOCK):
            last = line.rstrip().removesuffix(_BLOCK)
            return [*block, last] if last else block
        block.append(line)
    raise UsageError(f"{name}, line {number}: the message that begins here has no {_BLOCK} at its end")
