"""The user's terminal: what it can do, safe text, themes, clipboard, editor, progress."""
