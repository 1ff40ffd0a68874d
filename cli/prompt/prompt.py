"""The prompt of a chat: a line editor that also accepts input typed during an answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, set_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.data_structures import Point
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.formatted_text import ANSI, AnyFormattedText
from prompt_toolkit.input import DummyInput
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.styles import DynamicStyle
from prompt_toolkit.utils import is_dumb_terminal
from swarmchat.cli.prompt.completer import SlashCompleter
from swarmchat.cli.prompt.editor import Editor
from swarmchat.cli.prompt.entry import Entered
from swarmchat.cli.prompt.history import PromptHistory, open_history
from swarmchat.cli.prompt.key_bindings import key_bindings
from swarmchat.cli.prompt.key_parser import KeyParser, read_all_keys
from swarmchat.cli.prompt.style import colour_depth, prompt_style
from swarmchat.cli.prompt.toolbar import Cost, toolbar
from swarmchat.cli.prompt.typeahead import Pause, quiet_terminal, take_terminal_back, typing_kept
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.settings import wiring
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.terminal.capabilities import reflows_here
from swarmchat.cli.terminal.printing import count_of
from swarmchat.cli.terminal.sanitize import one_line, sanitize

_STATUS_WIDTH = 40
"""How many characters of the text being typed the status line shows."""


class Prompt:
    """Asks the user for the next message. ``stop`` stops the running answer, ``steer`` sends a text along with it."""

    def __init__(
        self, chat: ChatContext, renderer: Renderer, stop: Callable[[], None], steer: Callable[[str], bool]
    ) -> None:
        self._chat = chat
        self._backend = wiring.backend_name(chat.settings)
        self._cost = Cost(chat.settings.all_prices)
        self._editor = Editor(renderer, stop, steer, swapped=chat.settings.multiline)
        self.queue = self._editor.queue
        self._completer = SlashCompleter(chat, on_done=self._editor.completed)
        self.pause: Pause = nullcontext
        """Leaves the keyboard to a question that is asked during an answer."""
        self._problems: list[str] = []
        self._report = renderer.remark
        self._draft = Document()
        """The text that was typed but not entered yet, for the next prompt."""
        self._session: PromptSession[Entered | None] = PromptSession(
            history=open_history(wiring.prompts_file(chat.settings), self._problems.append),
            key_bindings=key_bindings(self._editor),
            multiline=True,
            prompt_continuation=lambda width, line, soft_wrapped: " " * width,
            bottom_toolbar=self._toolbar,
            auto_suggest=AutoSuggestFromHistory(),
            completer=self._completer,
            complete_while_typing=False,
            reserve_space_for_menu=6,
            search_ignore_case=True,
            vi_mode=chat.settings.editing == "vi",
            style=DynamicStyle(prompt_style),
        )
        read_all_keys(self._session.input)
        self.app = self._session.app
        """Runs while the prompt is on the screen."""
        follow_reflow(self.app)
        # Seconds after which Esc counts as a key, not as the start of Alt and another key.
        self.app.ttimeoutlen = 0.1

    async def ask(self, message: str, prefill: str = "", *, revising: bool = False) -> Entered | None:
        """Return the user's input at the prompt ``message``; ``prefill`` is put before the current draft.

        None if ``interrupt`` took the prompt off the screen.

        Raises EOFError when they leave, KeyboardInterrupt for Ctrl-C at an empty prompt, and if ``revising`` at any.
        """
        while self._problems:
            self._report(one_line(self._problems.pop(), 200))
        self._completer.forget()
        self._editor.revising = revising
        draft, self._draft = self._draft, Document()
        if prefill:
            draft = Document(f"{prefill}\n{draft.text}" if draft.text else prefill)
        self._session.color_depth = colour_depth()
        if is_dumb_terminal():
            # There, prompt_toolkit does not show the default text.
            message += sanitize(draft.text)
        self.app.timeoutlen = 0.3 if self.app.editing_mode == EditingMode.VI else 1.0
        # Its own handling of signals would replace that of the chat.
        try:
            return await self._session.prompt_async(ANSI(message), default=draft, handle_sigint=False)
        finally:
            self._editor.revising = False
            self.app.erase_when_done = False

    def resume(self) -> None:
        """Restore the terminal after the program was suspended and continued."""
        if not self.app.is_running:
            take_terminal_back(at_prompt=False)
        elif not self.app._running_in_terminal and take_terminal_back(at_prompt=True):
            self.app.renderer.reset()
            # Without it, prompt_toolkit does not know how much room there is for the toolbar.
            self.app._request_absolute_cursor_position()
            self.app.invalidate()

    def interrupt(self) -> bool:
        """Take the prompt off the screen; the text that is being typed is at the next one, with the cursor.

        Return False while more than that text would be lost: a search, a choice of completions, another program.
        """
        buffer = self._session.default_buffer
        busy = self.app._running_in_terminal or buffer.complete_state or not self.app.layout.has_focus(buffer)
        if busy or not self.app.is_running:
            return False
        if not self.app.is_done:
            self._draft = buffer.document
            self.app.erase_when_done = True
            self.app.exit(result=None)
        return True

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Hide input between two prompts; at the end, add unsent input to the history."""
        try:
            with quiet_terminal(self._session.input):
                yield
        finally:
            buffer = self._session.default_buffer
            unsent = [*self._chat.session.steering.waiting, *(entered.text for entered in self.queue)]
            unsent.append(self._editor.add_to_history(buffer))
            buffer.document = self._draft
            unsent.append(self._editor.add_to_history(buffer))
            self._tell_unsent([text for text in unsent if text.strip()])

    def _tell_unsent(self, texts: list[str]) -> None:
        """Say at the end that ``texts`` were not sent, and keep those for the next chat that are long."""
        history, where = self._session.history, ""
        if isinstance(history, PromptHistory):
            where = (
                ": Up brings it back in the next chat" if len(texts) == 1 else ": Up brings them back in the next chat"
            )
            for text in texts:
                history.keep_unsent(text)
        if texts:
            # The terminal may be gone.
            with suppress(OSError):
                self._report(f"not sent: {count_of(len(texts), 'message')}{where}")

    @contextmanager
    def working(self) -> Iterator[None]:
        """Handle typing as at the prompt while an answer comes: entries are queued, the rest is the next draft."""
        self._session.default_buffer.reset(self._draft)
        source, output, focus = self._session.input, self._session.output, self._chat.settings.notify != "off"
        if isinstance(parser := getattr(source, "vt100_parser", None), KeyParser):
            # The user has just pressed Enter.
            parser.focused = True
        try:
            with typing_kept(source, output, self._feed, focus=focus) as self.pause:
                yield
        finally:
            self._draft = self._session.default_buffer.document
            self._session.default_buffer.reset()
            store_typeahead(self._session.input, self._editor.postponed)
            self._editor.postponed.clear()

    @property
    def has_focus(self) -> bool:
        """Whether the terminal had the focus at the end of the last work; also if it does not report that."""
        parser = getattr(self._session.input, "vt100_parser", None)
        return not isinstance(parser, KeyParser) or parser.focused

    def typing_status(self) -> str:
        """Describe the queued messages and the current input, for the status line."""
        steering = len(self._chat.session.steering.waiting)
        parts = [f"{steering} with the next request" if steering else "", self._queue_status()]
        return " · ".join(filter(None, parts))

    def _queue_status(self) -> str:
        count, text = len(self.queue), self._session.default_buffer.text
        if not text and self._editor.leaves_later:
            return f"{count} queued · leaves then" if count else "leaves then"
        if not text:
            return f"{count} queued: Up takes back, Esc drops" if count else ""
        line = one_line(text[-4 * _STATUS_WIDTH :], 4 * _STATUS_WIDTH)
        typed = "❯ " + (line if len(line) <= _STATUS_WIDTH else "…" + line[-_STATUS_WIDTH:])
        return f"{count} queued · {typed}" if count else typed

    def _toolbar(self) -> AnyFormattedText:
        is_vi, session = self.app.editing_mode == EditingMode.VI, self._chat.session
        mode = self.app.vi_state.input_mode.value.removeprefix("vi-") if is_vi else ""
        return toolbar(session, self._backend, queued=len(self.queue), mode=mode, cost=self._cost.of(session))

    @cached_property
    def _hidden_app(self) -> Application[Entered | None]:
        """An application that carries out keys without a screen."""
        app: Application[Entered | None] = Application(
            layout=self.app.layout,
            key_bindings=self.app.key_bindings,
            clipboard=self.app.clipboard,
            input=DummyInput(),
            output=DummyOutput(),
        )
        # typing_kept decides when a sequence of keys is complete.
        app.timeoutlen = None  # type: ignore[assignment]  # it is read as float | None
        return app

    def _feed(self, presses: list[KeyPress]) -> None:
        """Carry out keys without a screen."""
        app = self._hidden_app
        app.editing_mode = self.app.editing_mode
        with set_app(app):
            app.key_processor.feed_multiple(presses)
            app.key_processor.process_keys()
        self.app.editing_mode = app.editing_mode


def follow_reflow(app: Application[Any]) -> None:
    """Let ``app`` erase all its rows when the window becomes narrower, even if the terminal wraps them again.

    prompt_toolkit erases as many rows as it has drawn, which leaves the first ones if there are more after wrapping.
    """
    renderer, resize = app.renderer, app._on_resize

    def on_resize() -> None:
        screen, size, columns = renderer.last_rendered_screen, renderer._last_size, app.output.get_size().columns
        if screen is not None and size is not None and columns < size.columns and reflows_here():
            x, y = renderer._cursor_pos
            rows = (screen.data_buffer[row] for row in range(y))
            widths = [max((at + cell.width for at, cell in row.items() if cell.char != " "), default=0) for row in rows]
            above = sum(max(0, width - 1) // columns + 1 for width in widths)
            renderer._cursor_pos = Point(x=x % columns, y=above + x // columns)
        resize()

    app._on_resize = on_resize  # type: ignore[method-assign]  # the only hook before it erases
