"""The pytest plugin: ``pytest --swarmchat`` collects transcripts as tests.

pytest imports it in every run, also in projects without transcripts: everything else is imported when it is needed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from swarmchat.swarm.agents.agent import Swarm
    from swarmchat.swarm.replay.files import RecordedConversation

_MODES = ("verify", "tools", "live")
_YAML = (".yaml", ".yml")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the settings."""
    group = parser.getgroup("swarmchat", "replay of recorded conversations")
    group.addoption("--swarmchat", action="store_true", help="Collect the transcripts of swarmchat as tests.")
    group.addoption("--swarmchat-mode", metavar="MODE", help="verify, tools or live; default: swarmchat_mode.")
    group.addoption("--swarmchat-model", metavar="MODEL", help="Model for live; default: swarmchat_model.")
    parser.addini("swarmchat_swarm", "Swarm that the transcripts are replayed with: a file, a folder or MODULE:NAME.")
    modes = "verify (default): use recorded tool results; tools: run the tools; live: also ask a model."
    parser.addini("swarmchat_mode", modes, default="")
    parser.addini("swarmchat_model", "Model for live.", default="")
    parser.addini("swarmchat_cassette", "Folder that stores the answers of the model.", default="")
    parser.addini(
        "swarmchat_files", "Patterns of transcripts.", type="args", default=["*.jsonl", *(f"*{end}" for end in _YAML)]
    )


def pytest_configure(config: pytest.Config) -> None:
    """Check the settings. Raises UsageError."""
    if not config.getoption("swarmchat"):
        return
    if (mode := _setting(config, "mode") or _MODES[0]) not in _MODES:
        raise pytest.UsageError(f"swarmchat_mode is {mode!r}, expected one of {', '.join(_MODES)}")
    if mode == "live" and not _setting(config, "model"):
        raise pytest.UsageError("swarmchat_mode is 'live', which needs a model: add --swarmchat-model NAME")


def _setting(config: pytest.Config, name: str) -> str:
    """Return an option, or else the setting of that name."""
    return str(config.getoption(f"swarmchat_{name}") or config.getini(f"swarmchat_{name}"))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "TranscriptFile | None":
    """Collect a transcript, if it matches ``swarmchat_files`` or is named on the command line."""
    config = parent.config
    if not config.getoption("swarmchat"):
        return None
    is_named = parent.session.isinitpath(file_path) and file_path.suffix in (".jsonl", ".json", *_YAML)
    if not is_named and not any(file_path.match(pattern) for pattern in config.getini("swarmchat_files")):
        return None
    if not is_named and file_path.suffix in _YAML:
        from swarmchat.swarm.replay.yaml_tests import may_be_test

        if not may_be_test(file_path):
            return None
    return TranscriptFile.from_parent(parent, path=file_path)


class TranscriptFile(pytest.File):
    """A file of conversations, each of which is a test."""

    def collect(self) -> "Iterator[ConversationItem]":
        """Yield the conversations. An invalid file, or an invalid swarm, is an error of the collection."""
        from swarmchat.swarm.errors import SwarmError
        from swarmchat.swarm.replay.selection import plain_name
        from swarmchat.swarm.testing import read_transcript

        try:
            swarm = _swarm_of(self.config)
            conversations = read_transcript(self.path)
        except SwarmError as error:
            raise self.CollectError(str(error)) from error
        names: dict[str, int] = {}
        for conversation in conversations:
            name = plain_name(conversation.name)
            count = names[name] = names.get(name, 0) + 1
            name = f"{name}-{count}" if count > 1 else name
            # pytest parses the ids in its cache. Made of the name alone, one with a "[" would be unlike its own.
            nodeid = f"{self.nodeid}::{name}"
            yield ConversationItem.from_parent(self, name=name, nodeid=nodeid, conversation=conversation, swarm=swarm)


class ConversationItem(pytest.Item):
    """The test that the replay of a conversation gives the same."""

    def __init__(self, *, conversation: "RecordedConversation", swarm: "Swarm | None", **arguments: Any) -> None:
        super().__init__(**arguments)
        self._conversation = conversation
        self._swarm = swarm
        # So -k finds tags. As marks, each would have to be registered.
        self.extra_keyword_matches.update(conversation.tags)

    def runtest(self) -> None:
        """Replay the conversation. Raises AssertionError with the differences, and the errors of a replay."""
        from swarmchat.swarm.testing import replay_recorded

        config, mode = self.config, _setting(self.config, "mode") or _MODES[0]
        model = cassette = None
        if mode == "live":
            model, folder = _setting(config, "model"), config.getini("swarmchat_cassette")
            cassette = _folder(config) / folder if folder else None
        replay_recorded(self.path, self._conversation, self._swarm, mode=mode, model=model, cassette=cassette)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *arguments: Any, **options: Any) -> Any:
        """Return the differences as they are: no line of Python explains them."""
        from swarmchat.swarm.errors import SwarmError

        if isinstance(excinfo.value, AssertionError | SwarmError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, *arguments, **options)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the place of the conversation: the file, the line from 0, and the name."""
        return self.path, self._conversation.line - 1, self.name


_loaded_swarm = pytest.StashKey["Swarm | None"]()


def _swarm_of(config: pytest.Config) -> "Swarm | None":
    """Load the swarm of the settings, once; ``None`` for those that the transcripts name. Raises SwarmError."""
    if _loaded_swarm not in config.stash:
        from swarmchat.swarm.agents.loader import load_swarm

        name = config.getini("swarmchat_swarm")
        config.stash[_loaded_swarm] = load_swarm(name, _folder(config)) if name else None
    return config.stash[_loaded_swarm]


def _folder(config: pytest.Config) -> Path:
    """Return the folder of the settings."""
    return config.rootpath if config.inipath is None else config.inipath.parent
