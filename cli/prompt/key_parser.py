"""Parse terminal input that prompt_toolkit does not know: other forms of keys, and replies that are not keys.

Newer terminals report keys such as Shift-Enter as CSI u (kitty, Ghostty, WezTerm, foot, iTerm2, tmux) or as xterm's
modifyOtherKeys. Replies to other programs may arrive late, and focus reports may still be on.
"""

import re

from prompt_toolkit.input import Input
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.keys import Keys

_SHIFT, _ALT, _CTRL, _OTHER = 1, 2, 4, 8 | 16 | 32
"""Bits of the modifiers; others are Super, Hyper and Meta."""
_RELEASED = 3
_CSI_U = re.compile(r"\x1b\[(\d+)(?::(\d*)[:\d]*)?(?:;(\d*)(?::(\d+))?)?(?:;(\d*)[:\d]*)?u")
"""Code and shifted code of a key; modifiers and event; text. See sw.kovidgoyal.net/kitty/keyboard-protocol."""
_MODIFY_OTHER_KEYS = re.compile(r"\x1b\[27;(\d+);(\d+)~")
_WITH_EVENT = re.compile(r"\x1b\[(\d+);(\d+):(\d+)([A-Z~])")
"""An arrow or function key of the kitty protocol with its event."""
_KEYS_IN_PASTE = re.compile(rf"{_CSI_U.pattern}|{_MODIFY_OTHER_KEYS.pattern}")

_ENTER, _TAB, _ESCAPE, _BACKSPACE = 13, 9, 27, 127
_KEYPAD = {57399 + at: character for at, character in enumerate("0123456789./*-+\r=,")}
_KEYPAD |= {57417 + at: f"\x1b[{end}" for at, end in enumerate(["D", "C", "A", "B", "5~", "6~", "H", "F", "2~", "3~"])}
"""Keys of the number pad, as other terminals send them."""
_PRIVATE = range(57344, 63744)
"""Codes of keys without a character, such as the modifiers themselves."""

_FOCUS = {"\x1b[I": True, "\x1b[O": False}
"""The reports that the terminal has got or lost the focus."""
_STRINGS = re.compile(r"\x1b(?:\][0-9]|[P_^X][!-~])")
"""The start of a reply with a text. Alt-] and Alt-P alone are keys."""
_LATE = re.compile(r"\[[?>]?\d[\d;:]*[A-Za-z~]|\]\d+;|P[>!+\d]")
"""The rest of a sequence whose Esc was read as a key because the rest came late. Nobody types it that fast."""
_LONGEST = 4096
"""Characters of a reply after which the rest is no part of it."""


def read_all_keys(source: Input) -> None:
    """Let ``source`` read its keys with a ``KeyParser``, if it is a terminal with escape sequences."""
    parser = getattr(source, "vt100_parser", None)
    if isinstance(parser, Vt100Parser) and not isinstance(parser, KeyParser):
        source.vt100_parser = KeyParser(parser.feed_key_callback)  # type: ignore[attr-defined]  # Vt100Input has it


class KeyParser(Vt100Parser):
    """A parser that passes whole escape sequences on: known ones as keys, and no others."""

    focused = True
    """Whether the terminal has the focus, as it reported last."""

    def reset(self, request: bool = False) -> None:
        """Forget what was read so far."""
        super().reset(request)
        self._sequence = ""
        self._was_escape = False

    def feed(self, data: str) -> None:
        """Read ``data``, which may end in the middle of a sequence."""
        if self._was_escape and data:
            self._was_escape = False
            if _LATE.match(data):
                self._sequence = "\x1b"
        for index, character in enumerate(data):
            if self._in_bracketed_paste:
                super().feed(data[index:])
                return
            self._read(character)

    def flush(self) -> None:
        """Take an unfinished sequence for the keys that it begins with, such as Esc."""
        # With a parameter, it is the first part of a sequence that arrives in two.
        if len(self._sequence) < 3:
            self._was_escape = self._was_escape or self._sequence == "\x1b"
            self._release()
            super().flush()

    def _read(self, character: str) -> None:
        sequence = self._sequence
        if not sequence and character != "\x1b":
            super().feed(character)
        elif not sequence or (sequence == "\x1b" and character in "[]P_^XO"):
            self._sequence += character
        elif sequence == "\x1bO":
            self._sequence = "\r" if character == "M" else sequence + character
            self._release()
        elif sequence.startswith("\x1b["):
            self._read_control(character)
        elif len(sequence) == 2 and _STRINGS.match(sequence + character):
            self._sequence += character
        elif len(sequence) > 2:
            self._read_string(character)
        else:
            self._release()
            self._read(character)

    def _read_control(self, character: str) -> None:
        """Read the next character of a control sequence: parameters, then a letter or another sign."""
        sequence = self._sequence + character
        if not " " <= character <= "~":
            self._sequence = ""
            self._read(character)
        elif character < "@" or sequence == "\x1b[[":
            self._sequence = sequence[:_LONGEST]
        else:
            self._sequence = ""
            self._report(sequence)

    def _read_string(self, character: str) -> None:
        """Read the next character of a reply with a text, and drop it at its end."""
        if character == "\\" and self._sequence.endswith("\x1b"):
            self._sequence = ""
        elif self._sequence.endswith("\x1b") or (character < " " and character not in "\a\x1b"):
            # It was cut off: this is a key.
            escape = "\x1b" if self._sequence.endswith("\x1b") else ""
            self._sequence = ""
            for each in escape + character:
                self._read(each)
        else:
            self._sequence = "" if character == "\a" else (self._sequence + character)[-_LONGEST:]

    def _release(self) -> None:
        sequence, self._sequence = self._sequence, ""
        super().feed(sequence)

    def _report(self, sequence: str) -> None:
        """Pass on the keys of a whole control sequence, if it has any."""
        if sequence in _FOCUS:
            self.focused = _FOCUS[sequence]
            return
        keys = _keys_of(sequence)
        if keys is None:
            keys = sequence if self._get_match(sequence) or sequence == "\x1b[M" else ""
        if keys == "\n":
            # Ctrl-J of a terminal that is not quiet yet is its Enter; this one never is.
            super().flush()
            self._call_handler(Keys.ControlJ, sequence)
        elif keys:
            super().feed(keys)
            if keys == "\x1b":
                super().flush()


def _keys_of(sequence: str) -> str | None:
    """Return the usual sequence for a key; empty if the key is unused; ``None`` for any other sequence."""
    if match := _CSI_U.fullmatch(sequence):
        code, shifted, modifiers, event, text = (int(group or 0) for group in match.groups())
        return "" if event == _RELEASED else _key(code, max(modifiers - 1, 0), shifted, text)
    if match := _MODIFY_OTHER_KEYS.fullmatch(sequence):
        return _key(int(match[2]), max(int(match[1]) - 1, 0))
    if match := _WITH_EVENT.fullmatch(sequence):
        number, modifier_bits, end = match[1], match[2], match[4]
        if int(match[3]) == _RELEASED:
            return ""
        # Bits from 64 on are Caps Lock and Num Lock.
        modifiers = max(int(modifier_bits) - 1, 0) & 63
        return f"\x1b[{number};{modifiers + 1}{end}" if modifiers else f"\x1b[{number if end == '~' else ''}{end}"
    return None


def _key(code: int, modifiers: int, shifted: int = 0, text: int = 0) -> str:
    """Return the usual sequence for the key of the character ``code``; empty if the key is unused."""
    if modifiers & _OTHER or code > 0x10FFFF:
        return ""
    shift, ctrl, alt = modifiers & _SHIFT, modifiers & _CTRL, "\x1b" if modifiers & _ALT else ""
    keypad = _KEYPAD.get(code, "")
    if code == _ENTER or keypad == "\r":
        return "\x1b\r" if ctrl or alt else "\n" if shift else "\r"
    if code == _TAB:
        return "" if ctrl or alt else "\x1b[Z" if shift else "\t"
    if code == _ESCAPE:
        return "\x1b"
    if code == _BACKSPACE:
        return "\x1b\x7f" if ctrl or alt else "\x7f"
    if code in _PRIVATE:
        return keypad
    character = chr(code)
    if ctrl and shift and character.isalpha():
        # The terminal's own, such as Ctrl-Shift-C to copy.
        return ""
    if ctrl:
        character = chr(shifted) if shift and shifted else character
        control = {" ": "@", "/": "_", "?": ""}.get(character, character).upper()
        return alt + chr(ord(control) & 31) if control and "@" <= control <= "_" else ""
    character = chr(text) if text else chr(shifted) if shift and shifted else character.upper() if shift else character
    return alt + character if character.isprintable() else ""


def pasted_text(text: str) -> str:
    """Return a paste with the keys in it as text: some versions of tmux send its line ends as CSI u."""

    def as_text(match: re.Match[str]) -> str:
        keys = (_keys_of(match[0]) or "").replace("\r", "\n").removeprefix("\x1b")
        return keys if keys.isprintable() or keys in ("\n", "\t") else ""

    return _KEYS_IN_PASTE.sub(as_text, text) if "\x1b[" in text else text
