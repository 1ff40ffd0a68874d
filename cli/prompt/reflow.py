"""The prompt in a window that becomes narrower: terminals that break lines anew move its first row up."""

from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point


def follow_reflow(app: Application[Any]) -> None:
    """Have ``app`` clear all of its rows when the window becomes narrower, also in terminals that break them anew.

    prompt_toolkit clears as many rows as it has drawn, and leaves the first ones of what is more then.
    """
    renderer, resized = app.renderer, app._on_resize

    def on_resize() -> None:
        from swarmchat.cli.terminal.capabilities import reflows_here

        drawn, size, columns = renderer.last_rendered_screen, renderer._last_size, app.output.get_size().columns
        if drawn is not None and size is not None and columns < size.columns and reflows_here():
            x, y = renderer._cursor_pos
            rows = (drawn.data_buffer[row] for row in range(y))
            widths = [max((at + cell.width for at, cell in row.items() if cell.char != " "), default=0) for row in rows]
            above = sum(max(0, width - 1) // columns + 1 for width in widths)
            renderer._cursor_pos = Point(x=x % columns, y=above + x // columns)
        resized()

    app._on_resize = on_resize  # type: ignore[method-assign]  # there is no other way in before it clears
