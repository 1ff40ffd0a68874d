"""Limits on a folder's settings file, which may be somebody else's: it must not act for the user without consent.

Each setting is harmless, needs the user's consent once, or is forbidden: see docs/trust.md. Consent applies to the
file's current content and to the files of the swarm that it names; if these change, the user is asked again.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from swarmchat.cli.errors import ConfigError
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.files import write_atomically

PROJECT_FILE = "swarmchat.toml"
"""The settings file of a folder."""
FORBIDDEN = {
    "api_key_command": "starts a program",
    "hooks": "starts programs",
    "api_key_env": "reads your environment",
    "pass_keys": "hands out your keys",
    "headers": "goes to the server with your key",
    "query": "goes to the server with your key",
    "models": "chooses servers and keys",
    "mcp": "starts programs",
    "mcp_file": "starts programs",
}
"""Settings that a folder's file must not have, and the effect of each."""
_LIFETIME = "decides how long your data is kept"
NEEDS_CONSENT = {
    "swarm": "runs the program of this swarm",
    "system": "instructs the model",
    "model": "chooses who answers, and at what price",
    "fallback": "chooses who answers, and at what price",
    "compact": "makes requests of its own",
    "base_url": "chooses the server that gets your messages",
    "embedding_base_url": "chooses the server that gets your texts",
    "api_key": "sends your messages on somebody's account",
    "profile": "chooses one of your profiles",
    "client": "uses the memory of another client",
    "backend": "chooses where your conversations are stored",
    "redis_url": "chooses where your conversations are stored",
    "data_dir": "chooses where your conversations are stored",
    "durability": "decides whether a power failure may lose turns",
    "lifetime": _LIFETIME,
    "memory_lifetime": _LIFETIME,
    "storage_lifetime": _LIFETIME,
    "embedding_lifetime": _LIFETIME,
    "ban_lifetime": "decides how long bans last",
    "alive_lifetime": "decides how long you count as online",
    "discover": "looks for servers on your machine",
}
"""Settings of a folder's file that need the user's consent, and the effect of each."""
_MAX_FILES = 20_000
"""How many files and folders a swarm's folder may have."""
_CODE = frozenset({".py", ".pyc", ".so", ".pyd", ".toml"})
_CACHE = "__pycache__"
_TABLE = re.compile(r"(?: \[(?:profiles|models)\.[^\]]{1,100}\]){1,2}\Z")
"""The part of an origin after the file."""


def file_of(origin: str) -> Path:
    """Return the file of an origin that is in one."""
    return Path(_TABLE.sub("", origin))


def from_folder(origin: str) -> bool:
    """Whether a setting comes from the current folder, which may belong to somebody else."""
    return file_of(origin).name == PROJECT_FILE


def needs_consent(name: str, value: object) -> bool:
    """Whether a folder may set ``name`` to ``value`` only with the user's consent."""
    if name == "swarm":
        from swarmchat.swarm.agents.loader import EXAMPLES

        return value not in EXAMPLES
    return name in NEEDS_CONSENT


def digest_of(path: Path, content: Mapping[str, Any]) -> str:
    """Return the digest that consent to the file at ``path``, with this ``content``, applies to.

    Raises ConfigError if the folder of its swarm has too many files.
    """
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode("utf-8", "replace"))
    tables = [content, *(each for each in content.get("profiles", {}).values() if isinstance(each, dict))]
    for swarm in sorted({table["swarm"] for table in tables if isinstance(table.get("swarm"), str)}):
        named = path.parent / swarm.partition(":")[0]
        # A file and a module can import everything beside them.
        root = named if named.is_dir() else named.parent
        for file in _code_below(root):
            with suppress(OSError):
                if not file.is_file():
                    continue
                content_of_file = file.read_bytes()
                if file.parent.name != _CACHE or not _is_of_python(content_of_file):
                    digest.update(f"\n{file.relative_to(root)}\n".encode("utf-8", "replace") + content_of_file)
    return digest.hexdigest()


def _code_below(root: Path) -> Iterator[Path]:
    """Yield the files below ``root`` that a program there can import, and TOML files."""
    seen = 0
    # Python follows links to folders, and their targets may change.
    for folder, folders, names in os.walk(root, followlinks=True):
        above = Path(folder).parent.resolve()
        if os.path.islink(folder) and Path(folder).resolve() in (above, *above.parents):
            folders.clear()
            continue
        seen += len(folders) + len(names)
        if seen > _MAX_FILES:
            raise ConfigError(
                f"{root} has more than {_MAX_FILES:,} files, too many to look at whenever swarmchat starts: move the "
                "swarm into a folder of its own, or name it with -S"
            )
        # What Python imports has an identifier as its name. An environment is not part of a repository.
        folders[:] = sorted(
            name for name in folders if name.isidentifier() and not Path(folder, name, "pyvenv.cfg").is_file()
        )
        yield from (Path(folder, name) for name in sorted(names) if Path(name).suffix in _CODE)


def _is_of_python(cached: bytes) -> bool:
    """Whether Python checks a file in its cache against the source, as it does with those that it writes."""
    return cached[4:8] == bytes(4)


class Consents:
    """The folders whose settings the user has consented to, kept in a file of the user's own."""

    def __init__(self, path: Path | None = None) -> None:
        # Not below data_dir, which a folder may set.
        self.path = path or user_data_path("swarmchat") / "trusted.json"

    def all(self) -> dict[str, str]:
        """Return the digests by the paths of settings files; none if the file cannot be read."""
        with suppress(OSError, ValueError):
            stored = decode_json(self.path.read_text("utf-8"))
            if isinstance(stored, dict):
                return {str(path): str(digest) for path, digest in stored.items()}
        return {}

    def has(self, path: Path, content: Mapping[str, Any]) -> bool:
        """Whether the user has consented to ``content`` in the file at ``path``."""
        stored = self.all().get(str(path.resolve()))
        if stored is None:
            return False
        with suppress(ConfigError):
            return stored == digest_of(path, content)
        return False

    def give(self, path: Path, content: Mapping[str, Any]) -> None:
        """Store that the user has consented. Raises OSError, and ConfigError if that is not possible."""
        self._write({**self.all(), str(path.resolve()): digest_of(path, content)})

    def withdraw(self, path: Path) -> bool:
        """Forget the consent; return whether there was one. Raises OSError."""
        stored = self.all()
        if (key := str(path.resolve())) not in stored:
            return False
        del stored[key]
        self._write(stored)
        return True

    def _write(self, consents: Mapping[str, str]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(consents, indent=1).encode(), mode=0o600)
