"""Take the messages that wait for a session into its log, and find the one that an agent is to react to."""

from collections.abc import Sequence

from swarmchat.backends import Append, ExpectLength, LengthConflict, Truncate
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import MailReceived
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.journal import Batch
from swarmchat.swarm.persistence.mailbox import Mail, parse_mail
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet

_ANSWERS = frozenset({"user", "request", "error", "policy", "unsent", "reset"})
"""Types of the first records of a turn: whatever woke an agent before is answered by it."""


async def take_mail(conversation: Conversation, *, one_wake: bool) -> list[MailReceived]:
    """Move the waiting messages into the log, in one commit; return them, each once.

    With ``one_wake``, those behind the first one that wakes an agent go on waiting. Raises the backend's errors.
    """
    info, ttl = conversation.info, conversation.settings.lifetimes.session
    mailbox = keys.session_mailbox(info.client, info.id)
    while True:
        await conversation.ready()
        entries = [] if conversation.journal.is_new else await conversation.backend.slice(mailbox, 0)
        if not entries:
            break
        mails = [parse_mail(entry) for entry in entries]
        wakes = [place for place, mail in enumerate(mails, 1) if mail is not None and mail.wake]
        taken = wakes[0] if one_wake and wakes else len(mails)
        batch, changes = conversation.batch(), ChangeSet()
        for mail in filter(None, mails[:taken]):
            _add_record(conversation, batch, mail)
        changes.write(ExpectLength(mailbox, len(entries)), Truncate(mailbox, 0))
        changes.write(Append(mailbox, tuple(entries[taken:]), ttl))
        try:
            await conversation.commit(batch, changes)
        except LengthConflict:
            # Another message has arrived meanwhile.
            continue
        break
    return _unseen(conversation)


def to_react_to(records: Sequence[Record]) -> Record | None:
    """Return the message at the end of ``records`` that wakes an agent, if no turn has begun since."""
    for record in reversed(records):
        if record.type == "mail" and record.data.get("wake") is True:
            return record
        if record.type in _ANSWERS:
            return None
    return None


def _add_record(conversation: Conversation, batch: Batch, mail: Mail) -> None:
    agent = mail.agent if mail.agent in conversation.swarm.names else conversation.agent.name
    message = mail.to_message()
    fields = {"id": mail.id, "text": mail.text, "sender": mail.sender, "wake": mail.wake, "sent": mail.sent}
    fields = {name: value for name, value in fields.items() if value}
    # Of no turn, so that no undo hides it.
    batch.add("mail", turn=0, agent=agent, message=message, tokens=conversation.count(message), **fields)


def _unseen(conversation: Conversation) -> list[MailReceived]:
    """Return the messages in the log that were not returned before, also those of a commit that seemed to fail."""
    log = conversation.journal.log
    records = [record for record in log.records if record.type == "mail" and record.seq >= conversation.mail_seen]
    conversation.mail_seen = log.next_seq
    return [
        MailReceived(record.text("text"), record.text("sender"), record.agent or "", record.data.get("wake") is True)
        for record in records
    ]
