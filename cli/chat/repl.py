"""The chat at a terminal: read, run a turn or a command, again."""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from swarmchat.backends import BackendError
from swarmchat.cli.app.signals import on_signals
from swarmchat.cli.chat.approval import Approvals
from swarmchat.cli.chat.background import BackgroundTasks
from swarmchat.cli.chat.cost import Cost
from swarmchat.cli.errors import CliError
from swarmchat.cli.prompt.completer import SlashCompleter
from swarmchat.cli.prompt.editor import Editor
from swarmchat.cli.prompt.prompt import Prompt
from swarmchat.cli.prompt.toolbar import toolbar
from swarmchat.cli.prompt.typeahead import Pause
from swarmchat.cli.render.renderer import Renderer, mark
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import LeaveChat, is_command
from swarmchat.cli.terminal.themes import paint
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.models.base import ToolCall

if TYPE_CHECKING:
    from prompt_toolkit.formatted_text import AnyFormattedText
    from swarmchat.swarm.session.session import Session
    from swarmchat.swarm.tools.tool import Tool

_T = TypeVar("_T")

_AGAIN = 2.0
"""Seconds within which a second Ctrl-C at an empty prompt leaves."""
_YOU = "you"


class Repl:
    """One person's chat at the prompt.

    Once the first prompt is on the screen, ``warm_up`` is run in a thread, and in another one ``look_around``, whose
    lines are shown as soon as nobody is speaking.
    """

    def __init__(
        self,
        chat: ChatContext,
        renderer: Renderer,
        *,
        backend: str,
        history: Path | None,
        warm_up: Callable[[], None],
        look_around: Callable[[], list[str]],
        colour: bool,
    ) -> None:
        self._chat = chat
        self._renderer = renderer
        self._backend = backend
        self._colour = colour
        self._given = ""
        """What is to stand at the next prompt."""
        self._work: asyncio.Future[Any] | None = None
        self._stopped = False
        self._pause: Pause = nullcontext
        self._approvals = Approvals(renderer)
        self._cost = Cost(chat.settings.prices or {})
        chat.session.conversation.approver = self._approve
        self._completer = SlashCompleter(chat)
        editor = Editor(renderer.remark, renderer.show_results, self._stop, swapped=chat.settings.multiline)
        self._queue = editor.queue
        self._completer.on_done = editor.completed
        self._prompt = Prompt(
            editor, history=history, completer=self._completer, toolbar=self._toolbar, vi=chat.settings.editing == "vi"
        )
        renderer.show_typed(self._prompt.typing_status)
        self._news = BackgroundTasks(self._prompt.app, renderer, warm_up, look_around)

    async def run(self) -> None:
        """Chat until the user leaves."""
        with on_signals(self._interrupt, "SIGINT"), self._prompt.quiet():
            hinted = -_AGAIN
            while True:
                try:
                    text = await self._next()
                except EOFError:
                    return
                except KeyboardInterrupt:
                    if time.monotonic() - hinted < _AGAIN:
                        return
                    hinted = time.monotonic()
                    self._renderer.remark("Ctrl-C again within 2 s or Ctrl-D leaves; the session stays")
                    continue
                hinted = -_AGAIN
                try:
                    await self._handle(text)
                except LeaveChat:
                    return

    def _interrupt(self, name: str) -> None:
        if self._approvals.asking:
            self._approvals.interrupt()
        elif self._work is not None:
            self._stop()
        elif self._prompt.app.is_running:
            # Somebody sent the signal: at a prompt Ctrl-C is a key like others.
            self._prompt.app.key_processor.send_sigint()

    def _stop(self) -> None:
        """Stop what runs; the second time also what did not react to the first."""
        if self._work is not None:
            self._stopped = True
            self._work.cancel()

    async def _next(self) -> str:
        """Return what waits in the queue, or else what the user enters."""
        self._news.tell()
        if self._given and self._queue:
            self._hold_queue()
        if waiting := self._queue.next():
            self._renderer.entered(_YOU, waiting.shown)
            return waiting.text
        self._completer.forget()
        sign = mark(sys.stdout)
        given, self._given = self._given, ""
        you = paint("name", _YOU) if self._colour else _YOU
        entered = await self._prompt.ask(f"{you} {sign} ", given)
        if not entered.text.strip():
            # Enter at an empty prompt sends what is queued.
            self._queue.held = False
        return entered.text

    def _hold_queue(self) -> None:
        """Send nothing of what is queued before the user says so."""
        if self._queue and not self._queue.held:
            self._queue.held = True
            self._renderer.remark(f"{len(self._queue)} queued: Enter sends, Up takes the last one back, Ctrl-C drops")

    async def _handle(self, text: str) -> None:
        if not text.strip():
            return
        message: str | None = text.removeprefix("/") if text.startswith("//") else text
        if is_command(text):
            try:
                message = await self._stoppable(self._command(text), lambda: "stopped")
            except (SwarmError, CliError, BackendError) as error:
                self._fail(error)
                return
        if message is not None:
            await self._send(message)

    async def _send(self, message: str) -> None:
        turns = self._chat.session.turns
        try:
            await self._stoppable(self._turn(message), lambda: _stop_remark(self._chat.session, turns))
            if self._stopped and self._chat.session.turns == turns:
                self._given = _as_typed(message)
                self._renderer.remark("your message was not stored yet; it is back at the prompt")
        except SwarmError as error:
            self._fail(error)
            if self._chat.session.turns == turns:
                self._given = _as_typed(message)
                self._renderer.remark("your message was not stored; it is back at the prompt")
        except BackendError as error:
            if self._chat.session.turns == turns:
                self._given = _as_typed(message)
                remark = "your message could not be stored; it is back at the prompt"
            else:
                remark = "the answer is not stored yet; it will be, with your next message or when you leave"
            self._renderer.error(str(error))
            self._renderer.remark(remark)
            self._hold_queue()

    def _fail(self, error: Exception) -> None:
        self._renderer.error(str(error))
        self._hold_queue()

    async def _command(self, text: str) -> str | None:
        """Carry out a command; return the message that is to be sent then, if there is one."""
        # Most are not needed, and none before the first prompt.
        from swarmchat.cli.slash.builtin import run_command

        outcome = await self._renderer.during(run_command(self._chat, text), text.split()[0])
        if outcome.go_on_in is not None:
            await self._chat.switch_to(outcome.go_on_in)
        if outcome.raw:
            self._renderer.raw(outcome.raw)
        if outcome.page:
            self._renderer.page(outcome.page)
        if outcome.remark:
            self._renderer.remark(outcome.remark)
        if outcome.draft is not None:
            self._given = _as_typed(outcome.draft)
        return outcome.send

    async def _turn(self, text: str) -> None:
        await self._renderer.follow(self._chat.session.run_turn(text), self._chat.session.agent.name)

    async def _stoppable(self, work: Coroutine[Any, Any, _T], remark: Callable[[], str]) -> _T | None:
        """Run ``work`` until it ends or Ctrl-C stops it, then print ``remark()``.

        Return what it returns. Raises what ``work`` raises.
        """
        running = asyncio.ensure_future(work)
        self._work, self._stopped = running, False
        task = asyncio.current_task()
        try:
            with self._prompt.working() as self._pause:
                return await running
        except asyncio.CancelledError:
            if not self._stopped or (task and task.cancelling()):
                raise
            self._renderer.remark(remark())
            self._hold_queue()
            return None
        finally:
            self._work = None
            self._renderer.end_turn()

    async def _approve(self, tool: "Tool", call: ToolCall) -> bool | str:
        return await self._approvals.ask(self._chat.session.agent.name, tool, call, self._pause)

    def _toolbar(self) -> "AnyFormattedText":
        cost = self._cost.of(self._chat.session)
        return toolbar(self._chat.session, self._backend, queued=len(self._queue), mode=self._prompt.vi_mode, cost=cost)


def _stop_remark(session: "Session", turns: int) -> str:
    """Return what to say about a stopped turn; before it, the session had ``turns`` turns."""
    records = [record for record in (*session.records, *session.unsaved) if record.turn > turns]
    interrupted = [record.data["name"] for record in records if record.data.get("status") == "interrupted"]
    if interrupted:
        return f"stopped; interrupted, may have taken effect: {', '.join(map(str, interrupted))}"
    has_text = bool(records) and records[-1].type == "assistant"
    return f"stopped; {'the partial answer is kept' if has_text else 'no answer yet'}"


def _as_typed(message: str) -> str:
    """Return ``message`` as it is typed: a slash at its start is typed as two."""
    return f"/{message}" if message.startswith("/") else message
