"""Work in background threads while the user reads and types at the first prompt."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from prompt_toolkit.application import Application
from swarmchat.backends import BackendError
from swarmchat.cli.prompt.above import print_above
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.settings.models import warm_up
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.swarm.errors import SwarmError


class StartupWork:
    """Loads what the first answer needs, asks what the model can do, looks for servers, and has storages follow the
    definition of the swarm.

    All of it once the prompt ``app`` is on the screen. Lines about it are printed at a prompt, never during an answer.
    """

    def __init__(self, app: Application[Any], chat: ChatContext, renderer: Renderer) -> None:
        self._app = app
        self._chat = chat
        self._renderer = renderer
        self._remarks: list[str] = []
        self._lines: list[str] = []
        """Lines that can be copied."""
        self._running: list[asyncio.Future[None]] = []
        """References, without which tasks might be collected before they have ended."""
        # Not earlier: imports in a thread would delay the first prompt.
        app.after_render += self._start

    def print_lines(self) -> None:
        """Print the lines that arrived since the last call."""
        while self._remarks:
            self._renderer.remark(self._remarks.pop(0))
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

        def warm_up() -> None:
            self._warm_up()
            loop.call_soon_threadsafe(self._make_ready, context=context)
            if self._chat.session.swarm.storages:
                import swarmchat.swarm.storage.storage  # noqa: F401 - imported to be ready

                loop.call_soon_threadsafe(self._follow_definitions, context=context)

        for name, work in (("warm-up", warm_up), ("look-around", look_around)):
            threading.Thread(target=_run_quietly, args=(work,), name=name, daemon=True).start()

    def _warm_up(self) -> None:
        # In the order in which a message that is typed at once needs them; commands are not among them.
        warm_up(self._chat.session.model)
        for tool in self._chat.session.agent.own_tools:
            _ = tool.signature.schema
        import swarmchat.cli.markdown.stream
        import swarmchat.cli.render.live_tail
        import swarmchat.cli.slash.builtin  # noqa: F401 - imported to be ready

    def _follow_definitions(self) -> None:
        conversation = self._chat.session.conversation

        async def follow() -> None:
            try:
                await conversation.primitives.follow_definitions()
            except (SwarmError, BackendError) as error:
                self._remarks.append(str(error))
            self._remarks += conversation.take_notices()
            self._receive([])

        self._running.append(asyncio.ensure_future(follow()))

    def _make_ready(self) -> None:
        session = self._chat.session

        async def make_ready() -> None:
            # What fails now will fail at the first message, which says so.
            with suppress(SwarmError, BackendError):
                async with session.lock:
                    await session.conversation.ready()
                self._remarks += session.conversation.take_notices()
                self._receive([])

        self._running.append(asyncio.ensure_future(make_ready()))

    def _receive(self, lines: list[str]) -> None:
        self._lines += lines
        if (self._lines or self._remarks) and self._app.is_running:
            print_above(self._app, self.print_lines)


def _run_quietly(work: Callable[[], None]) -> None:
    # A turn that needs the same will report the error. The loop may be closed, too.
    with suppress(Exception):
        work()
