"""The chat at a terminal: read, run a turn or a command, again."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
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

_AGAIN = 2.0
"""Seconds within which a second Ctrl-C at an empty prompt leaves."""


_ARGUMENTS = 5000
"""How many letters of a call's arguments are shown: nobody should allow what they cannot see."""

_QUESTION = "  allow it? (y)es, (n)o, (a)lways: "

_DEMO = "demo model: scripted answers, no AI (-m MODEL or OPENAI_API_KEY connects a real one)"


class Repl:
    """One person's chat in ``session``. ``warm_up`` is run in a thread once the first prompt is on the screen."""

    def __init__(
        self,
        session: Session,
        renderer: Renderer,
        *,
        backend: str,
        history: Path | None,
        warm_up: Callable[[], None],
        colour: bool,
    ) -> None:
        self._session = session
        self._renderer = renderer
        self._warm_up = warm_up
        self._colour = colour
        self._typed = ""
        self._work: asyncio.Future[None] | None = None
        self._pause: Pause = nullcontext
        self._approvals: PromptSession[str] = PromptSession()
        self._always: set[str] = set()
        """Tools that the user has allowed for the rest of the chat."""
        session.approver = self._approve
        self._stopped = False
        self._prompt: PromptSession[str] = PromptSession(
            history=_history(history),
            key_bindings=key_bindings(),
            multiline=True,
            prompt_continuation=lambda width, line, soft_wrapped: " " * width,
            bottom_toolbar=lambda: toolbar(session, backend),
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
        sign = mark(sys.stdout)
        message = ANSI(f"\x1b[1myou\x1b[0m {sign} " if self._colour else f"you {sign} ")
        typed, self._typed = self._typed, ""
        return await self._prompt.prompt_async(message, default=typed, handle_sigint=False)

    async def _handle(self, text: str) -> None:
        turns = self._session.turns
        try:
            if is_command(text):
                await self._stoppable(self._command(text))
            else:
                await self._stoppable(self._turn(text.removeprefix("/") if text.startswith("//") else text))
        except (SwarmError, CliError) as error:
            self._renderer.error(str(error))
        except BackendError as error:
            self._renderer.error(str(error))
            if is_command(text):
                return
            if self._session.turns == turns:
                self._typed = text
                self._renderer.remark("your message could not be stored; it is back at the prompt")
            else:
                self._renderer.remark(
                    "the answer is not stored yet; it will be, with your next message or when you leave"
                )

    async def _command(self, text: str) -> None:
        self._renderer.page(await run_command(self._session, text))

    async def _turn(self, text: str) -> None:
        async for event in self._session.run_turn(text):
            self._renderer.show(event)

    async def _stoppable(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` until it ends or Ctrl-C stops it. Raises what ``work`` raises."""
        self._work, self._stopped = asyncio.ensure_future(work), False
        task = asyncio.current_task()
        try:
            with typing_kept(self._prompt.input, self._prompt.output) as self._pause:
                await self._work
        except asyncio.CancelledError:
            if not self._stopped or (task and task.cancelling()):
                raise
            self._renderer.remark("stopped; what was said until then is kept")
        finally:
            self._work = None
            self._renderer.end_turn()

    async def _approve(self, tool: "Tool", call: ToolCall) -> bool:
        """Ask the user whether ``tool`` may be called; what is no answer is asked again, Ctrl-C and Ctrl-D are no."""
        if tool.name in self._always:
            return True
        self._renderer.remark(
            f"{self._session.agent.name} wants to call {tool.name}({one_line(call.arguments, _ARGUMENTS)})"
        )
        with self._pause():
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

    def _warm_up_quietly(self) -> None:
        # Whatever is wrong is found again, and told, by the turn that needs it.
        with suppress(Exception):
            self._warm_up()


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
        lines.append("/help lists the commands, Ctrl-D leaves")
    if session.healed_from is not None:
        lines.append(f"there is no agent {one_line(session.healed_from, 60)} any more; {session.agent.name} goes on")
    lines += [f"record {position} is damaged: {problem}" for position, problem in session.damaged.items()]
    return lines


def _last_exchange(session: Session) -> list[Record]:
    last = [record for record in session.records if record.turn == session.turns]
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
