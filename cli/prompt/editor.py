"""The actions of the keys at the prompt: send, queue, clear, fold, take back, edit elsewhere."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.key_binding import KeyPress, KeyPressEvent
from prompt_toolkit.keys import Keys
from swarmchat.cli.attachments.paths import mention, pasted_file
from swarmchat.cli.prompt.above import print_above
from swarmchat.cli.prompt.entry import Entered, Pastes, Queue, is_unfinished, without_quotes
from swarmchat.cli.prompt.key_parser import pasted_text
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.slash.registry import is_command
from swarmchat.cli.terminal.external_editor import edit_text

STEER = "/now "
"""The beginning of a message to the running turn."""


class Editor:
    """The actions that ``key_bindings`` binds to keys.

    During an answer no prompt is on the screen, and entered text waits in ``queue``.
    """

    def __init__(
        self, renderer: Renderer, stop: Callable[[], None], steer: Callable[[str], bool], *, swapped: bool
    ) -> None:
        """With ``swapped``, Enter inserts a line break and Alt-Enter sends. ``stop`` stops the running answer.

        ``steer`` sends a text along with its next request; it returns whether there is an answer to send it to.
        """
        self.queue = Queue()
        self.postponed: list[KeyPress] = []
        """Keys to handle at the next prompt."""
        self.revising = False
        """Whether an undone turn is being edited: Ctrl-C gives that up."""
        self._pastes = Pastes()
        self._completing = False
        self._enter_after_completion: Application[Any] | None = None
        """The prompt at which Enter was pressed while completion was still running."""
        self._swapped = swapped
        self._renderer = renderer
        self._stop = stop
        self._steer = steer

    @property
    def leaves_later(self) -> bool:
        """Whether Ctrl-D was pressed during an answer: it leaves at the next prompt."""
        return any(press.key == Keys.ControlD for press in self.postponed)

    def enter(self, event: KeyPressEvent, *, alt: bool = False) -> None:
        """Send or queue the text, or insert a line break. With ``alt``, the other way round."""
        app, buffer = event.app, event.current_buffer
        completions = buffer.complete_state
        if self._completing:
            self._enter_after_completion = app
        elif not alt and completions and completions.current_completion is not None:
            buffer.complete_state = None
        elif ((self._swapped and not is_command(buffer.text)) or is_unfinished(buffer.text)) != alt:
            self.new_line(event)
        elif app.is_running:
            entered = self._take_entry(buffer)
            if entered.text.strip() or self.queue:
                app.exit(result=entered, style="class:accepted")
        elif buffer.text.strip():
            entered = self._take_entry(buffer)
            message = entered.text.removeprefix(STEER)
            if message == entered.text or not message.strip() or not self._steer(message.strip()):
                self.queue.append(entered)
            buffer.reset()

    def steer(self, event: KeyPressEvent) -> None:
        """Send the text with the next request of the running turn; at a prompt, send it."""
        buffer = event.current_buffer
        if event.app.is_running or is_command(buffer.text) or not self._steer(self._pastes.unfold(buffer.text)):
            self.enter(event)
            return
        self.add_to_history(buffer)
        buffer.reset()

    def new_line(self, event: KeyPressEvent) -> None:
        """Insert a line break."""
        event.current_buffer.newline(copy_margin=False)

    def complete(self, event: KeyPressEvent) -> None:
        """Complete the text, or select the next completion."""
        buffer = event.current_buffer
        if buffer.complete_state:
            buffer.complete_next()
        else:
            self._completing = True
            buffer.start_completion(insert_common_part=True)

    def completed(self) -> None:
        """Handle an Enter that had to wait; called when all completions are known, just before they are shown."""
        self._completing, app = False, self._enter_after_completion
        self._enter_after_completion = None

        def enter() -> None:
            if app is not None and app.is_running and not app.is_done:
                app.key_processor.feed(KeyPress(Keys.Enter, "\r"), first=True)
                app.key_processor.process_keys()

        asyncio.get_running_loop().call_soon(enter)

    def clear(self, event: KeyPressEvent) -> None:
        """Empty the prompt; the up arrow brings the text back. If ``revising``, leave it."""
        self.add_to_history(event.current_buffer)
        if self.revising:
            self.interrupt(event)
        else:
            event.current_buffer.reset()

    def add_to_history(self, buffer: Buffer) -> str:
        """Add the text to the history, with its pastes in full; return it."""
        text = self._pastes.unfold(buffer.text)
        if text.strip() and buffer.history.get_strings()[-1:] != [text]:
            buffer.history.append_string(text)
        return text

    def interrupt(self, event: KeyPressEvent) -> None:
        """Leave the prompt with KeyboardInterrupt."""
        event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    def leave(self, event: KeyPressEvent) -> None:
        """Leave the prompt with EOFError."""
        event.app.exit(exception=EOFError, style="class:exiting")

    def stop(self, event: KeyPressEvent) -> None:
        """Stop the answer or the command that is running."""
        self._stop()

    def paste(self, event: KeyPressEvent) -> None:
        """Insert the pasted text, folded if it is long; the path of a file as a mention of it."""
        buffer, pasted = event.current_buffer, pasted_text(event.data)
        if buffer.selection_state:
            buffer.cut_selection()
        if not is_command(buffer.text) and (path := pasted_file(pasted)):
            before = buffer.document.char_before_cursor
            buffer.insert_text(f"{' ' if before.strip() else ''}{mention(str(path))} ")
        else:
            buffer.insert_text(self._pastes.fold(pasted, buffer.text))

    def backspace(self, event: KeyPressEvent) -> None:
        """Delete the folded paste or the characters before the cursor."""
        buffer = event.current_buffer
        mark = self._pastes.mark_before(buffer.document.text_before_cursor)
        buffer.delete_before_cursor(len(mark) or event.arg)

    def delete(self, event: KeyPressEvent) -> None:
        """Delete the folded paste or the characters after the cursor."""
        buffer = event.current_buffer
        mark = self._pastes.mark_after(buffer.document.text_after_cursor)
        buffer.delete(len(mark) or event.arg)

    def unfold(self, event: KeyPressEvent) -> None:
        """Show all pastes in full."""
        buffer = event.current_buffer
        before = self._pastes.unfold(buffer.document.text_before_cursor)
        text = self._pastes.unfold(buffer.text)
        if text != buffer.text:
            buffer.save_to_undo_stack()
            buffer.document = Document(text, len(before) if text.startswith(before) else len(text))

    def take_back(self, event: KeyPressEvent) -> None:
        """Move the last entry of the queue back to the prompt."""
        if entered := self.queue.take_back():
            event.current_buffer.document = Document(entered.folded)

    def drop_last(self, event: KeyPressEvent) -> None:
        """Drop the last entry of the queue; it stays in the history."""
        self.queue.take_back()

    def drop_queue(self, event: KeyPressEvent) -> None:
        """Drop the whole queue, and say so."""
        count = self.queue.drop()
        self._remark_above(event.app, f"{count} queued {'was' if count == 1 else 'were'} not sent; Up brings them back")

    def swap_enter(self, event: KeyPressEvent) -> None:
        """Swap Enter and Alt-Enter."""
        self._swapped = not self._swapped
        sends, breaks = ("Alt-Enter", "Enter") if self._swapped else ("Enter", "Alt-Enter")
        self._remark_above(event.app, f"{sends} sends, {breaks} inserts a line break; F3 swaps them")

    def switch_keys(self, event: KeyPressEvent) -> None:
        """Switch between Emacs and vi keys."""
        is_vi = event.app.editing_mode == EditingMode.VI
        event.app.editing_mode = EditingMode.EMACS if is_vi else EditingMode.VI

    def show_results(self, event: KeyPressEvent) -> None:
        """Print the results of the last tools above the prompt."""
        print_above(event.app, self._renderer.show_results)

    def unfold_tasks(self, event: KeyPressEvent) -> None:
        """Show the work of agents in tasks, or fold it again."""
        print_above(event.app, self._renderer.unfold_tasks)

    def edit(self, event: KeyPressEvent) -> None:
        """Open the text in the user's editor, then put it back; leave the prompt if ``revising`` changed nothing."""
        buffer = event.current_buffer
        text = self._pastes.unfold(buffer.text)

        async def run() -> None:
            try:
                edited = await run_in_terminal(lambda: edit_text(text), in_executor=True)
            except (OSError, ValueError) as error:
                self._remark_above(event.app, f"no editor: {error}")
            else:
                if self.revising and edited == text and event.app.is_running:
                    self.interrupt(event)
                    return
                buffer.save_to_undo_stack()
                buffer.document = Document(edited)

        event.app.create_background_task(run())

    def suspend(self, event: KeyPressEvent) -> None:
        """Return to the shell, whose ``fg`` command continues the chat."""
        if event.app.is_running:
            event.app.suspend_to_background()
        elif hasattr(signal, "SIGTSTP"):
            with event.app.input.cooked_mode():
                os.kill(0, signal.SIGTSTP)

    def postpone(self, event: KeyPressEvent) -> None:
        """Keep the pressed keys for the next prompt: their action needs a screen."""
        self.postponed += event.key_sequence

    def ignore(self, event: KeyPressEvent) -> None:
        """Do nothing."""

    def _remark_above(self, app: Application[Any], text: str) -> None:
        print_above(app, lambda: self._renderer.remark(text))

    def _take_entry(self, buffer: Buffer) -> Entered:
        """Return the text as it is sent; it is in the history then."""
        self.add_to_history(buffer)
        return Entered(buffer.text, without_quotes(self._pastes.unfold(buffer.text)))
