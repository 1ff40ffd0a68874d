"""The keys at the prompt, and the action of each."""

from collections.abc import Callable
from functools import partial

from prompt_toolkit import filters
from prompt_toolkit.application import get_app
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from swarmchat.cli.prompt.editor import Editor

KEYS: dict[str, str] = {
    "Enter": 'sends; accepts the choice made with Tab; in an open code block, or after an open `"""`, inserts a line '
    "break",
    "Alt-Enter, Ctrl-Enter": "inserts a line break; sends where Enter inserts one",
    "Shift-Enter, Ctrl-J": "inserts a line break. A terminal without CSI u or modifyOtherKeys sends Enter for "
    "Shift-Enter and Ctrl-Enter",
    "F3": "swaps Enter and Alt-Enter (setting: [`multiline`](#settings))",
    "Up, Down": "move through the lines of the message, then through your earlier messages of all sessions. At an "
    "empty prompt, Up moves the last queued message back to the prompt",
    "Right": "accepts the grey suggestion from your history",
    "Tab, Shift-Tab": "complete a command, then its arguments",
    "Ctrl-R": "searches your earlier messages of all sessions; Enter puts the match at the prompt",
    "Ctrl-X Ctrl-E": "opens the message in `$VISUAL` or `$EDITOR`; it comes back to the prompt",
    "Ctrl-X Ctrl-N": "sends the message with the next request of the running turn, like [`/now`](#the-queue)",
    "Ctrl-X Ctrl-P": "expands a folded paste",
    "Ctrl-O": "shows the tool results of the last turn in full",
    "Ctrl-X Ctrl-T": "shows what agents do in [tasks](swarms.md#agents-as-tools), also during an answer; folds it "
    "again",
    "Ctrl-L": "clears the screen",
    "Esc": "drops the last queued message, at an empty prompt",
    "Ctrl-C": "[stops, clears or leaves](#interrupting)",
    "Ctrl-D": "deletes a letter; [leaves](#interrupting) at an empty prompt",
    "Ctrl-Z": "suspends the program",
    "F4": "switches between Emacs and vi keys (setting: [`editing`](#settings))",
}
"""Each key that differs from Emacs, bash or vi, and what it does; shown in the documentation."""


def key_bindings(editor: Editor) -> KeyBindings:
    """Bind the actions of ``editor`` to the keys of ``KEYS``. All other keys are prompt_toolkit's own.

    The bindings also hold during an answer, when no prompt is on the screen, except for actions that need the screen.
    """
    typing = filters.has_focus(DEFAULT_BUFFER)
    inserting = typing & (filters.emacs_mode | filters.vi_insert_mode)
    deleting = inserting & ~filters.has_selection
    at_prompt = filters.Condition(lambda: get_app().is_running)
    empty = filters.Condition(lambda: not get_app().current_buffer.text)
    queued = filters.Condition(lambda: bool(editor.queue))
    actions: list[tuple[Callable[[KeyPressEvent], None], filters.Filter, str]] = [
        (editor.enter, typing, "enter"),
        (partial(editor.enter, alt=True), typing, "escape enter"),
        (editor.new_line, typing, "c-j"),
        (editor.paste, typing, "<bracketed-paste>"),
        (editor.unfold, typing, "c-x c-p"),
        (editor.unfold_tasks, typing, "c-x c-t"),
        (editor.steer, typing, "c-x c-n"),
        (editor.backspace, deleting, "backspace"),
        (editor.delete, deleting, "delete"),
        (editor.take_back, typing & queued & empty, "up"),
        (editor.drop_last, typing & queued & empty, "escape"),
        (editor.clear, typing & ~empty, "c-c"),
        (editor.drop_queue, typing & empty & queued & at_prompt, "c-c"),
        # prompt_toolkit has these two as well, but not on a dumb terminal.
        (editor.interrupt, typing & empty & ~queued & at_prompt, "c-c"),
        (editor.interrupt, at_prompt, "<sigint>"),
        (editor.leave, typing & empty & at_prompt, "c-d"),
        # Typed before the answer began, when Ctrl-C was not a signal yet.
        (editor.stop, empty & ~at_prompt, "c-c"),
        (editor.postpone, ~at_prompt, "c-o, c-l"),
        (editor.ignore, ~at_prompt, "c-d, c-r, c-s, tab, s-tab, f3"),
        # The user may see the end of an answer before the program does. A shell keeps it in the same way.
        (editor.postpone, typing & empty & ~at_prompt, "c-d"),
        (editor.ignore, ~at_prompt & filters.vi_navigation_mode, "/, ?"),
        (editor.complete, at_prompt & inserting, "tab"),
        (editor.show_results, at_prompt, "c-o"),
        (editor.swap_enter, at_prompt, "f3"),
        (editor.switch_keys, filters.Always(), "f4"),
        (editor.edit, at_prompt & typing, "c-x c-e"),
        (editor.edit, at_prompt & filters.vi_navigation_mode & typing, "v"),
        (editor.suspend, filters.Always(), "c-z"),
    ]
    bindings = KeyBindings()
    # Of two bindings that apply, the later one counts.
    for action, when, sequences in actions:
        for keys in sequences.split(", "):
            bindings.add(*keys.split(), filter=when)(action)
    return bindings
