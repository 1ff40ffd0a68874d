"""Slash commands about what is sent: its parts, a summary in place of the older ones, and turns that always stay."""

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.arguments import turns_to_pin, turns_to_unpin
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.context_page import context_page, tokens_page
from swarmchat.cli.slash.registry import Outcome, command
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.session.undo import Timeline


def _said(chat: ChatContext) -> bool:
    return chat.session.last_turn > 0


def _has_pins(chat: ChatContext) -> bool:
    return bool(chat.session.conversation.retained.pinned)


@command("context", "show the next request: its messages, their tokens, and what is left out and why")
async def _context(chat: ChatContext, argument: str) -> str:
    return await context_page(chat.session)


@command("tokens", "show the tokens of the next request and of this session")
async def _tokens(chat: ChatContext, argument: str) -> str:
    return await tokens_page(chat.session)


@command("compact", "replace older turns by a summary in requests; the log keeps them", arguments="[FOCUS]", when=_said)
async def _compact(chat: ChatContext, argument: str) -> Outcome:
    done = await chat.session.compact(argument)
    cost = f"; it cost {_cost(done.usage)}" if done.usage else ""
    remark = (
        f"{done.messages} messages are summed up: {done.tokens_before:,} tokens are {done.tokens_after:,} now{cost}; "
        "/undo takes that back with the turn before it"
    )
    return Outcome(page=done.summary, remark=remark)


@command(
    "pin",
    "always send this turn, or the last one whose question contains the text",
    arguments="[TURN or TEXT]",
    completes=turns_to_pin,
    when=_said,
)
async def _pin(chat: ChatContext, argument: str) -> Outcome:
    turn = await _turn(chat.session, argument)
    pins = await chat.session.pin(turn)
    share = f"{pins.tokens:,} of at most {pins.limit:,} tokens"
    return Outcome(remark=f"turn {turn} is pinned; pinned: {_listed(pins.turns)}, {share}")


@command(
    "unpin",
    "unpin this turn; default: the one pinned last",
    arguments="[TURN or TEXT]",
    completes=turns_to_unpin,
    when=_has_pins,
)
async def _unpin(chat: ChatContext, argument: str) -> Outcome:
    from swarmchat.swarm.session.pinning import pins_of

    pinned = (await pins_of(chat.session.conversation)).turns
    if not pinned:
        raise UsageError("no turn is pinned")
    turn = await _turn(chat.session, argument) if argument else pinned[-1]
    pins = await chat.session.unpin(turn)
    return Outcome(remark=f"turn {turn} is not pinned any more; pinned: {_listed(pins.turns)}")


async def _turn(session: Session, argument: str) -> int:
    """Return the turn that is meant. Raises UsageError where there is none."""
    if argument.isascii() and argument.isdecimal() and len(argument) < 10:
        return int(argument)
    timeline = Timeline(session.swarm.default)
    async for record in read_records(session.backend, session.info):
        timeline.take(record)
    for turn in reversed(timeline.visible):
        if argument.casefold() in timeline.texts.get(turn, "").casefold():
            return turn
    raise UsageError(f"no question has {argument!r} in it; /history lists them" if argument else "nothing was said yet")


def _listed(turns: tuple[int, ...]) -> str:
    return ", ".join(map(str, turns)) or "none"


def _cost(usage: object) -> str:
    counted = usage if isinstance(usage, dict) else {}
    total = counted.get("total_tokens") or sum(
        counted.get(name) or 0 for name in ("prompt_tokens", "completion_tokens")
    )
    return f"{total:,} tokens"
