"""What is done with the text at the prompt: sent, queued, cleared, folded, taken back."""

import asyncio
import os
import signal
from collections.abc import Callable

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from swarmchat.cli.prompt.multiline import is_unfinished, without_quotes
from swarmchat.cli.prompt.pastes import Pastes
from swarmchat.cli.prompt.queue import Entered, Queue
from swarmchat.cli.slash.registry import is_command
from swarmchat.cli.terminal.external_editor import edit_text


class Editor:
    """Carries out what keys mean. ``remark`` tells the user something, ``show_results`` what the last tools returned.

    ``stop`` stops what runs. While something does, no prompt is on the screen, and what is sent waits in ``queue``.
    """

    def __init__(
        self,
        remark: Callable[[str], None],
        show_results: Callable[[], None],
        stop: Callable[[], None],
        *,
        swapped: bool,
    ) -> None:
        self.queue = Queue()
        self.later: list[KeyPress] = []
        """Keys that wait until there is a prompt."""
        self._pastes = Pastes()
        self._completing = False
        self._waiting: Application[Entered] | None = None
        """Where Enter was pressed before Tab was done."""
        self._swapped = swapped
        """Whether Enter begins a line and Alt-Enter sends."""
        self._remark = remark
        self._show_results = show_results
        self.stop = stop

    def enter(self, app: Application[Entered], buffer: Buffer, *, alt: bool) -> None:
        """Send the text, or begin a line: with Alt-Enter whichever Enter does not."""
        completions = buffer.complete_state
        if self._completing:
            self._waiting = app
        elif not alt and completions and completions.current_completion is not None:
            buffer.complete_state = None
        elif ((self._swapped and not is_command(buffer.text)) or is_unfinished(buffer.text)) != alt:
            buffer.newline(copy_margin=False)
        elif app.is_running:
            entered = self._entered(buffer)
            if entered.text.strip() or self.queue:
                app.exit(result=entered, style="class:accepted")
        elif buffer.text.strip():
            self.queue.add(self._entered(buffer))
            buffer.reset()

    def complete(self, buffer: Buffer) -> None:
        """Complete the text, or go to the next choice."""
        if buffer.complete_state:
            buffer.complete_next()
        else:
            self._completing = True
            buffer.start_completion(insert_common_part=True)

    def completed(self) -> None:
        """All choices are known, and are put at the prompt in a moment."""
        self._completing, app = False, self._waiting
        self._waiting = None

        def enter() -> None:
            if app is not None and app.is_running and not app.is_done:
                app.key_processor.feed(KeyPress(Keys.Enter, "\r"), first=True)
                app.key_processor.process_keys()

        asyncio.get_running_loop().call_soon(enter)

    def clear(self, buffer: Buffer) -> None:
        """Empty the prompt; the up arrow brings the text back."""
        self.keep(buffer)
        buffer.reset()

    def keep(self, buffer: Buffer) -> None:
        """Keep the text in the history."""
        self._remember(buffer, self._pastes.unfold(buffer.text))

    def paste(self, buffer: Buffer, pasted: str) -> None:
        """Insert ``pasted``, folded if it is long."""
        if buffer.selection_state:
            buffer.cut_selection()
        buffer.insert_text(self._pastes.fold(pasted, buffer.text))

    def delete_fold(self, buffer: Buffer, *, before: bool) -> bool:
        """Delete the folded paste ``before`` the cursor, or behind it; return whether there was one."""
        document = buffer.document
        if before:
            mark = self._pastes.mark_before(document.text_before_cursor)
            buffer.delete_before_cursor(len(mark))
        else:
            mark = self._pastes.mark_after(document.text_after_cursor)
            buffer.delete(len(mark))
        return bool(mark)

    def unfold(self, buffer: Buffer) -> None:
        """Show all pastes in full."""
        before = self._pastes.unfold(buffer.document.text_before_cursor)
        whole = self._pastes.unfold(buffer.text)
        if whole != buffer.text:
            buffer.save_to_undo_stack()
            buffer.document = Document(whole, len(before) if whole.startswith(before) else len(whole))

    def take_back(self, buffer: Buffer) -> None:
        """Put the last one of the queue at the prompt."""
        if entered := self.queue.take_back():
            buffer.document = Document(entered.shown)

    def drop_last(self) -> None:
        """Let go of the last one of the queue; it is in the history."""
        self.queue.take_back()

    def drop_queue(self) -> None:
        """Let go of all of the queue, and say so."""
        dropped = self.queue.drop()
        run_in_terminal(
            lambda: self._remark(
                f"{dropped} queued {'was' if dropped == 1 else 'were'} not sent; Up brings back what was typed"
            )
        )

    def swap_enter(self) -> None:
        """Swap Enter and Alt-Enter."""
        self._swapped = not self._swapped
        run_in_terminal(
            lambda: self._remark(
                f"{'Alt-Enter' if self._swapped else 'Enter'} sends, "
                f"{'Enter' if self._swapped else 'Alt-Enter'} begins a line; F3 swaps them"
            )
        )

    def switch_keys(self, app: Application[Entered]) -> None:
        """Go from the keys of Emacs to those of vi, or back."""
        app.editing_mode = EditingMode.EMACS if app.editing_mode == EditingMode.VI else EditingMode.VI

    def show_results(self) -> None:
        """Show what the last tools returned, above the prompt."""
        run_in_terminal(self._show_results)

    def edit(self, app: Application[Entered], buffer: Buffer) -> None:
        """Open the text in the user's editor; it comes back to the prompt, and Enter sends it."""
        text = self._pastes.unfold(buffer.text)

        async def run() -> None:
            edited: list[str] = []
            try:
                await run_in_terminal(lambda: edited.append(edit_text(text)), in_executor=True)
            except (OSError, ValueError) as error:
                problem = f"no editor: {error}"
                await run_in_terminal(lambda: self._remark(problem))
            else:
                buffer.save_to_undo_stack()
                buffer.document = Document(edited[0])

        app.create_background_task(run())

    def suspend(self, app: Application[Entered]) -> None:
        """Go to the shell, from where ``fg`` leads back."""
        if not hasattr(signal, "SIGTSTP"):
            return
        if app.is_running:
            app.suspend_to_background()
            return
        with app.input.cooked_mode():
            os.kill(0, signal.SIGTSTP)

    def _entered(self, buffer: Buffer) -> Entered:
        entered = Entered(buffer.text, without_quotes(self._pastes.unfold(buffer.text)))
        self.keep(buffer)
        return entered

    def _remember(self, buffer: Buffer, text: str) -> None:
        if text.strip() and buffer.history.get_strings()[-1:] != [text]:
            buffer.history.append_string(text)
