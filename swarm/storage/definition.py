"""The default items of a storage: which are stored already, and the writes needed when the definition has changed.

A storage remembers its definition in a manifest: id, digest of the value and digest of the texts of each default item.
This distinguishes items changed in the definition from items that a tool or a user has changed or removed.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from swarmchat.swarm.common.encoding import encode_json

_DIGEST = 20


class Entry(NamedTuple):
    """A default item as it was last stored: its id, and the digests of its value and of its texts."""

    id: str
    digest: str
    texts: str


class DefaultItem(NamedTuple):
    """A default item in its stored form, with the digests by which it is recognized."""

    value: bytes
    digest: str
    texts: str


@dataclass(frozen=True)
class Manifest:
    """What a storage remembers: its default items, and the embedder of its texts."""

    embedder: str
    entries: Sequence[Entry]

    def encode(self) -> bytes:
        """Return the stored form."""
        return encode_json({"embedder": self.embedder, "items": [list(entry) for entry in self.entries]})


def decode_manifest(value: bytes | None) -> Manifest | None:
    """Return the manifest that is stored as ``value``; ``None`` if there is none, or a damaged one."""
    try:
        content = json.loads(value or b"")
        return Manifest(str(content["embedder"]), [Entry(*map(str, entry)) for entry in content["items"]])
    except (ValueError, KeyError, TypeError):
        return None


def default_item(value: bytes, texts: Sequence[str]) -> DefaultItem:
    """Return the default item that is stored as ``value`` and found by ``texts``."""
    # As JSON of the whole list, which takes several times as long.
    encoded = b"[" + b",".join(map(encode_json, texts)) + b"]"
    return DefaultItem(value, digest_of(value), digest_of(encoded))


def digest_of(value: bytes) -> str:
    """Return a short digest of ``value``."""
    return hashlib.sha256(value).hexdigest()[:_DIGEST]


@dataclass
class Update:
    """The writes that make a storage follow its definition, and what they change."""

    entries: list[Entry] = field(default_factory=list)
    writes: dict[str, bytes | None] = field(default_factory=dict)
    """New values by id; ``None`` removes the item."""
    added: int = 0
    changed: int = 0
    removed: int = 0
    conflicts: int = 0
    """Items that the definition has changed, but a tool or a user as well: these are not written."""
    missing: int = 0
    """Default items that are not stored, of a storage without a manifest: nobody knows whether they were removed."""
    reindexed: int = 0
    """Items whose texts have changed but not their values, because the index has changed."""
    unfit: int = 0
    """Stored items for which the index, which has changed, has no text."""
    embedder: tuple[str, str] | None = None
    """The names of the former embedder and of the present one, if they differ."""

    def __bool__(self) -> bool:
        return bool(self.writes or self.conflicts or self.missing or self.reindexed or self.unfit or self.embedder)

    def summary(self, name: str) -> str:
        """Return one line about the storage ``name`` for the user; empty if there is nothing to report."""
        counts = {"added": self.added, "changed": self.changed, "removed": self.removed}
        changes = ", ".join(f"{count:,} {verb}" for verb, count in counts.items() if count)
        parts = [f"items follow the swarm's definition: {changes}"] if changes else []
        if self.reindexed:
            parts.append(f"the index has changed for {self.reindexed:,} items")
        if self.unfit:
            parts.append(f"{self.unfit:,} items have no text for the index")
        if self.embedder:
            parts.append("the embedder changed from {} to {}: the next search embeds all items".format(*self.embedder))
        if self.conflicts:
            parts.append(f"{self.conflicts:,} changed here and in the definition: your version is kept")
        if self.missing:
            parts.append(f"{self.missing:,} of the definition are not stored")
        if self.conflicts or self.missing:
            parts.append(f"swarmchat storage reload {name} -S SWARM stores the definition's items")
        return f"storage {name}: {'; '.join(parts)}" if parts else ""


def follow(
    defaults: Sequence[DefaultItem],
    before: Sequence[Entry],
    stored: Mapping[str, bytes],
    new_ids: Callable[[int], Sequence[str]],
    *,
    force: bool = False,
) -> Update:
    """Return the update from the entries ``before`` to ``defaults``; ``stored`` are the items by id.

    An item is recognized by its value, else by its texts: then the definition has changed it. With ``force``, the
    definition overrides what tools and users have changed or removed; the items that they have added stay.
    """
    update = Update()
    previous = _match(defaults, before)
    ids = iter(new_ids(len(defaults)))
    for item, entry in zip(defaults, previous, strict=True):
        item_id = next(ids) if entry is None else entry.id
        update.entries.append(Entry(item_id, item.digest, item.texts))
        current = stored.get(item_id)
        if entry is None or (force and current is None):
            update.writes[item_id] = item.value
            update.added += 1
        elif current == item.value or (entry.digest == item.digest and not force):
            update.reindexed += entry.digest == item.digest and entry.texts != item.texts
        elif force or (current is not None and digest_of(current) == entry.digest):
            update.writes[item_id] = item.value
            update.changed += 1
        else:
            update.conflicts += 1
    followed = {entry.id for entry in previous if entry is not None}
    for entry in before:
        if entry.id not in followed and (current := stored.get(entry.id)) is not None:
            if force or digest_of(current) == entry.digest:
                update.writes[entry.id] = None
                update.removed += 1
            else:
                update.conflicts += 1
    return update


def adopt(defaults: Sequence[DefaultItem], stored: Sequence[Entry], new_ids: Callable[[int], Sequence[str]]) -> Update:
    """Return the update of a storage without a manifest, whose items are ``stored``.

    Nothing is written: a default item that is not stored may have been removed, one that differs may have been changed.
    """
    update = Update()
    ids = iter(new_ids(len(defaults)))
    for item, entry in zip(defaults, _match(defaults, stored), strict=True):
        update.missing += entry is None
        update.conflicts += entry is not None and entry.digest != item.digest
        update.entries.append(Entry(next(ids) if entry is None else entry.id, item.digest, item.texts))
    return update


def _match(defaults: Sequence[DefaultItem], before: Sequence[Entry]) -> list[Entry | None]:
    """Return for each of ``defaults`` the entry that it continues; equal ones in their order."""
    matches: list[Entry | None] = [None] * len(defaults)
    used: set[str] = set()
    for digest in ("digest", "texts"):
        candidates: dict[str, list[Entry]] = defaultdict(list)
        for entry in reversed(before):
            if entry.id not in used:
                candidates[getattr(entry, digest)].append(entry)
        for at, item in enumerate(defaults):
            if matches[at] is None and (same := candidates.get(getattr(item, digest))):
                matches[at] = entry = same.pop()
                used.add(entry.id)
    return matches
