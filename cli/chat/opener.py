"""Open sessions from the settings, for a chat, a question or a script."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from swarmchat.backends import Backend
from swarmchat.cli.errors import UsageError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.models import choose_model, is_connected, make_model
from swarmchat.cli.settings.resumption import check_swarm, settings_of, swarm_is_missing
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.settings.store import eviction_warning, matching_session, open_store
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.messages import calls_of
from swarmchat.swarm.errors import DefinitionError, SwarmError
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session
from swarmchat.swarm.session.session import Session


def check_names(session: str | None, resume: bool, *, at_prompt: bool = False) -> None:
    """Raise UsageError unless ``-s`` and ``-c`` make sense together. Without a name, one is chosen at the prompt."""
    if session is not None and resume:
        raise UsageError("-s names a session and -c opens the last one: use only one of them")
    if session is not None and not session.strip() and not (at_prompt and session == ""):
        raise UsageError("-s needs the name of a session")


@dataclass
class Opener:
    """Opens sessions of one store, each with the swarm and the model that it used before."""

    settings: Settings
    backend: Backend
    swarm: Swarm
    model: Model
    interactive: bool
    info: SessionInfo | None
    """The session to open first, if it exists."""
    models: list[Model] = field(default_factory=list)
    """All models that were made, to be closed at the end."""
    swarms: list[Swarm] = field(default_factory=list)
    """All swarms that were loaded, likewise."""

    async def open_chat(self, name: str | None, resume: bool, remark: Callable[[str], None]) -> ChatContext:
        """Open a chat in the session ``name``, or with ``resume`` in the last one; ``remark`` prints notes."""
        if self.info is not None:
            name = self.info.id
        elif resume:
            remark(
                f"{self.settings.client_name} has no session on {wiring.backend_name(self.settings)}; a new one starts"
            )

        async def reopen(name: str) -> Session:
            await self._choose(name)
            chat.settings = self.settings
            return await self._open(name)

        chat = ChatContext(await self._open(name), self.settings, self.make_model, reopen)
        if calls := unfinished_calls(chat.session):
            remark(f"interrupted when the program ended, may have taken effect: {', '.join(calls)}")
        for task in unfinished_tasks(chat.session):
            remark(f"{one_line(task, 300)}: it was interrupted when the program ended; what its tools did stays")
        if chat.session.agent.is_person:
            remark(f"you wait for {chat.session.agent.name}, a person, or talk with one: /back returns to an agent")
        for start in chat.session.tasks.interrupted:
            remark(f"task {start.task} was interrupted when the program ended; /task {start.task} again repeats it")
        for warning in (await eviction_warning(self.backend), await self._renaming(chat.session)):
            if warning:
                remark(warning)
        return chat

    async def _renaming(self, session: Session) -> str:
        """Return a warning if the swarm has another name than before, and so does not see what it has kept."""
        source, scope = (session.settings.resume_with or {}).get("swarm", ""), self.swarm.scope
        if not source:
            return ""
        # The plain assistant does without.
        from swarmchat.swarm.agents.loader import EXAMPLES

        if source in EXAMPLES:
            return ""
        from swarmchat.swarm.archive.renaming import kept_under, notice_name

        client = session.info.client
        before = await notice_name(self.backend, client, source, scope)
        began = session.primitives.session_scope
        kinds = [] if before is None else await kept_under(self.backend, client, before)
        if session.info.states and began != scope and began == before:
            kinds.append("the states of this session")
        if not kinds:
            return ""
        return (
            f"warning: the swarm in {one_line(source, 200)} was {before!r} before and is {scope!r} now: what is kept "
            f"under the old name is not in use ({', '.join(kinds)}). namespace = {before!r} in the swarm takes it over"
        )

    def make_model(self, settings: Settings) -> Model:
        """Make the model of ``settings`` for a command. Raises UsageError if no server is known, and ConfigError."""
        # Without a server the demo model answers in place of all others, but not when the user asks for one of them.
        if settings.model != "demo" and not is_connected(settings):
            raise UsageError(f"no server to ask for {settings.model!r}: set OPENAI_API_KEY, or give --base-url URL")
        model = make_model(settings, interactive=self.interactive, swarm=self.swarm)
        self.models.append(model)
        return model

    async def _open(self, name: str | None) -> Session:
        settings = self.settings
        session = await Session.open(
            self.backend,
            self.model,
            client=settings.client_name,
            name=name,
            swarm=self.swarm,
            settings=wiring.session_settings(settings),
            models=self._make_model,
            hooks=wiring.make_hooks(settings),
        )
        if settings.locale is not None:
            try:
                await session.primitives.memory.set("locale", settings.locale)
            except BaseException:
                await session.close()
                raise
        return session

    async def _choose(self, name: str) -> None:
        """Use the swarm and the model of the stored session ``name`` from now on; for a new one, those in use."""
        info = await find_session(self.backend, self.settings.client_name, name)
        settings = settings_of(self.settings, info, options=False)
        if (settings.swarm, settings.system) != (self.settings.swarm, self.settings.system):
            self.swarm = load_swarm_of(settings, info)
            self.swarms.append(self.swarm)
        check_swarm(settings, info, self.swarm)
        if (settings.model, settings.base_url) != (self.settings.model, self.settings.base_url):
            self.model = make_model(settings, interactive=self.interactive, swarm=self.swarm)
            self.models.append(self.model)
        self.settings = settings

    def _make_model(self, name: str) -> Model:
        return make_model(self.settings, interactive=self.interactive, swarm=self.swarm, name=name)


def unfinished_calls(session: Session) -> list[str]:
    """Return the names of the tools that were called in the last turn without a result: their process has died."""
    last = [record for record in session.records if record.turn == session.last_turn]
    finished = {record.message.get("tool_call_id") for record in last if record.type == "tool"}
    calls = [call for record in last if record.type == "assistant" for call in calls_of(record.message)]
    # See unfinished_tasks.
    agents = {tool.name for agent in session.swarm.agents for tool in agent.own_tools if tool.gives_task}
    return [one_line(call.name, 80) for call in calls if call.id not in finished and call.name not in agents]


def unfinished_tasks(session: Session) -> list[str]:
    """Return the tasks of the last turn that a process which died has left, each in a line."""
    last = [record for record in session.records if record.turn == session.last_turn]
    if not any(record.type == "task" for record in last):
        return []
    from swarmchat.swarm.archive.task_summaries import tasks_of

    return [f"task {task.id}, {task.agent}: {task.text}" for task in tasks_of(last).values() if not task.status]


def load_swarm_of(settings: Settings, info: SessionInfo | None) -> Swarm:
    """Return the swarm of ``settings``. Raises ConfigError if the session ``info`` names one that cannot be loaded."""
    try:
        return wiring.make_swarm(settings)
    except DefinitionError as error:
        if info is not None and settings.origins.get("swarm", "").startswith("session"):
            raise swarm_is_missing(info, error) from error
        raise


@asynccontextmanager
async def opening(settings: Settings, session: str | None, resume: bool, *, interactive: bool) -> AsyncIterator[Opener]:
    """Open the store, and the swarm and the model of the session that is meant; close them when the context ends."""
    async with open_store(settings) as store:
        info = await store.find(session) if session is not None or resume else None
        if info is None and session is not None and interactive:
            # Not in scripts: a new name must not open another session because that begins so.
            info = matching_session(await store.sessions(), session)
        settings = await choose_model(settings_of(settings, info))
        swarm = load_swarm_of(settings, info)
        check_swarm(settings, info, swarm)
        model = make_model(settings, interactive=interactive, swarm=swarm)
        opener = Opener(settings, store.backend, swarm, model, interactive, info, [model], [swarm])
        try:
            yield opener
        finally:
            for each in opener.models:
                with suppress(SwarmError):
                    await each.close()
            for loaded in opener.swarms:
                await wiring.close_swarm(loaded)
