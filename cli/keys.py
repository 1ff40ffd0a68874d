"""What the keys do at the prompt."""

from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent


def key_bindings() -> KeyBindings:
    """Enter sends, Alt-Enter and Ctrl-J begin a line, Ctrl-C clears. The rest is prompt_toolkit's own (Emacs keys)."""
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
        from prompt_toolkit.application import get_app

        return bool(get_app().current_buffer.text)

    @keys.add("c-c", filter=has_text)
    def clear(event: KeyPressEvent) -> None:
        # What is cleared can be had back with the up arrow.
        event.current_buffer.append_to_history()
        event.current_buffer.reset()

    return keys
