"""What the keys do at the prompt."""

from prompt_toolkit.application import get_app
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent


def key_bindings() -> KeyBindings:
    """Enter sends, Alt-Enter and Ctrl-J begin a line, Ctrl-C clears, Ctrl-D leaves.

    The rest is prompt_toolkit's own: Emacs keys.
    """
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @Condition
    def has_text() -> bool:
        return bool(get_app().current_buffer.text)

    @keys.add("c-c", filter=has_text)
    def clear(event: KeyPressEvent) -> None:
        # What is cleared can be had back with the up arrow.
        event.current_buffer.append_to_history()
        event.current_buffer.reset()

    # The same as prompt_toolkit's own, which it leaves out on a dumb terminal.
    @keys.add("c-c", filter=~has_text)
    @keys.add("<sigint>")
    def interrupt(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    @keys.add("c-d", filter=~has_text)
    def leave(event: KeyPressEvent) -> None:
        event.app.exit(exception=EOFError, style="class:exiting")

    return keys
