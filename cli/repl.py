"""The chat at a terminal: read, run a turn or a command, again."""

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import nullcontext, suppress
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from swarmchat.backends import BackendError
from swarmchat.cli.commands import COMMANDS, LeaveChat, is_command, run_command
from swarmchat.cli.errors import CliError
from swarmchat.cli.interrupts import on_signals
from swarmchat.cli.keys import key_bindings
from swarmchat.cli.render import Renderer, mark
from swarmchat.cli.sanitize import one_line
from swarmchat.cli.toolbar import toolbar
from swarmchat.cli.typeahead import Pause, quiet_terminal, typing_kept
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.model import ToolCall
from swarmchat.swarm.records import Record
from swarmchat.swarm.session import Session

if TYPE_CHECKING:
    from swarmchat.swarm.tools import Tool

_T = TypeVar("_T")

_AGAIN = 2.0
"""Seconds within which a second Ctrl-C at an empty prompt leaves."""


_ARGUMENTS = 5000
"""How many letters of a call's arguments are shown: nobody should allow what they cannot see."""

_QUESTION = "  allow it? (y)es, (n)o, (a)lways: "

_DEMO = "demo model: scripted answers, no AI"
_CONNECT = "a real model goes on with what is said here: set OPENAI_API_KEY, or give -m MODEL --base-url URL, with -c"


class Repl:
    """One person's chat in ``session``.

    Once the first prompt is on the screen, ``warm_up`` is run in a thread, and in another one ``look_around``, whose lines
    are shown as soon as nobody is speaking.

    ``open_session`` opens another session by its id, for those who go on in one.
    """

    def __init__(
        self,
        session: Session,
        renderer: Renderer,
        *,
        backend: str,
        history: Path | None,
        warm_up: Callable[[], None],
        look_around: Callable[[], list[str]],
        open_session: Callable[[str], Awaitable[Session]],
        colour: bool,
    ) -> None:
        self.session = session
        """The session that is open now. Closing it is up to the caller."""
        self._open_session = open_session
        self._renderer = renderer
        self._warm_up = warm_up
        self._look_around = look_around
        self._news: list[str] = []
        self._colour = colour
        self._typed = ""
        self._work: asyncio.Future[Any] | None = None
        self._pause: Pause = nullcontext
        self._approvals: PromptSession[str] = PromptSession()
        self._always: set[str] = set()
        """Tools that the user has allowed for the rest of the chat."""
        session.approver = self._approve
        self._stopped = False
        self._prompt: PromptSession[str] = PromptSession(
            history=_history(history),
            key_bindings=key_bindings(renderer.show_results),
            multiline=True,
            prompt_continuation=lambda width, line, soft_wrapped: " " * width,
            bottom_toolbar=lambda: toolbar(self.session, backend),
            auto_suggest=AutoSuggestFromHistory(),
            completer=WordCompleter([f"/{name}" for name in COMMANDS], sentence=True),
            complete_while_typing=False,
            enable_open_in_editor=True,
            enable_suspend=True,
        )
        self._prompt.app.after_render += self._after_first_render

    async def run(self) -> None:
        """Chat until the user leaves."""
        with on_signals(self._interrupt, "SIGINT"), quiet_terminal(self._prompt.input):
            hinted = -_AGAIN
            while True:
                try:
                    text = await self._ask()
                except EOFError:
                    return
                except KeyboardInterrupt:
                    if time.monotonic() - hinted < _AGAIN:
                        return
                    hinted = time.monotonic()
                    self._renderer.remark("Ctrl-C again or Ctrl-D leaves; the session stays")
                    continue
                hinted = -_AGAIN
                if text.strip():
                    try:
                        await self._handle(text)
                    except LeaveChat:
                        return

    def _interrupt(self, name: str) -> None:
        if self._approvals.app.is_running:
            self._approvals.app.key_processor.send_sigint()
        elif self._work is not None:
            self._stopped = True
            self._work.cancel()
        elif self._prompt.app.is_running:
            # Somebody sent the signal: at a prompt Ctrl-C is a key like others.
            self._prompt.app.key_processor.send_sigint()

    async def _ask(self) -> str:
        self._tell_news()
        sign = mark(sys.stdout)
        message = ANSI(f"\x1b[1myou\x1b[0m {sign} " if self._colour else f"you {sign} ")
        typed, self._typed = self._typed, ""
        return await self._prompt.prompt_async(message, default=typed, handle_sigint=False)

    async def _handle(self, text: str) -> None:
        message: str | None = text.removeprefix("/") if text.startswith("//") else text
        if is_command(text):
            try:
                message = await self._stoppable(self._command(text))
            except (SwarmError, CliError, BackendError) as error:
                self._renderer.error(str(error))
                return
        if message is not None:
            await self._send(message)

    async def _send(self, message: str) -> None:
        turns = self.session.turns
        try:
            await self._stoppable(self._turn(message))
        except SwarmError as error:
            self._renderer.error(str(error))
        except BackendError as error:
            self._renderer.error(str(error))
            if self.session.turns == turns:
                self._typed = _as_typed(message)
                self._renderer.remark("your message could not be stored; it is back at the prompt")
            else:
                self._renderer.remark(
                    "the answer is not stored yet; it will be, with your next message or when you leave"
                )

    async def _command(self, text: str) -> str | None:
        """Carry out a command; return the message that is to be sent then, if there is one."""
        outcome = await run_command(self.session, text)
        if outcome.go_on_in is not None:
            await self._go_on_in(outcome.go_on_in)
        if outcome.page:
            self._renderer.page(outcome.page)
        if outcome.remark:
            self._renderer.remark(outcome.remark)
        if outcome.draft is not None:
            self._typed = _as_typed(outcome.draft)
        return outcome.send

    async def _go_on_in(self, session: str) -> None:
        left = self.session
        self.session = await self._open_session(session)
        self.session.approver = self._approve
        await left.close()

    async def _turn(self, text: str) -> None:
        await self._renderer.follow(self.session.run_turn(text), self.session.agent.name)

    async def _stoppable(self, work: Coroutine[Any, Any, _T]) -> _T | None:
        """Run ``work`` until it ends or Ctrl-C stops it; return what it returns. Raises what ``work`` raises."""
        running = asyncio.ensure_future(work)
        self._work, self._stopped = running, False
        task = asyncio.current_task()
        try:
            with typing_kept(self._prompt.input, self._prompt.output) as self._pause:
                return await running
        except asyncio.CancelledError:
            if not self._stopped or (task and task.cancelling()):
                raise
            self._renderer.remark("stopped; what was said until then is kept")
            return None
        finally:
            self._work = None
            self._renderer.end_turn()

    async def _approve(self, tool: "Tool", call: ToolCall) -> bool:
        """Ask the user whether ``tool`` may be called; what is no answer is asked again, Ctrl-C and Ctrl-D are no."""
        if tool.name in self._always:
            return True
        self._renderer.remark(
            f"{self.session.agent.name} wants to call {tool.name}({one_line(call.arguments, _ARGUMENTS)})"
        )
        with self._pause(), self._renderer.held():
            while True:
                try:
                    # With its own handling of signals it would remove ours.
                    answer = await self._approvals.prompt_async(_QUESTION, handle_sigint=False)
                except (KeyboardInterrupt, EOFError):
                    return False
                match answer.strip().lower():
                    case "y" | "yes":
                        return True
                    case "n" | "no":
                        return False
                    case "a" | "always":
                        self._always.add(tool.name)
                        return True

    def _after_first_render(self, app: Application[str]) -> None:
        self._prompt.app.after_render -= self._after_first_render
        # Not before the first prompt: the imports would hold it up.
        threading.Thread(target=self._warm_up_quietly, name="warm-up", daemon=True).start()
        loop, context = asyncio.get_running_loop(), copy_context()

        def look() -> None:
            # The loop may be gone by then, and what cannot be looked at is no news.
            with suppress(Exception):
                loop.call_soon_threadsafe(self._take_news, self._look_around(), context=context)

        threading.Thread(target=look, name="look-around", daemon=True).start()

    def _warm_up_quietly(self) -> None:
        # Whatever is wrong is found again, and told, by the turn that needs it.
        with suppress(Exception):
            self._warm_up()

    def _take_news(self, lines: list[str]) -> None:
        self._news += lines
        # While an answer comes they wait for the next prompt.
        if lines and self._prompt.app.is_running:
            run_in_terminal(self._tell_news)

    def _tell_news(self) -> None:
        news, self._news = self._news, []
        for line in news:
            self._renderer.verbatim(line)


def greeting(session: Session, backend: str) -> list[str]:
    """Return the lines that a chat begins with."""
    about = _DEMO if session.model.name == "demo" else session.model.name
    swarm = "swarmchat" if len(session.swarm.agents) == 1 else session.swarm.name
    lines = [f"{swarm} · {about} · {backend} · session {one_line(session.info.name, 60)}"]
    if session.turns:
        turns = "1 turn" if session.turns == 1 else f"{session.turns} turns"
        lines.append(f"resumed after {turns}; last used {session.info.updated[:16].replace('T', ' ')} UTC")
        for record in _last_exchange(session):
            who = "you" if record.type == "user" else record.agent or "assistant"
            lines.append(f"{who}: {one_line(str(record.message.get('content') or ''), 300)}")
    else:
        if session.model.name == "demo":
            lines.append(_CONNECT)
        lines.append("/help lists the commands, Ctrl-D leaves")
    if session.healed_from is not None:
        lines.append(f"there is no agent {one_line(session.healed_from, 60)} any more; {session.agent.name} goes on")
    lines += [f"record {position} is damaged: {problem}" for position, problem in session.damaged.items()]
    return lines


def _as_typed(message: str) -> str:
    """Return ``message`` as it is typed: a slash at its start is typed as two."""
    return f"/{message}" if message.startswith("/") else message


def _last_exchange(session: Session) -> list[Record]:
    last = [record for record in session.records if record.turn == session.last_turn]
    said = [record for record in last if record.type in ("user", "assistant") and record.message.get("content")]
    # Agents may have said something in between.
    return said[:1] + said[1:][-1:]


class _PromptHistory(FileHistory):
    """Prompts in a file. One that cannot be read or written costs the history, and never a message."""

    def load_history_strings(self) -> Iterable[str]:
        with suppress(OSError):
            return super().load_history_strings()
        return ()

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            super().store_string(string)


def _history(path: Path | None) -> History:
    if path is not None:
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            return _PromptHistory(str(path))
    return InMemoryHistory()
