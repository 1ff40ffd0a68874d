"""The mailbox of a session: messages from outside, which wait beside the log until they are taken into it.

Any process that reaches the store may add one. Only the process that has the session open takes them out, in the commit
that appends their records to the log: each message is in the mailbox or in the log, never in both.
"""

import asyncio
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from swarmchat.backends import Append, Backend, Conflict, Expect, ExpectLength
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.encoding import clean_text, decode_json, encode_json
from swarmchat.swarm.common.mistakes import TEXT, check_value
from swarmchat.swarm.errors import MailboxFull, MailError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import timestamp
from swarmchat.swarm.persistence.session_index import find_session

MAX_MESSAGE = 32_000
"""Characters of one message."""
MAX_WAITING = 1000
"""Messages in one mailbox."""
_ATTEMPTS = 200


@dataclass(frozen=True, slots=True)
class Mail:
    """A message to a session from outside."""

    id: str
    text: str
    sender: str
    """The sender; may be empty."""
    agent: str | None
    """The agent that it is for; ``None`` for the one that is active when it arrives."""
    wake: bool
    """Whether the agent is to react with a turn of its own."""
    sent: str
    """When it was sent, UTC."""
    act: str = ""
    """What an operator did: joined, said, called, left or back. closed: nobody of the operators came."""
    call: dict[str, Any] | None = None
    """The name and the arguments of the tool that the operator calls."""

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return encode_json(asdict(self))

    def to_message(self) -> dict[str, Any]:
        """Return the message that the agent sees: a user message in plain words, as no API has a role for it."""
        if self.act:
            return {"role": "user", "content": operator_text(self.act, self.sender, self.text)}
        sender = f", from {self.sender}" if self.sender else ""
        request = " Please react to it now." if self.wake else ""
        text = (
            f"A message has arrived from outside of this conversation{sender}. It is not from the user. It says:\n\n"
            f"{self.text}\n\nThis is the end of the message from outside.{request}"
        )
        return {"role": "user", "content": text}


def parse_mail(entry: bytes) -> Mail | None:
    """Return the message in an entry of a mailbox; ``None`` if it cannot be read."""
    try:
        mail = Mail(**decode_json(entry))
    except (ValueError, TypeError):
        return None
    texts = (mail.id, mail.text, mail.sender, mail.sent, mail.agent or "", mail.act)
    is_call = mail.call is None or (isinstance(mail.call, dict) and isinstance(mail.call.get("name"), str))
    is_valid = is_call and isinstance(mail.wake, bool) and all(isinstance(text, str) for text in texts)
    return mail if is_valid else None


def new_act(
    act: str, text: str, sender: str, agent: str, *, wake: bool = False, call: dict[str, Any] | None = None
) -> Mail:
    """Return the message of an act of an operator; see ``Mail``."""
    sent = timestamp(datetime.now(UTC))
    return Mail(secrets.token_hex(8), clean_text(text), clean_text(sender), agent, wake, sent, act, call)


def operator_text(act: str, person: str, text: str) -> str:
    """Return the text that agents see of an operator's act: plain words, not a notation that a model would copy."""
    match act:
        case "joined":
            return f"{person}, a person, has joined this conversation and answers the user from here on."
        case "left":
            return f"{person}, a person, has left this conversation. The user waits for somebody else. {text}".rstrip()
        case "closed":
            return f"The user was to talk to a person, but: {text}. Tell the user so, and help as well as you can."
        case "called":
            return f"{person}, a person, calls a tool in this conversation: {text}"
        case "result":
            return f"The tool that {person}, a person, has called returned:\n\n{text}\n\nThis is the end of the result."
        case "back":
            note = (
                f" with this note, which the user cannot see:\n\n{text}\n\nThis is the end of the note."
                if text
                else "."
            )
            return f"{person}, a person, has handed this conversation back to you{note} Please talk to the user now."
        case "said":
            return (
                f"{person}, a person, has answered the user in this conversation:\n\n{text}\n\n"
                f"This is the end of what {person} wrote."
            )
    # Written by a newer version.
    return f"{person}, a person, has done something in this conversation that is not known here. {text}".rstrip()


def new_mail(text: str, *, agent: str | None = None, sender: str = "", wake: bool = False) -> Mail:
    """Return a new message; see ``tell``."""
    return Mail(secrets.token_hex(8), clean_text(text), clean_text(sender), agent, wake, timestamp(datetime.now(UTC)))


async def tell(
    backend: Backend,
    client: str,
    session: str,
    text: str,
    *,
    agent: str | None = None,
    sender: str = "",
    wake: bool = False,
    ttl: float | None = None,
) -> Mail:
    """Put a message into the mailbox of a stored session, by its id or name, whether or not it is open; return it.

    ``agent`` is the agent that it is for, by default the active one; with ``wake``, that agent reacts with a turn of
    its own. ``ttl``: seconds that sessions live in this store. Raises MailError, its kind MailboxFull, and the
    backend's errors.
    """
    check_value("tell", "text", text, TEXT)
    mail = new_mail(text, agent=agent, sender=sender, wake=wake)
    text = mail.text
    if not text.strip():
        raise MailError("the message is empty: write a text")
    if len(text) > MAX_MESSAGE:
        raise MailError(
            f"the message has {len(text):,} characters, expected at most {MAX_MESSAGE:,}: shorten it, or say where "
            "the rest can be found"
        )
    for _ in range(_ATTEMPTS):
        info = await find_session(backend, client, session)
        entry = None if info is None else await backend.get(keys.session_index(client, info.id))
        if info is None or entry is None:
            raise MailError(
                f"client {client!r} has no session {session!r} in {backend.url} (a session is stored with its first "
                "turn): see swarmchat sessions list"
            )
        mailbox = keys.session_mailbox(client, info.id)
        waiting = await backend.length(mailbox)
        if waiting >= MAX_WAITING:
            raise MailboxFull(
                f"session {info.name!r} has {waiting:,} messages waiting, which is the limit: open it, or try later"
            )
        # The entry stands for the session: a message to one that is being deleted must not wait for its successor.
        conditions = Expect(keys.session_index(client, info.id), entry), ExpectLength(mailbox, waiting)
        try:
            await run_to_completion(backend.commit(*conditions, Append(mailbox, (mail.to_bytes(),), ttl)))
        except Conflict:
            await asyncio.sleep(0)
            continue
        return mail
    raise MailboxFull(f"session {session!r} keeps changing: try again later")
