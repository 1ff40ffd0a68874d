"""The loop of a chat at a terminal: read a message or a command, carry it out, read the next one."""

import asyncio
import os
import shlex
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from swarmchat.backends import BackendError
from swarmchat.cli.app.signals import on_signals
from swarmchat.cli.attachments.message import text_in, with_files
from swarmchat.cli.attachments.paths import RESOURCE_MENTION, mentioned, misspelled
from swarmchat.cli.chat.approval import Approvals
from swarmchat.cli.chat.mail import MailWatch
from swarmchat.cli.chat.questions import QuestionPrompt, Questions
from swarmchat.cli.chat.startup_work import StartupWork
from swarmchat.cli.errors import CliError
from swarmchat.cli.prompt.entry import Entered
from swarmchat.cli.prompt.prompt import Prompt
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import LeaveChat, is_command
from swarmchat.cli.terminal.notification import notification
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.session.session import Session

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.events import Event
    from swarmchat.swarm.turn.question import Asked

_T = TypeVar("_T")

_AGAIN = 2.0
"""Seconds within which a second Ctrl-C at an empty prompt leaves."""
_YOU = "you"


class Repl:
    """A chat at a terminal, which begins with the command ``first``."""

    def __init__(self, chat: ChatContext, renderer: Renderer, draft: str = "", first: str = "") -> None:
        self._chat = chat
        self._renderer = renderer
        self._prefill = draft
        """Text to put at the next prompt."""
        self._revising = False
        """Whether the text at the next prompt is that of a turn that ``/edit`` has undone."""
        self._retried = 0
        """The turn that ``/retry`` has undone, while it is asked again."""
        self._work: asyncio.Future[Any] | None = None
        """The turn or command that is running."""
        self._stopped = False
        """Whether the user stopped the last work."""
        self._answering = False
        """Whether it is a turn that is running."""
        self._prompt = Prompt(chat, renderer, self._stop, self._steer)
        self._queue = self._prompt.queue
        if first:
            self._queue.append(Entered(first, first))
        self._questions = QuestionPrompt(renderer, self._prompt)
        chat.session.conversation.approver = Approvals(chat, self._questions).ask
        chat.session.conversation.answerer = Questions(self._questions).ask
        chat.session.primitives.embedding_progress = renderer.embedding
        chat.session.primitives.tool_progress = renderer.tool_progress
        renderer.show_typed(self._prompt.typing_status)
        renderer.thoughts.mode = chat.settings.thoughts
        renderer.show_waiting(self._starting_servers)
        self._background = StartupWork(self._prompt.app, chat, renderer)
        self._mail = MailWatch(chat, self._prompt)

    async def run(self) -> None:
        """Chat until the user leaves."""
        try:
            await self._run()
        finally:
            # Also if a signal ends the program.
            await self._end_revision()

    async def _run(self) -> None:
        continued = on_signals(lambda name: self._prompt.resume(), "SIGCONT")
        with on_signals(self._interrupt, "SIGINT"), continued, self._prompt.quiet():
            interrupted_at = -_AGAIN
            while True:
                try:
                    entered = await self._next_entry()
                except EOFError:
                    return
                except KeyboardInterrupt:
                    if self._revising:
                        await self._end_revision()
                        continue
                    if time.monotonic() - interrupted_at < _AGAIN:
                        return
                    interrupted_at = time.monotonic()
                    self._renderer.remark("Ctrl-C again within 2 s or Ctrl-D leaves; the session stays")
                    continue
                interrupted_at = -_AGAIN
                try:
                    if entered is None:
                        await self._receive()
                        continue
                    await self._handle(entered)
                except LeaveChat:
                    return

    def _starting_servers(self) -> str:
        servers = self._chat.session.swarm.mcp_servers
        names = [] if servers is None else servers.starting
        return f"starting {', '.join(names)}" if names else ""

    def _interrupt(self, name: str) -> None:
        if self._questions.interrupt():
            return
        if self._work is not None:
            self._stop()
        elif self._prompt.app.is_running:
            # The signal was sent by another program: at the prompt, Ctrl-C is a key.
            self._prompt.app.key_processor.send_sigint()

    def _stop(self) -> None:
        """Stop the running work; a second time, also work that ignored the first."""
        if self._work is not None:
            self._stopped = True
            self._work.cancel()

    def _steer(self, text: str) -> bool:
        """Send ``text`` with the next request of the running turn; return whether a turn is running."""
        if self._answering:
            self._chat.session.steering.add(text)
        return self._answering

    async def _follow(self, events: "AsyncGenerator[Event, None]") -> None:
        """Show the events of a turn; messages that came too late for it are put at the head of the queue."""
        session, self._answering = self._chat.session, True
        try:
            await self._renderer.follow(events, session.agent.name)
        finally:
            self._answering = False
            unsent = [Entered(text, text) for text in session.steering.take_unsent()]
            self._queue.extendleft(reversed(unsent))

    async def _next_entry(self) -> Entered | None:
        """Return the first message of the queue, or the user's input; None if a message has arrived."""
        self._background.print_lines()
        if self._prefill:
            self._pause_queue()
        if queued := self._queue.next():
            self._renderer.entered(_YOU, queued.folded)
            return queued
        prefill, self._prefill = self._prefill, ""
        # What arrives while a question is edited would come before the one that it replaces.
        with nullcontext() if self._revising else self._mail.watching():
            entered = await self._prompt.ask(self._renderer.head(_YOU), prefill, revising=self._revising)
        if entered is not None and not entered.text.strip():
            # Enter at an empty prompt sends the queue.
            self._queue.paused = False
        return entered

    async def _receive(self) -> None:
        """Show the messages that have arrived, and the turns of the agents that they wake."""
        session, turns = self._chat.session, self._chat.session.info.highest_turn
        work = self._follow(self._mail.events())
        try:
            await self._stoppable(work, lambda: _stop_remark(session, turns))
        except (SwarmError, BackendError) as error:
            await self._fail(error)

    def _pause_queue(self) -> None:
        """Send nothing from the queue until the user says so."""
        if self._queue and not self._queue.paused:
            self._queue.paused = True
            self._renderer.remark(f"{len(self._queue)} queued: Enter sends, Up takes the last one back, Ctrl-C drops")

    async def _handle(self, entered: Entered) -> None:
        """Carry out a command or send a message."""
        text, draft = entered.text, entered.folded
        if is_command(text) or not text.strip():
            await self._end_revision()
        try:
            if is_command(text):
                message = await self._stoppable(self._run_command(entered), lambda: "stopped") or ""
                draft = _as_typed(text_in(message))
            else:
                message = text.removeprefix("/") if text.startswith("//") else text
                # Only typed text attaches files: pasted text may come from anybody.
                if "@" in draft:
                    attaching = self._with_attachments(message, draft)
                    message = await self._stoppable(attaching, lambda: "stopped; nothing was sent") or ""
                    self._prefill = "" if message else draft
                self._revising = self._revising and not message
        except (SwarmError, CliError, BackendError) as error:
            await self._fail(error)
            if not is_command(text):
                self._prefill = draft
            return
        if not isinstance(message, str) or message.strip():
            await self._send(message, draft)

    async def _with_attachments(self, message: str, typed: str) -> "Asked":
        """Return ``message`` with the files and resources that ``typed`` mentions.

        Raises UsageError, ImageError and McpError.
        """
        servers = self._chat.session.swarm.mcp_servers
        if servers is not None and RESOURCE_MENTION.search(typed):
            from swarmchat.cli.mcp.resources import with_resources

            limit = self._chat.settings.max_input
            work = with_resources(message, typed, servers, limit, self._renderer.remark)
            message = await self._renderer.during(work, "resources")
        for name in misspelled(typed):
            self._renderer.remark(f"@{one_line(name, 200)} is no file: it is sent as these words")
        paths = mentioned(typed)
        return await self._attach(message, paths) if paths else message

    async def _attach(self, message: str, paths: list[Path]) -> "Asked":
        attached, remark = await asyncio.to_thread(with_files, message, paths, self._chat.settings.max_input)
        if remark:
            self._renderer.remark(remark)
        return attached

    async def _end_revision(self) -> None:
        """Bring back the turn that ``/edit`` has undone, if the user gives up changing it."""
        if not self._revising:
            return
        self._revising = False
        try:
            redone = await self._chat.session.redo()
        except (SwarmError, BackendError) as error:
            await self._fail(error)
        else:
            self._renderer.remark(f"not edited: turn {', '.join(map(str, redone.turns))} is back")

    async def _send(self, message: "Asked", draft: str) -> None:
        """Run a turn; if ``message`` could not be stored, put ``draft``, as it was typed, back at the prompt."""
        session, turns, problem = self._chat.session, self._chat.session.info.highest_turn, ""
        start = time.monotonic()
        work = self._follow(session.run_turn(message))
        try:
            await self._stoppable(work, lambda: _stop_remark(session, turns))
            problem = "was not stored yet" if self._stopped else ""
        except SwarmError as error:
            problem = "was not stored"
            await self._fail(error)
        except BackendError as error:
            problem = "could not be stored"
            self._report(error)
            if _has_turn(session, turns):
                self._renderer.remark(
                    "the answer is not stored yet; it will be, with your next message or when you leave"
                )
        self._tell_retried(any(record.turn > turns and record.type == "assistant" for record in session.records))
        self._notify(time.monotonic() - start)
        if problem and not _has_turn(session, turns):
            self._prefill = draft
            self._renderer.remark(f"your message {problem}; it is back at the prompt")

    def _tell_retried(self, has_answer: bool) -> None:
        """Say where the answer is that was to be replaced, if there is no other one."""
        turn, self._retried = self._retried, 0
        if turn and not has_answer:
            fork = shlex.join(("swarmchat", "sessions", "fork", self._chat.session.info.name, "--turn", str(turn)))
            self._renderer.remark(f"turn {turn} with its answer is in the log: {fork} continues it in another session")

    def _notify(self, seconds: float) -> None:
        """Notify a user who is looking elsewhere that a turn of ``seconds`` has ended."""
        settings, session = self._chat.settings, self._chat.session
        if settings.notify != "off" and seconds >= settings.notify_after and not self._prompt.has_focus:
            text = f"{session.agent.name} has finished in session {session.info.name}"
            self._renderer.raw(notification(settings.notify, text, os.environ))

    def _warn(self, notices: Iterable[str]) -> None:
        for notice in notices:
            self._renderer.remark(f"warning: {notice}")

    def _report(self, error: Exception) -> None:
        # A command that failed has none of them in its result.
        self._warn(self._chat.session.conversation.take_notices())
        self._renderer.error(str(error))
        self._pause_queue()

    async def _fail(self, error: Exception) -> None:
        """Report ``error``; if another process has deleted the session, continue in a new one."""
        self._report(error)
        session = self._chat.session
        if session.conversation.journal.is_deleted:
            try:
                self._renderer.remark(await self._chat.keep())
            except (SwarmError, BackendError) as problem:
                self._report(problem)
        elif session.conversation.journal.taken_over:
            self._renderer.remark(f"/resume {session.info.name} opens it as it is now")

    async def _run_command(self, entered: Entered) -> "Asked | None":
        """Carry out a command; return the message to send after it, if any."""
        # The commands are not loaded before the first prompt.
        from swarmchat.cli.slash.builtin import run_command

        text = entered.text
        outcome = await self._renderer.during(run_command(self._chat, text), text.split()[0])
        self._warn(outcome.warnings)
        if outcome.next_session is not None:
            if ended := self._chat.running_tasks:
                self._renderer.remark(ended)
            await self._switch_to(outcome.next_session)
            self._warn(self._chat.session.conversation.take_notices())
        if outcome.raw:
            self._renderer.raw(outcome.raw)
        if outcome.page:
            self._renderer.page(outcome.page)
        if outcome.remark:
            self._renderer.remark(outcome.remark)
        if outcome.thoughts:
            self._renderer.show_thoughts(outcome.thoughts)
        if outcome.draft is not None:
            self._prefill, self._revising = _as_typed(outcome.draft), True
        self._retried = outcome.retried
        if outcome.attach is not None and isinstance(outcome.send, str):
            return await self._attach(outcome.send, mentioned(f"{outcome.attach}\n{entered.folded}"))
        return outcome.send

    async def _switch_to(self, name: str) -> None:
        previous = self._chat.session
        try:
            if problem := await self._chat.switch_to(name):
                self._renderer.remark(problem)
        except (SwarmError, BackendError) as error:
            if self._chat.session is previous:
                raise
            # The other session is open; the one before could not store all that it had.
            self._report(error)

    async def _stoppable(self, work: Coroutine[Any, Any, _T], remark: Callable[[], str]) -> _T | None:
        """Return the result of ``work``; if the user stops it, print ``remark()`` and return None."""
        running = asyncio.ensure_future(work)
        self._work, self._stopped = running, False
        task = asyncio.current_task()
        try:
            with self._prompt.working():
                return await running
        except asyncio.CancelledError:
            self._renderer.remark(remark())
            if not self._stopped or (task and task.cancelling()):
                # A signal ends the program.
                raise
            self._pause_queue()
            return None
        finally:
            self._work = None
            self._renderer.end_turn()


def _has_turn(session: Session, turns: int) -> bool:
    """Whether more than an error is stored of a turn with a higher number than ``turns``."""
    return any(record.turn > turns and record.type != "error" for record in session.records)


def _stop_remark(session: Session, turns: int) -> str:
    """Describe a stopped turn; before it, the highest number of a turn was ``turns``."""
    records = [record for record in (*session.records, *session.unsaved) if record.turn > turns]
    interrupted = [record.data["name"] for record in records if record.data.get("status") == "interrupted"]
    if interrupted:
        return f"stopped; interrupted, may have taken effect: {', '.join(map(str, interrupted))}"
    has_text = bool(records) and records[-1].type == "assistant"
    return f"stopped; {'the partial answer is kept' if has_text else 'no answer yet'}"


def _as_typed(message: str) -> str:
    """Return ``message`` as the user types it: a slash at its start is typed twice."""
    return f"/{message}" if message.startswith("/") else message
