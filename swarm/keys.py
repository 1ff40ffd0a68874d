"""Where everything lies in a backend: the only place that makes keys.

Every component is escaped before it is joined, so that no name of a client, session or state, however hostile, can
reach another key. All keys of one client carry the client as a Redis Cluster hash tag (``{client}``), so that one
commit can write any of them: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
"""

import hashlib
import re

ROOT = "swarmchat:1:"
"""Namespace and layout version."""

_UNSAFE = re.compile(rb"[^A-Za-z0-9_.@+-]")
_LONGEST = 200
_DIGEST_MARK = "~"


def escape(component: str) -> str:
    """Return ``component`` as text of ``A-Z a-z 0-9 _ . @ + - % ~``, different for different components.

    Other bytes of the UTF-8 form become ``%XX``; the empty text becomes ``%``. A component whose escaped form
    would be longer than 200 characters is cut and ends in ``~`` and its sha256, so that keys stay short.
    """
    raw = component.encode("utf-8", "surrogatepass")
    safe = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii") or "%"
    if len(safe) <= _LONGEST:
        return safe
    return safe[:100] + _DIGEST_MARK + hashlib.sha256(raw).hexdigest()


def session_log(client: str, session: str) -> str:
    """Return the key of the list of a session's records."""
    return f"{_session(client, session)}log"


def session_lease(client: str, session: str) -> str:
    """Return the key of the lease that lets one process at a time write to a session."""
    return f"{_session(client, session)}lease"


def session_index(client: str, session: str) -> str:
    """Return the key of the entry that lists a session."""
    return f"{sessions(client)}{escape(session)}"


def sessions(client: str) -> str:
    """Return the prefix of the entries of all sessions of a client."""
    return f"{ROOT}{{{escape(client)}}}:sessions:"


def _session(client: str, session: str) -> str:
    return f"{ROOT}{{{escape(client)}}}:session:{escape(session)}:"
