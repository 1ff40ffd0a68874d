"""Tab completion at the prompt: slash commands that can do something now, their arguments, and files after ``@``."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from swarmchat.cli.attachments.paths import MENTION_START, folder_entries, mention
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, is_command, split_command
from swarmchat.cli.terminal.sanitize import one_line

_WIDTH = 60
"""Characters of a choice, and of its description, that the menu shows."""
_SECONDS = 3.0
"""How long to wait for choices, as from a slow store."""


class SlashCompleter(Completer):
    """Completes slash commands of the chat, and mentions of files. Calls ``on_done`` when all choices are known."""

    def __init__(self, chat: ChatContext, on_done: Callable[[], None] = lambda: None) -> None:
        self._chat = chat
        self._cache: dict[tuple[str, str], Sequence[Choice]] = {}
        """Choices by command name and the start of its argument."""
        self._on_done = on_done

    def forget(self) -> None:
        """Clear the cache: a turn or a command may have changed the choices."""
        self._cache.clear()

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Return nothing: choices come from ``get_completions_async`` only."""
        return ()

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Yield the completions of the text before the cursor; none if they cannot be found out."""
        try:
            line = document.text_before_cursor
            if not is_command(line):
                for each in await self._mentions(line):
                    yield each
                return
            if "\n" in document.text:
                return
            space = " " in line
            name, argument = split_command(line)
            typed = argument.lstrip() if space else line
            for text, about in await self._arguments(name, typed) if space else await self._commands():
                if text.casefold().startswith(typed.casefold()) and text.isprintable():
                    shown, meta = one_line(text, _WIDTH), one_line(about, _WIDTH)
                    yield Completion(text, -len(typed), display=shown, display_meta=meta)
        finally:
            self._on_done()

    async def _mentions(self, text: str) -> list[Completion]:
        """Complete the path of a file that ``text`` mentions at its end."""
        match = MENTION_START.search(text)
        if match is None:
            return []
        servers = self._chat.session.swarm.mcp_servers
        resources: list[Completion] = []
        if servers is not None:
            from swarmchat.cli.mcp.resources import resource_choices

            with suppress(Exception):
                async with asyncio.timeout(_SECONDS):
                    resources = [
                        Completion(
                            f"@{text}",
                            -len(match[0]),
                            display=one_line(shown, _WIDTH),
                            display_meta=one_line(about, _WIDTH),
                        )
                        for text, shown, about in await resource_choices(match[1], servers)
                    ]
        with suppress(OSError, RuntimeError, ValueError):
            paths = await asyncio.to_thread(folder_entries, match[1].removeprefix('"'))
            # After a folder the path continues: its quotation mark stays open.
            return resources + [
                Completion(
                    mention(path).removesuffix('"') if path.endswith("/") else mention(path),
                    -len(match[0]),
                    display=one_line(path, _WIDTH),
                )
                for path in paths
                if path.isprintable()
            ]
        return resources

    async def _commands(self) -> list[Choice]:
        from swarmchat.cli.slash.builtin import COMMANDS, own_commands
        from swarmchat.cli.slash.prompts import prompt_choices

        prompts: list[Choice] = []
        with suppress(Exception):
            async with asyncio.timeout(_SECONDS):
                prompts = await prompt_choices(self._chat)
        all_commands = (*COMMANDS.values(), *own_commands().values())
        commands = [(f"/{each.name}", each.help) for each in all_commands if each.is_useful(self._chat)]
        return commands + [(f"/{name}", about) for name, about in prompts]

    async def _arguments(self, name: str, typed: str) -> Sequence[Choice]:
        from swarmchat.cli.slash.builtin import find_command

        # Choices of files depend on the folder that was typed; others may come from a slow store.
        key = name, typed
        if key not in self._cache:
            # Unknown commands, folders and stores that cannot be reached have no choices; errors would disturb typing.
            with suppress(Exception):
                completes = find_command(name).completes
                async with asyncio.timeout(_SECONDS):
                    self._cache[key] = await completes(self._chat, typed) if completes else ()
        return self._cache.get(key, ())
