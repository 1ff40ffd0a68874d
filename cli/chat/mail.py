"""Notice messages from outside while a prompt is on the screen."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

from swarmchat.backends import BackendError
from swarmchat.cli.prompt.prompt import Prompt
from swarmchat.cli.slash.chat_context import ChatContext

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.events import Event

_PAUSE = 300.0
"""Seconds until the next look after one that failed, or that found something and received nothing."""
_EDITOR = 0.5
"""Seconds between two looks whether the user's editor is closed."""


class MailWatch:
    """Interrupts the ``prompt`` of ``chat`` when the session has something to receive."""

    def __init__(self, chat: ChatContext, prompt: Prompt) -> None:
        self._chat = chat
        self._prompt = prompt
        self._futile = False
        """Whether the last look led to nothing, as with a store that cannot be reached."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the context lasts."""
        watch = asyncio.ensure_future(self._watch())
        try:
            yield
        finally:
            watch.cancel()

    async def events(self) -> "AsyncGenerator[Event, None]":
        """Receive the messages that have arrived."""
        self._futile = True
        async with aclosing(self._chat.session.receive()) as events:
            async for event in events:
                self._futile = False
                yield event

    async def _watch(self) -> None:
        while True:
            if self._futile:
                await asyncio.sleep(_PAUSE)
            try:
                arrived = await self._chat.session.wait_for_mail()
            except BackendError:
                # The next turn will report it.
                self._futile = True
                continue
            if arrived and self._prompt.interrupt():
                return
            await asyncio.sleep(_EDITOR)
