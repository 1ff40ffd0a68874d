"""What Tab offers at the prompt: slash commands that can do anything now, and what can stand after their names."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, is_command
from swarmchat.cli.terminal.sanitize import one_line

_ABOUT = 60
"""How many letters are told about a choice."""
_SECONDS = 3.0
"""How long choices may take, as from a slow store."""


class SlashCompleter(Completer):
    """Completes commands of the chat with what makes sense in it now."""

    def __init__(self, chat: ChatContext) -> None:
        self._chat = chat
        self._known: dict[tuple[str, str], Sequence[Choice]] = {}
        self.on_done: Callable[[], None] | None = None
        """Called when all choices are known."""

    def forget(self) -> None:
        """Ask anew from now on: something was done meanwhile."""
        self._known.clear()

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Return nothing: choices may have to be waited for."""
        return ()

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Yield what the text before the cursor may become. What cannot be found out is left out."""
        try:
            for completion in await self._completions(document):
                yield completion
        finally:
            if self.on_done is not None:
                self.on_done()

    async def _completions(self, document: Document) -> list[Completion]:
        line = document.text_before_cursor
        if "\n" in document.text or not is_command(line):
            return []
        name, space, argument = line[1:].partition(" ")
        choices: Sequence[Choice]
        if not space:
            typed, choices = line, self._commands()
        else:
            typed = argument.lstrip()
            choices = await self._arguments(name, typed)
        return [
            Completion(text, -len(typed), display=one_line(text, _ABOUT), display_meta=one_line(about, _ABOUT))
            for text, about in choices
            if text.casefold().startswith(typed.casefold()) and text.isprintable()
        ]

    def _commands(self) -> list[Choice]:
        from swarmchat.cli.slash.builtin import COMMANDS

        return [(f"/{each.name}", each.help) for each in COMMANDS.values() if each.is_useful(self._chat)]

    async def _arguments(self, name: str, typed: str) -> Sequence[Choice]:
        from swarmchat.cli.slash.builtin import find_command

        try:
            command = find_command(name)
        except UsageError:
            return ()
        if command.completes is None:
            return ()
        # The choices of a folder depend on what was typed of its name, and they may be those of a slow store.
        key = command.name, typed
        if key not in self._known:
            try:
                async with asyncio.timeout(_SECONDS):
                    self._known[key] = await command.completes(self._chat, typed)
            except Exception:
                # A store that is away, or a folder that is none: there is nothing to offer, and nothing to be told.
                return ()
        return self._known[key]
