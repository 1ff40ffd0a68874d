"""What the keys do at the prompt."""

from typing import cast

from prompt_toolkit.application import Application, get_app
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, emacs_mode, has_focus, has_selection, vi_insert_mode, vi_navigation_mode
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from swarmchat.cli.prompt.editor import Editor
from swarmchat.cli.prompt.queue import Entered

KEYS: dict[str, str] = {
    "Enter": 'sends; takes the choice that was made with Tab; begins a line in a code block or behind `"""` that is '
    "still open",
    "Alt-Enter": "begins a line; sends where Enter begins one",
    "Ctrl-J": "begins a line",
    "F3": "swaps Enter and Alt-Enter (setting: [`multiline`](#settings))",
    "Up, Down": "go through the lines of the message, then through what was entered earlier, in all sessions. Up at an "
    "empty prompt takes the last one back that is queued",
    "Right": "accepts the grey suggestion from your history",
    "Tab, Shift-Tab": "complete a command, then what can stand behind it",
    "Ctrl-R": "searches what was entered earlier, in all sessions; Enter takes it to the prompt",
    "Ctrl-X Ctrl-E": "opens the message in `$VISUAL` or `$EDITOR`; it comes back to the prompt",
    "Ctrl-X Ctrl-P": "expands a folded paste",
    "Ctrl-O": "shows in full what the tools of the last turn returned",
    "Ctrl-L": "clears the screen",
    "Esc": "drops the last queued message, at an empty prompt",
    "Ctrl-C": "[stops, clears or leaves](#interrupting)",
    "Ctrl-D": "deletes a letter; [leaves](#interrupting) at an empty prompt",
    "Ctrl-Z": "suspends the program",
    "F4": "switches between Emacs and vi keys (setting: [`editing`](#settings))",
}
"""What each key does that is not just as in Emacs, bash or vi, for the docs."""


_typing = has_focus(DEFAULT_BUFFER)
_inserting = emacs_mode | vi_insert_mode


@Condition
def _at_prompt() -> bool:
    return bool(get_app().is_running)


@Condition
def _has_text() -> bool:
    return bool(get_app().current_buffer.text)


def key_bindings(editor: Editor) -> KeyBindings:
    """Return what the keys of ``KEYS`` do. The rest is prompt_toolkit's own: Emacs or vi keys.

    All of it also holds while an answer comes and nobody reads the prompt, but for what needs the screen.
    """
    keys = KeyBindings()
    _add_sending(keys, editor)
    _add_interrupts(keys, editor)
    _add_for_later(keys, editor)

    @keys.add("tab", filter=_at_prompt & _typing & _inserting)
    def complete(event: KeyPressEvent) -> None:
        editor.complete(event.current_buffer)

    @keys.add("c-o", filter=_at_prompt)
    def results(event: KeyPressEvent) -> None:
        editor.show_results()

    @keys.add("f3", filter=_at_prompt)
    def swap(event: KeyPressEvent) -> None:
        editor.swap_enter()

    @keys.add("f4")
    def switch(event: KeyPressEvent) -> None:
        editor.switch_keys(_app(event))

    @keys.add("c-x", "c-e", filter=_at_prompt & _typing)
    @keys.add("v", filter=_at_prompt & vi_navigation_mode & _typing)
    def edit(event: KeyPressEvent) -> None:
        editor.edit(_app(event), event.current_buffer)

    @keys.add("c-z")
    def suspend(event: KeyPressEvent) -> None:
        editor.suspend(_app(event))

    return keys


def _add_interrupts(keys: KeyBindings, editor: Editor) -> None:
    """Add the keys that clear, stop and leave, and those of the queue."""

    @Condition
    def has_queue() -> bool:
        return len(editor.queue) > 0

    @keys.add("up", filter=_typing & has_queue & ~_has_text)
    def take_back(event: KeyPressEvent) -> None:
        editor.take_back(event.current_buffer)

    @keys.add("escape", filter=_typing & has_queue & ~_has_text)
    def drop_last(event: KeyPressEvent) -> None:
        editor.drop_last()

    @keys.add("c-c", filter=_typing & _has_text)
    def clear(event: KeyPressEvent) -> None:
        editor.clear(event.current_buffer)

    @keys.add("c-c", filter=_typing & ~_has_text & has_queue & _at_prompt)
    def drop(event: KeyPressEvent) -> None:
        editor.drop_queue()

    # The same as prompt_toolkit's own, which it leaves out on a dumb terminal.
    @keys.add("c-c", filter=_typing & ~_has_text & ~has_queue & _at_prompt)
    @keys.add("<sigint>", filter=_at_prompt)
    def interrupt(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    @keys.add("c-d", filter=_typing & ~_has_text & _at_prompt)
    def leave(event: KeyPressEvent) -> None:
        event.app.exit(exception=EOFError, style="class:exiting")

    # Typed before what runs had begun: then it was no signal.
    @keys.add("c-c", filter=~_has_text & ~_at_prompt)
    def stop(event: KeyPressEvent) -> None:
        editor.stop()


def _add_for_later(keys: KeyBindings, editor: Editor) -> None:
    """Add what the keys do that need a screen, while there is none."""

    @keys.add("c-o", filter=~_at_prompt)
    @keys.add("c-l", filter=~_at_prompt)
    def later(event: KeyPressEvent) -> None:
        editor.later += event.key_sequence

    def nothing(event: KeyPressEvent) -> None:
        pass

    for key in ("c-d", "c-r", "c-s", "tab", "s-tab", "f3"):
        keys.add(key, filter=~_at_prompt)(nothing)
    for key in "/?":
        keys.add(key, filter=~_at_prompt & vi_navigation_mode)(nothing)


def _add_sending(keys: KeyBindings, editor: Editor) -> None:
    """Add the keys that send, begin lines, and handle what was pasted."""

    @keys.add("enter", filter=_typing)
    def enter(event: KeyPressEvent) -> None:
        editor.enter(_app(event), event.current_buffer, alt=False)

    @keys.add("escape", "enter", filter=_typing)
    def alt_enter(event: KeyPressEvent) -> None:
        editor.enter(_app(event), event.current_buffer, alt=True)

    @keys.add("c-j", filter=_typing)
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add(Keys.BracketedPaste, filter=_typing)
    def paste(event: KeyPressEvent) -> None:
        editor.paste(event.current_buffer, event.data)

    @keys.add("c-x", "c-p", filter=_typing)
    def unfold(event: KeyPressEvent) -> None:
        editor.unfold(event.current_buffer)

    deleting = _typing & ~has_selection & _inserting

    @keys.add("backspace", filter=deleting)
    def backspace(event: KeyPressEvent) -> None:
        if not editor.delete_fold(event.current_buffer, before=True):
            event.current_buffer.delete_before_cursor(event.arg)

    @keys.add("delete", filter=deleting)
    def delete(event: KeyPressEvent) -> None:
        if not editor.delete_fold(event.current_buffer, before=False):
            event.current_buffer.delete(event.arg)


def _app(event: KeyPressEvent) -> Application[Entered]:
    return cast("Application[Entered]", event.app)
