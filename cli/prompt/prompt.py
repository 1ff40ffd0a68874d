"""The prompt of a chat: a line editor that also takes what is typed while an answer comes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.application.current import set_app
from prompt_toolkit.completion import Completer
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.formatted_text import ANSI, AnyFormattedText
from prompt_toolkit.input import DummyInput
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.styles import DynamicStyle
from prompt_toolkit.utils import is_dumb_terminal
from swarmchat.cli.prompt.editor import Editor
from swarmchat.cli.prompt.history import SuggestFromHistory, open_history
from swarmchat.cli.prompt.key_bindings import key_bindings
from swarmchat.cli.prompt.queue import Entered
from swarmchat.cli.prompt.reflow import follow_reflow
from swarmchat.cli.prompt.style import colour_depth, prompt_style
from swarmchat.cli.prompt.typeahead import Pause, quiet_terminal, typing_kept
from swarmchat.cli.terminal.sanitize import one_line, sanitize

_TAIL = 40
"""How many letters are told of what is being typed."""


class Prompt:
    """Asks the user. ``editor`` does what keys mean; what was entered meanwhile waits in its queue."""

    def __init__(
        self,
        editor: Editor,
        *,
        history: Path | None,
        completer: Completer,
        toolbar: Callable[[], AnyFormattedText],
        vi: bool,
    ) -> None:
        self.editor = editor
        self._draft = Document()
        self._blind: Application[Entered] | None = None
        self._session: PromptSession[Entered] = PromptSession(
            history=open_history(history),
            key_bindings=key_bindings(editor),
            multiline=True,
            prompt_continuation=lambda width, line, soft_wrapped: " " * width,
            bottom_toolbar=toolbar,
            auto_suggest=SuggestFromHistory(),
            completer=completer,
            complete_while_typing=False,
            reserve_space_for_menu=6,
            search_ignore_case=True,
            vi_mode=vi,
            style=DynamicStyle(prompt_style),
        )
        follow_reflow(self.app)
        # Esc alone is known as such after this time: what follows at once is Alt with a key.
        self.app.ttimeoutlen = 0.1

    @property
    def app(self) -> Application[Entered]:
        """What runs while the prompt is on the screen."""
        return self._session.app

    @property
    def vi(self) -> str:
        """The mode of the vi keys; empty with those of Emacs."""
        if self.app.editing_mode != EditingMode.VI:
            return ""
        return self.app.vi_state.input_mode.value.removeprefix("vi-")

    async def ask(self, message: str, given: str = "") -> Entered:
        """Return what the user enters; ``given`` stands there, before what was typed meanwhile.

        Raises EOFError when they leave, KeyboardInterrupt for Ctrl-C at an empty prompt.
        """
        draft, self._draft = self._draft, Document()
        if given:
            draft = Document(f"{given}\n{draft.text}" if draft.text else given)
        self._session.color_depth = colour_depth()
        if is_dumb_terminal():
            # There, what stands at the prompt from the start would not be shown.
            message += sanitize(draft.text)
        self.app.timeoutlen = 0.3 if self.app.editing_mode == EditingMode.VI else 1.0
        # With its own handling of signals it would remove ours.
        return await self._session.prompt_async(ANSI(message), default=draft, handle_sigint=False)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let the terminal show nothing of what is typed between two prompts; at the end keep what was not sent."""
        try:
            with quiet_terminal(self._session.input):
                yield
        finally:
            buffer = self._session.default_buffer
            self.editor.keep(buffer)
            buffer.document = self._draft
            self.editor.keep(buffer)

    @contextmanager
    def working(self) -> Iterator[Pause]:
        """Take what is typed meanwhile, as at the prompt: what is entered is queued, the rest is there at the next one.

        Yields what pauses that, for a question in between.
        """
        self._session.default_buffer.reset(self._draft)
        try:
            with typing_kept(self._session.input, self._session.output, self._feed) as pause:
                yield pause
        finally:
            self._draft = self._session.default_buffer.document
            self._session.default_buffer.reset()
            store_typeahead(self._session.input, self.editor.later)
            self.editor.later.clear()

    def typed(self) -> str:
        """Return in a few words what is queued and what is being typed."""
        waiting = len(self.editor.queue)
        parts = [f"{waiting} queued: Up takes back, Esc drops"] if waiting else []
        if text := self._session.default_buffer.text:
            line = one_line(text[-4 * _TAIL :], 4 * _TAIL)
            parts = [f"{waiting} queued"] if waiting else []
            parts.append("❯ " + (line if len(line) <= _TAIL else "…" + line[-_TAIL:]))
        return " · ".join(parts)

    def _feed(self, presses: list[KeyPress]) -> None:
        """Do what keys mean, without a screen."""
        if self._blind is None:
            self._blind = Application(
                layout=self.app.layout,
                key_bindings=self.app.key_bindings,
                clipboard=self.app.clipboard,
                input=DummyInput(),
                output=DummyOutput(),
            )
            # Who feeds it says when keys that belong together are complete.
            self._blind.timeoutlen = None  # type: ignore[assignment]  # it is read as float | None
        blind = self._blind
        blind.editing_mode = self.app.editing_mode
        with set_app(blind):
            blind.key_processor.feed_multiple(presses)
            blind.key_processor.process_keys()
        self.app.editing_mode = blind.editing_mode
