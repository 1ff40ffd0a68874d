"""A session that goes the way of a recorded one: with the windows, models and bans that it had."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.replay.recorded_model import Recording, ReplayModel, edit_again
from swarmchat.swarm.replay.script import Action
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.tools.context import Context
from swarmchat.swarm.tools.toolset import Toolset


class ReplaySession(Session):
    """Asks what its ``recording`` holds; ``follows`` says that the window and the model are those of then too."""

    recording: Recording
    about: Mapping[str, Any]
    """What the transcript says of itself."""
    follows = True
    told_reserve: int | None = None
    """What was set to be kept for the answer when the session was new."""

    async def toolset(self) -> Toolset:
        """Return what may be called in the next request, which is about to be made, or stop where it was not made."""
        action = self.recording.action
        if action is not None and self.follows:
            if action.requests:
                self.take_request(action.requests.popleft())
            elif action.breaks_off and not action.outputs:
                await self.recording.stopped_here(killed=action.killed)
        return await super().toolset()

    def take_request(self, request: Record) -> None:
        """Have the window and the model that ``request`` had."""
        data = request.data
        window, reserve = data.get("window"), data.get("reserve")
        if isinstance(window, int):
            told = replace(self.settings, context_window=window, reserve=self.told_reserve)
            # Somebody may have opened it with another one.
            self.settings = told if told.budget(window).reserve == reserve else replace(told, reserve=reserve)
        if isinstance(data.get("model"), str) and (self.agent.model is None or self._models is None):
            self.model = ReplayModel(self.recording, data["model"])

    def was_opened_again(self, action: Action) -> bool:
        """Whether the session was closed before ``action``: a window that a server had made smaller is large again."""
        if not (action.requests and self.follows):
            return False
        window = action.requests[0].data.get("window")
        return isinstance(window, int) and self._view.window is not None and window > self._view.window

    async def commit(self, records: Sequence[Record], changes: ChangeSet | None = None, *, keep: bool = False) -> None:
        """Store ``records``, unless the process died before it could."""
        if not self.recording.killed:
            await super().commit(records, changes, keep=keep)

    def tool_context(self, call_id: str = "", changes: ChangeSet | None = None) -> Context:
        """Return what a prompt or a tool is given: client and session are called what they were called then."""
        ctx = super().tool_context(call_id, changes)
        ctx.client = str(self.about.get("client") or ctx.client)
        ctx.session = str(self.about.get("id") or ctx.session)
        return ctx

    async def set_bans(self, record: Record) -> None:
        """Have the client banned as it was when it wrote what ``record`` tells of."""
        client = self.info.client
        banned_before = record.data.get("policy") if record.data.get("before") else None
        for policy in self.swarm.policies:
            if policy.name != banned_before:
                await self.primitives.policy(policy.name).lift(client)
        if banned_before is not None:
            with suppress(DefinitionError):
                await self.primitives.policy(str(banned_before)).ban(client, "", record.ts)

    async def write_again(self, action: Action) -> None:
        """Append what others wrote to the log, or what was never sent."""
        if self.recording.killed:
            return
        if action.kind == "change":
            changes = ChangeSet()
            for record in action.records:
                edit_again(record, self, changes)
            await self.commit([], changes)
            return
        first = self.session_record()
        pending = [] if first is None else [first]
        for record in action.records:
            seq = self.journal.log.next_seq + len(self.journal.unsaved) + len(pending)
            pending.append(replace(record, seq=seq))
        await self.commit(pending)
