"""The chat at a terminal: read, run a turn or a command, again."""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from swarmchat.backends import BackendError
from swarmchat.cli.commands import COMMANDS, LeaveChat, is_command, run_command
from swarmchat.cli.errors import CliError
from swarmchat.cli.interrupts import Interrupted, run_interruptible
from swarmchat.cli.keys import key_bindings
from swarmchat.cli.render import Renderer, mark
from swarmchat.cli.sanitize import one_line, sanitize
from swarmchat.cli.toolbar import toolbar
from swarmchat.cli.typeahead import typing_kept
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.records import Record
from swarmchat.swarm.session import Session

_AGAIN = 2.0
"""Seconds within which a second Ctrl-C at an empty prompt leaves."""


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
        """Chat until the user leaves. Raises Interrupted when the terminal goes away or the process is told to end."""
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
            if text.strip():
                try:
                    await self._handle(text)
                except LeaveChat:
                    return

    async def _ask(self) -> str:
        sign = mark(sys.stdout)
        message = ANSI(f"\x1b[1myou\x1b[0m {sign} " if self._colour else f"you {sign} ")
        typed, self._typed = self._typed, ""
        return await self._prompt.prompt_async(message, default=typed)

    async def _handle(self, text: str) -> None:
        turns = self._session.turns
        try:
            if is_command(text):
                print(sanitize(await run_command(self._session, text)))
            else:
                await self._turn(text.removeprefix("/") if text.startswith("//") else text)
        except (SwarmError, CliError) as error:
            self._renderer.error(str(error))
        except BackendError as error:
            self._renderer.error(str(error))
            if self._session.turns == turns and not is_command(text):
                self._typed = text
                self._renderer.remark("your message could not be stored; it is back at the prompt")

    async def _turn(self, text: str) -> None:
        async def run() -> None:
            async for event in self._session.run_turn(text):
                self._renderer.show(event)

        with typing_kept(self._prompt.input):
            try:
                came = await run_interruptible(run(), "SIGINT", "SIGTERM", "SIGHUP")
            finally:
                self._renderer.end_line()
        if "SIGTERM" in came or "SIGHUP" in came:
            raise Interrupted(came[0])
        if came:
            self._renderer.remark("stopped; what was said until then is kept")

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
    lines = [f"swarmchat · {about} · {backend} · session {session.info.name}"]
    if session.turns:
        turns = "1 turn" if session.turns == 1 else f"{session.turns} turns"
        lines.append(f"resumed after {turns}; last used {session.info.updated[:16].replace('T', ' ')} UTC")
        for record in _last_exchange(session):
            who = "you" if record.type == "user" else record.agent or "assistant"
            lines.append(f"{who}: {one_line(str(record.message.get('content') or ''), 300)}")
    else:
        lines.append("/help lists the commands, Ctrl-D leaves")
    lines += [f"damaged: {problem}" for problem in session.damaged]
    return lines


def _last_exchange(session: Session) -> list[Record]:
    records = [r for r in session.records if r.turn == session.turns and r.type in ("user", "assistant")]
    return [r for r in records if r.message.get("content")][-2:]


def _history(path: Path | None) -> History:
    if path is not None:
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            return FileHistory(str(path))
    return InMemoryHistory()
