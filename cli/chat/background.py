"""What is done beside the chat once its first prompt is on the screen, and what is to be told of it."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from prompt_toolkit.application import Application, run_in_terminal
from swarmchat.cli.render.renderer import Renderer


class BackgroundTasks:
    """Runs ``warm_up`` and ``look_around`` in threads after the first look of ``prompt``.

    The lines that ``look_around`` returns are told when nobody is speaking.
    """

    def __init__(
        self,
        prompt: Application[Any],
        renderer: Renderer,
        warm_up: Callable[[], None],
        look_around: Callable[[], list[str]],
    ) -> None:
        self._prompt = prompt
        self._renderer = renderer
        self._warm_up = warm_up
        self._look_around = look_around
        self._lines: list[str] = []
        prompt.after_render += self._begin

    def tell(self) -> None:
        """Show what there is to be told."""
        lines, self._lines = self._lines, []
        for line in lines:
            self._renderer.verbatim(line)

    def _begin(self, app: Application[Any]) -> None:
        # Not before the first prompt: the imports would hold it up.
        self._prompt.after_render -= self._begin
        threading.Thread(target=self._warm_up_quietly, name="warm-up", daemon=True).start()
        loop, context = asyncio.get_running_loop(), copy_context()

        def look() -> None:
            # The loop may be gone by then, and what cannot be looked at is no news.
            with suppress(Exception):
                loop.call_soon_threadsafe(self._take, self._look_around(), context=context)

        threading.Thread(target=look, name="look-around", daemon=True).start()

    def _warm_up_quietly(self) -> None:
        # Whatever is wrong is found again, and told, by the turn that needs it.
        with suppress(Exception):
            self._warm_up()

    def _take(self, lines: list[str]) -> None:
        self._lines += lines
        # While an answer comes they wait for the next prompt.
        if lines and self._prompt.is_running:
            run_in_terminal(self.tell)
