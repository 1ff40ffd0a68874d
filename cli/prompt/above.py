"""Lines above the prompt while the user types."""

from collections.abc import Callable
from typing import Any

from prompt_toolkit.application import Application, run_in_terminal


def print_above(app: Application[Any], write: Callable[[], object]) -> None:
    """Let ``write`` print above the prompt of ``app``; keys pressed meanwhile reach the prompt.

    prompt_toolkit's ``run_in_terminal`` gives the terminal its usual mode for as long: it would echo those keys, take
    Ctrl-D for itself and make Enter a line break. It is for programs that read keys themselves, such as editors.
    """
    if not app.is_running:
        write()
    elif app._running_in_terminal:
        run_in_terminal(write)
    else:
        app.renderer.erase()
        try:
            write()
        finally:
            app.renderer.reset()
            app._request_absolute_cursor_position()
            app._redraw()
