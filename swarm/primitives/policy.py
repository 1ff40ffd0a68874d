"""Policies, which reject texts of users or answers of agents, and bans of clients."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from swarmchat.swarm.common.author_functions import call_author_function
from swarmchat.swarm.common.encoding import encode_json, folded_text
from swarmchat.swarm.common.mistakes import SECONDS, Expected, check_value, explained, optional, shown
from swarmchat.swarm.common.patterns import BoundedPattern
from swarmchat.swarm.errors import DefinitionError, HookError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import timestamp
from swarmchat.swarm.persistence.store import Store

Check = Callable[[str], bool | Awaitable[bool]]

Rule = str | Sequence[str] | Check
"""A regular expression, a list of words (matched whole, in any case), or a function that returns True to reject."""


def _is_rule(value: object) -> bool:
    words = isinstance(value, Sequence) and all(isinstance(word, str) for word in value)
    return value is None or words or callable(value)


_RULE = Expected("a regular expression, a list of words, or a function of the text", _is_rule)


@explained
@dataclass(frozen=True)
class Policy:
    """Rejects texts and, if ``ban`` is set, bans the client. Raises DefinitionError if it is invalid."""

    name: str
    reject_input: Rule | None = None
    """Texts that the user may not write; checked before any agent sees them."""
    reject_output: Rule | None = None
    """Answers that an agent may not give; checked before the user sees them, so answers do not stream."""
    ban: bool = False
    """Whether the client is banned when a text of the user is rejected."""
    ban_for: float | None = None
    """The length of a ban in seconds. ``None``: until it is lifted."""
    message: str = "I cannot talk about that."
    """The answer that the user gets instead."""
    normalize: bool = True
    """Whether words and names of clients are compared without case, form (NFKC) and characters that show nothing."""
    _input: Check = field(init=False, repr=False, compare=False)
    _output: Check = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.reject_input is None and self.reject_output is None:
            raise DefinitionError(f"policy {self.name!r}: give it reject_input, reject_output or both")
        for name in ("reject_input", "reject_output"):
            check_value(f"policy {self.name!r}", name, getattr(self, name), _RULE)
        check_value(f"policy {self.name!r}", "ban_for", self.ban_for, optional(SECONDS))
        object.__setattr__(self, "_input", _check_of(self, self.reject_input))
        object.__setattr__(self, "_output", _check_of(self, self.reject_output))

    async def rejects_input(self, text: str) -> bool:
        """Whether the user may not write ``text``. Raises HookError."""
        return await self._rejects(self._input, text)

    async def rejects_output(self, text: str) -> bool:
        """Whether an agent may not answer ``text``. Raises HookError."""
        return await self._rejects(self._output, text)

    async def _rejects(self, check: Check, text: str) -> bool:
        rejects: object = await call_author_function(f"policy {self.name!r}", check, text)
        if not isinstance(rejects, bool):
            # A function without its return would let everything through.
            expected = "True to reject a text, or False: return one of them in every case, as bool(…) does"
            raise HookError(f"policy {self.name!r} returned {shown(rejects)}, expected {expected}")
        return rejects


@dataclass(frozen=True)
class Ban:
    """A ban of a client, with the policy, the reason and the time."""

    client: str
    policy: str
    why: str
    since: str
    until: str | None = None
    """When it ends by itself; ``None`` if it does not."""


class PersistPolicy:
    """The bans by one policy of the swarms with ``scope``.

    Each has its own key, so every process sees it at its next check.
    """

    def __init__(self, store: Store, scope: str, policy: str, *, normalize: bool = True) -> None:
        self._store = store
        self._scope = scope
        self._policy = policy
        self._normalize = normalize

    async def ban(self, client: str, why: str, since: str, seconds: float | None = None) -> Ban:
        """Ban ``client`` for ``seconds`` from ``since``; ``None``: for as long as the store keeps bans."""
        lifetime = self._store.lifetimes.ban if seconds is None else seconds
        until = None if lifetime is None else _later(since, lifetime)
        ban = Ban(client, self._policy, why, since, until)
        value = encode_json(asdict(ban))
        await self._store.update(self._key(client), lambda stored: value, lifetime)
        return ban

    async def lift(self, client: str) -> bool:
        """Lift the ban of ``client``; return whether it was banned."""
        banned = await self.find(client) is not None
        await self._store.update(self._key(client), lambda stored: None)
        return banned

    async def find(self, client: str) -> Ban | None:
        """Return the ban of ``client``, or ``None`` if it is not banned."""
        stored = await self._store.read(self._key(client))
        return None if stored is None else _parse(stored, client, self._policy)

    async def list(self) -> list[Ban]:
        """Return all bans by this policy, by client."""
        prefix = keys.policy_bans(self._scope, self._policy)
        return [_parse(value, "?", self._policy) async for _, value in self._store.backend.scan(prefix)]

    def _key(self, client: str) -> str:
        name = keys.folded_client(client) if self._normalize else client
        return keys.policy_ban(self._scope, self._policy, name)


def _later(moment: str, seconds: float) -> str | None:
    """Return the time ``seconds`` after ``moment``, both as in records; ``None`` for one that no calendar has."""
    try:
        return timestamp(datetime.fromisoformat(moment) + timedelta(seconds=seconds))
    except (ValueError, OverflowError):
        return None


def _parse(stored: bytes, client: str, policy: str) -> Ban:
    try:
        fields = json.loads(stored)
        until = fields.get("until")
        since = str(fields["since"])
        return Ban(str(fields["client"]), policy, str(fields["why"]), since, until if isinstance(until, str) else None)
    except (ValueError, TypeError, KeyError):
        # A ban that cannot be read still bans.
        return Ban(client, policy, "(unreadable)", "")


def _check_of(policy: Policy, rule: Rule | None) -> Check:
    """Return the function that carries out ``rule``. Raises DefinitionError for an invalid one."""
    if rule is None:
        return lambda text: False
    if callable(rule):
        return rule
    fold = folded_text if policy.normalize else str
    if isinstance(rule, str):
        try:
            pattern = BoundedPattern(rule, ignore_case=True)
        except re.error as error:
            problem = f"policy {policy.name!r}: {rule!r:.200} is not a valid regular expression ({error})"
            raise DefinitionError(problem) from error
        return lambda text: any(pattern.search(each) for each in (text, fold(text)))
    words = [fold(word) for word in rule]
    if not all(word.strip() for word in words):
        raise DefinitionError(f"policy {policy.name!r}: {list(rule)!r} has a word without a letter: remove it")
    # Not \b: a word may start or end with another character, as "C++" does.
    words_pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE)
    return lambda text: words_pattern.search(fold(text)) is not None
