"""What a chat begins with: where one is, and what was said last."""

from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.session.session import Session

_DEMO = "demo model: scripted answers, no AI"
_CONNECT = "to talk with a real model: set OPENAI_API_KEY, or start with -m MODEL --base-url URL; -c goes on here"


def greeting(session: Session, backend: str) -> list[str]:
    """Return the lines that a chat begins with."""
    about = _DEMO if session.model.name == "demo" else session.model.name
    swarm = "swarmchat" if len(session.swarm.agents) == 1 else session.swarm.name
    lines = [f"{swarm} · {about} · {backend} · session {one_line(session.info.name, 60)}"]
    if session.turns:
        turns = "1 turn" if session.turns == 1 else f"{session.turns} turns"
        lines.append(f"resumed after {turns}; last used {session.info.updated[:16].replace('T', ' ')} UTC")
        for record in _last_exchange(session):
            who = "you" if record.type == "user" else record.agent or "assistant"
            lines.append(f"{who}: {one_line(str(record.message.get('content') or ''), 300)}")
    else:
        if session.model.name == "demo":
            lines.append(_CONNECT)
        lines.append("/help lists the commands, Ctrl-D leaves")
    if session.healed_from is not None:
        lines.append(f"there is no agent {one_line(session.healed_from, 60)} any more; {session.agent.name} goes on")
    lines += [f"record {position} is damaged: {problem}" for position, problem in session.damaged.items()]
    return lines


def _last_exchange(session: Session) -> list[Record]:
    last = [record for record in session.records if record.turn == session.last_turn]
    said = [record for record in last if record.type in ("user", "assistant") and record.message.get("content")]
    # Agents may have said something in between.
    return said[:1] + said[1:][-1:]
