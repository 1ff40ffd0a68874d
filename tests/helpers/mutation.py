"""A changed swarm, and which mode of a replay notices the change in a recorded and in a hand-written conversation."""

import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chats import ticking_clock
from swarmchat.backends import open_backend
from swarmchat.swarm import ScriptedModel, Session, SessionSettings, SwarmError
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.replay.files import RecordedConversation, read_conversations
from swarmchat.swarm.replay.runner import Replayed, replay

COLUMNS = (("recorded", "verify"), ("recorded", "tools"), ("written", "verify"), ("written", "tools"))


@dataclass(frozen=True)
class Mutation:
    """A change of a swarm: each of ``replacements`` is an old text of its source with the new one."""

    name: str
    replacements: tuple[tuple[str, str], ...]
    harmless: bool = False

    def apply(self, source: str) -> str:
        """Return the changed ``source``."""
        for old, new in self.replacements:
            assert old in source, f"{self.name}: {old!r} is not in the source"
            source = source.replace(old, new)
        return source


def change(name: str, *texts: str) -> Mutation:
    return Mutation(name, tuple(zip(texts[::2], texts[1::2], strict=True)))


def harmless(name: str, *texts: str) -> Mutation:
    return Mutation(name, tuple(zip(texts[::2], texts[1::2], strict=True)), harmless=True)


@dataclass(frozen=True)
class Scene:
    """A swarm, and the same conversation with it twice: as ``talk`` holds it, and as it is written by hand."""

    source: str
    answers: Sequence[Any] | Mapping[str, Sequence[Any]]
    """The answers of the model to ``talk``; a mapping holds those of each agent."""
    talk: Callable[[Session], Awaitable[None]]
    written: Sequence[Mapping[str, Any]]
    mutations: Sequence[Mutation]
    settings: SessionSettings = field(default_factory=SessionSettings)

    async def record(self, folder: Path) -> None:
        """Write the two conversations into ``folder``: recorded.jsonl and written.jsonl."""
        (folder / "swarm.py").write_text(self.source)
        swarm = load_swarm("swarm.py", folder)

        async def approver(tool: Any, call: Any) -> bool | str:
            return '{"amount": 8.0}' if tool.name == "pay" else True

        backend = open_backend("memory:")
        model = ScriptedModel(self.answers, name="gpt-4o-mini")
        session = await Session.open(
            backend,
            model,
            client="ann",
            name="tea",
            swarm=swarm,
            settings=self.settings,
            approver=approver,
            clock=ticking_clock(),
        )
        async with session:
            await self.talk(session)
        lines = await backend.slice(keys.session_log("ann", "tea"), 0)
        (folder / "recorded.jsonl").write_bytes(b"\n".join(lines) + b"\n")
        written = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.written)
        (folder / "written.jsonl").write_text(written, "utf-8")

    async def findings(self, mutations: Sequence[Mutation]) -> list["Finding"]:
        """Replay both conversations with each changed swarm."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            await self.record(folder)
            suites = {suite: (await read_conversations(folder / f"{suite}.jsonl"))[0] for suite, _ in COLUMNS}
            paths = [folder / f"swarm_{n}.py" for n in range(len(mutations))]
            return [await self._find(*each, suites) for each in zip(mutations, paths, strict=True)]

    async def _find(self, mutation: Mutation, path: Path, suites: Mapping[str, RecordedConversation]) -> "Finding":
        path.write_text(mutation.apply(self.source), "utf-8")  # noqa: ASYNC240 - nothing else runs
        replays: dict[tuple[str, str], Replayed | str] = {}
        for suite, mode in COLUMNS:
            backend = open_backend("memory:")
            try:
                swarm = load_swarm(path.name, path.parent)
                replays[suite, mode] = await replay(suites[suite], backend, swarm=swarm, mode=mode)
            except SwarmError as error:
                replays[suite, mode] = str(error)
            await backend.close()
        return Finding(mutation, replays)


@dataclass(frozen=True)
class Finding:
    """What the replays of a changed swarm say, by column."""

    mutation: Mutation
    replays: Mapping[tuple[str, str], Replayed | str]

    def noticed(self, column: tuple[str, str]) -> bool:
        """Whether the replay fails."""
        replayed = self.replays[column]
        return isinstance(replayed, str) or not replayed.same

    @property
    def row(self) -> str:
        """The row of the table in docs/replay.md."""
        marks = ["fails" if self.noticed(column) else "-" for column in COLUMNS]
        return f"| {self.mutation.name} | {' | '.join(marks)} |"
