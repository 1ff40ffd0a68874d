"""The keys of everything that is stored in a backend; no other module makes keys.

Every component is escaped before it is joined, so that no name of a client, session or state, however hostile, can
collide with another key. All keys of one client carry the client as a Redis Cluster hash tag (``{client}``), so that
one commit can write any of them:
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
"""

import hashlib
import re

from swarmchat.swarm.common.encoding import folded_text

ROOT = "swarmchat:1:"
"""Namespace and layout version."""

_UNSAFE = re.compile(rb"[^A-Za-z0-9_.@+-]")
_LONGEST = 200
_SAFE = re.compile(r"[A-Za-z0-9_.@+-]{1,200}")
"""What stays as it is."""
_DIGEST_MARK = "~"


def escape(component: str) -> str:
    """Return ``component`` as text of ``A-Z a-z 0-9 _ . @ + - % ~``, different for different components.

    Other bytes of the UTF-8 form become ``%XX``; the empty text becomes ``%``. A component whose escaped form
    would be longer than 200 characters is cut and ends in ``~`` and its sha256, so that keys stay short.
    """
    if _SAFE.fullmatch(component):
        return component
    raw = component.encode("utf-8", "surrogatepass")
    safe = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii") or "%"
    if len(safe) <= _LONGEST:
        return safe
    return safe[:100] + _DIGEST_MARK + hashlib.sha256(raw).hexdigest()


def session_log(client: str, session: str) -> str:
    """Return the key of the list of a session's records."""
    return f"{_session(client, session)}log"


def session_lease(client: str, session: str) -> str:
    """Return the key of the lease of a session."""
    return f"{_session(client, session)}lease"


def session_mailbox(client: str, session: str) -> str:
    """Return the key of the list of messages that wait for a session."""
    return f"{_session(client, session)}mailbox"


def session_index(client: str, session: str) -> str:
    """Return the key of a session's entry in the list of sessions."""
    return f"{sessions(client)}{escape(session)}"


def owned(client: str | None) -> str:
    """Return the prefix of a client's keys, except bans and presence; ``None`` for data that all clients share."""
    # No escaped name starts with ~.
    return f"{ROOT}{{{'~shared' if client is None else escape(client)}}}:"


def sessions(client: str) -> str:
    """Return the prefix of the list of a client's sessions."""
    return f"{owned(client)}sessions:"


def swarm_scope(client: str, source: str) -> str:
    """Return the key of the scope that the swarm in the file or module ``source`` had when ``client`` last used it."""
    return f"{owned(client)}scope:{escape(source)}"


def session_deletion(client: str, session: str) -> str:
    """Return the key of the mark that a session was deleted, for a process that had it open and was stopped."""
    return f"{owned(client)}deleted:{escape(session)}"


def session_swarm(client: str, session: str) -> str:
    """Return the key of the active agent and the navigation stack, which are one value."""
    return f"{_session(client, session)}swarm"


def session_states(client: str, session: str) -> str:
    """Return the prefix of the states of a session."""
    return f"{_session(client, session)}state:"


def session_state(client: str, session: str, name: str) -> str:
    """Return the key of one state of a session."""
    return f"{session_states(client, session)}{escape(name)}"


def session_blobs(client: str, session: str) -> str:
    """Return the key of the list of the digests of a session's blobs."""
    return f"{_session(client, session)}blobs"


def session_blob(client: str, session: str, digest: str) -> str:
    """Return the key of one blob of a session."""
    return f"{_session(client, session)}blob:{escape(digest)}"


def shared_states() -> str:
    """Return the prefix of the states that all clients share."""
    return f"{owned(None)}state:"


def shared_state(name: str, scope: str) -> str:
    """Return the key of a state that all clients share in the swarms with ``scope``."""
    return shared_states() + scoped(name, scope)


def common_memory(client: str) -> str:
    """Return the key of the memory of a client from before each scope had its own; also the prefix of all of them."""
    return f"{owned(client)}memory"


def memory(client: str, scope: str) -> str:
    """Return the key of the memory of a client in the swarms with ``scope``."""
    return f"{common_memory(client)}:{escape(scope)}"


def scoped(name: str, scope: str | None) -> str:
    """Return the part of keys that stands for ``name`` in the swarms with ``scope``.

    ``None`` is for storages from before each swarm had its own.
    """
    return escape(name) if scope is None else f"{escape(scope)}/{escape(name)}"


def storage_items(client: str | None, path: str) -> str:
    """Return the prefix of the items of a storage; ``client`` is ``None`` for one that all clients share."""
    return f"{owned(client)}storage:{path}:"


def storage_version(client: str | None, path: str) -> str:
    """Return the key of the version of a storage: changed by each write, missing until it has its first items."""
    return f"{storage_versions(client)}{path}"


def storage_versions(client: str | None) -> str:
    """Return the prefix of the versions of all storages that ever had items."""
    return f"{owned(client)}storage-version:"


def storage_changes(client: str | None, path: str) -> str:
    """Return the key of the list of a storage's latest changes."""
    return f"{owned(client)}storage-changes:{path}"


def storage_manifest(client: str | None, path: str) -> str:
    """Return the key of a storage's manifest, which describes its definition."""
    return f"{owned(client)}storage-manifest:{path}"


def embedding(model: str, text: str) -> str:
    """Return the key of the vector of ``text``. All vectors of a model share a slot, so one commit can write them."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{ROOT}embedding:{{{escape(model)}}}:{digest}"


def bans() -> str:
    """Return the prefix of all bans."""
    return f"{ROOT}policy:"


def is_ban_of(key: str, client: str) -> bool:
    """Whether ``key``, which starts as ``bans``, is a ban of ``client``, by a policy of any kind."""
    return key.endswith((f":{{{escape(client)}}}", f":{{{escape(folded_client(client))}}}"))


def folded_client(client: str) -> str:
    """Return the name that ``client`` has in the bans of policies that normalize."""
    return folded_text(client).strip()


def policy_bans(scope: str, policy: str) -> str:
    """Return the prefix of the bans by a policy of the swarms with ``scope``.

    Each ban is a key, so no process overwrites another's.
    """
    return f"{bans()}{escape(scope)}:{escape(policy)}:"


def policy_ban(scope: str, policy: str, client: str) -> str:
    """Return the key of the ban of a client by a policy."""
    return f"{policy_bans(scope, policy)}{{{escape(client)}}}"


def alive_sessions(swarm: str) -> str:
    """Return the prefix of the presence of all clients of a swarm."""
    return f"{ROOT}alive:{escape(swarm)}:"


def alive(swarm: str, client: str, session: str) -> str:
    """Return the key that exists while a client is online in a session."""
    return f"{alive_sessions(swarm)}{{{escape(client)}}}:{escape(session)}"


def tickets(swarm: str) -> str:
    """Return the prefix of the tickets of a swarm: of the sessions that wait for an operator or have one."""
    return f"{ROOT}ticket:{escape(swarm)}:"


def ticket(swarm: str, client: str, session: str) -> str:
    """Return the key of the ticket of a session."""
    return f"{tickets(swarm)}{{{escape(client)}}}:{escape(session)}"


def ticket_index(swarm: str) -> str:
    """Return the key of the references to the tickets of a swarm, which lie in the hash slots of their clients."""
    return f"{owned(None)}tickets:{escape(swarm)}"


def operator_lease(client: str, session: str) -> str:
    """Return the key of the lease of the operator who has taken a session."""
    return f"{_session(client, session)}operator"


def desks(swarm: str) -> str:
    """Return the key of the list of the desks of a swarm: the ids of operators' processes."""
    return f"{owned(None)}desks:{escape(swarm)}"


def desk(desk: str) -> str:
    """Return the key that exists while a desk is open."""
    return f"{owned(None)}desk:{escape(desk)}"


def desk_bell(desk: str) -> str:
    """Return the key of the list that has values when a desk has something to look at."""
    return f"{owned(None)}desk-bell:{escape(desk)}"


def trial(nonce: str) -> str:
    """Return a key for testing whether a backend works. ``nonce`` makes it unique."""
    return f"{ROOT}{{~trial}}:{escape(nonce)}"


def _session(client: str, session: str) -> str:
    return f"{owned(client)}session:{escape(session)}:"
