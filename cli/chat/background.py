"""Work in background threads while the user reads and types at the first prompt."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from prompt_toolkit.application import Application, run_in_terminal
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.settings import wiring
from swarmchat.cli.slash.chat_context import ChatContext


class BackgroundTasks:
    """Loads what the first answer needs, and looks for model servers, once the prompt ``app`` is on the screen.

    Lines about servers are printed at a prompt, never during an answer.
    """

    def __init__(self, app: Application[Any], chat: ChatContext, renderer: Renderer) -> None:
        self._app = app
        self._chat = chat
        self._renderer = renderer
        self._lines: list[str] = []
        # Not earlier: imports in a thread would delay the first prompt.
        app.after_render += self._start

    def print_lines(self) -> None:
        """Print the lines that arrived since the last call."""
        while self._lines:
            self._renderer.verbatim(self._lines.pop(0))

    def _start(self, app: Application[Any]) -> None:
        app.after_render -= self._start
        loop, context = asyncio.get_running_loop(), copy_context()

        def look_around() -> None:
            from swarmchat.cli.models.listing import server_hints

            loop.call_soon_threadsafe(self._receive, server_hints(self._chat.settings), context=context)

        servers, agent = self._chat.session.swarm.mcp_servers, self._chat.session.agent
        if servers is not None:
            servers.start(agent.tool_patterns)
        for name, work in (("warm-up", self._warm_up), ("look-around", look_around)):
            threading.Thread(target=_run_quietly, args=(work,), name=name, daemon=True).start()

    def _warm_up(self) -> None:
        import swarmchat.cli.markdown.stream
        import swarmchat.cli.render.live_tail
        import swarmchat.cli.slash.builtin  # noqa: F401 - imported to be ready

        wiring.warm_up(self._chat.session.model)

    def _receive(self, lines: list[str]) -> None:
        self._lines += lines
        if lines and self._app.is_running:
            run_in_terminal(self.print_lines)


def _run_quietly(work: Callable[[], None]) -> None:
    # A turn that needs the same will report the error. The loop may be closed, too.
    with suppress(Exception):
        work()
