"""Take the messages that wait for a session into its log, and find the one that an agent is to react to."""

from collections.abc import Sequence

from swarmchat.backends import Append, ExpectLength, LengthConflict, Truncate
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import MailReceived, Warned
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.journal import Batch
from swarmchat.swarm.persistence.mailbox import Mail, parse_mail
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet

_ANSWERS = frozenset({"user", "request", "error", "policy", "unsent", "reset"})
"""Types of the first records of a turn: whatever woke an agent before is answered by it."""


async def take_mail(conversation: Conversation, *, one_wake: bool) -> list[MailReceived | Warned]:
    """Move the waiting messages into the log, in one commit; return them, each once.

    With ``one_wake``, those behind the first one that wakes an agent go on waiting, and all of them while an agent
    still has to react to one that a dead process left. Without it a question follows, which answers those that wake
    the active agent; the first one that wakes another agent goes on waiting, with those behind it. Raises the backend's
    errors.
    """
    while not conversation.journal.is_new:
        # What a task could not store yet may be another message.
        async with conversation.step(storing=True):
            await conversation.flush()
            if await _take(conversation, one_wake):
                break
    return _unseen(conversation)


async def _take(conversation: Conversation, one_wake: bool) -> bool:
    """Move messages into the log; return whether that is done, and not to be tried again."""
    info, ttl = conversation.info, conversation.settings.lifetimes.session
    mailbox = keys.session_mailbox(info.client, info.id)
    if one_wake and to_react_to(conversation.journal.log.records) is not None:
        return True
    entries = await conversation.backend.slice(mailbox, 0)
    mails = [parse_mail(entry) for entry in entries]
    last = next((place for place, mail in enumerate(mails) if _starts_turn(conversation, mail, one_wake)), len(mails))
    taken = min(len(mails), last + one_wake)
    if not taken:
        return True
    may_wake = not (one_wake and await conversation.primitives.find_ban())
    batch, changes = conversation.batch(), ChangeSet()
    for mail in filter(None, mails[:taken]):
        _add_record(conversation, batch, mail, wake=mail.wake and may_wake)
    changes.write(ExpectLength(mailbox, len(entries)), Truncate(mailbox, 0))
    changes.write(Append(mailbox, tuple(entries[taken:]), ttl))
    try:
        await conversation.commit(batch, changes)
    except LengthConflict:
        # Another message has arrived meanwhile.
        return False
    return True


def to_react_to(records: Sequence[Record]) -> Record | None:
    """Return the message at the end of ``records`` that wakes an agent, if no turn has begun since."""
    for record in reversed(records):
        if record.type == "mail" and record.data.get("wake") is True:
            return record
        if record.type in _ANSWERS:
            return None
    return None


def _starts_turn(conversation: Conversation, mail: Mail | None, one_wake: bool) -> bool:
    """Whether a message starts a turn of its own, even if a question follows unless ``one_wake``."""
    if mail is None or not mail.wake:
        return False
    return one_wake or _recipient(conversation, mail) != conversation.agent.name


def _recipient(conversation: Conversation, mail: Mail) -> str:
    agent = mail.agent
    return agent if agent is not None and agent in conversation.swarm.names else conversation.agent.name


def _add_record(conversation: Conversation, batch: Batch, mail: Mail, *, wake: bool) -> None:
    """Add the record of ``mail``; nobody reacts to one for a banned client."""
    agent, message = _recipient(conversation, mail), mail.to_message()
    fields: dict[str, str | bool] = {
        "id": mail.id,
        "text": mail.text,
        "sender": mail.sender,
        "wake": wake,
        "sent": mail.sent,
    }
    if mail.agent not in (None, agent):
        fields["for"] = mail.agent or ""
    fields = {name: value for name, value in fields.items() if value}
    # Of no turn, so that no undo hides it.
    batch.add("mail", turn=0, agent=agent, message=message, tokens=conversation.count(message), **fields)


def _unseen(conversation: Conversation) -> list[MailReceived | Warned]:
    """Return the messages in the log that were not returned before, also those of a commit that seemed to fail."""
    log, events = conversation.journal.log, list[MailReceived | Warned]()
    for record in log.records:
        if record.type == "mail" and record.seq >= conversation.mail_seen:
            agent, wake = record.agent or "", record.data.get("wake") is True
            events.append(MailReceived(record.text("text"), record.text("sender"), agent, wake))
            if wanted := record.text("for"):
                events.append(Warned(f"this message was for agent {wanted!r}, which the swarm lacks: {agent} got it"))
    conversation.mail_seen = log.next_seq
    return events
