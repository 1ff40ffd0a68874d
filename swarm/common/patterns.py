"""Regular expressions that are compiled at their first use: at its start, the program needs only a few of them."""

import re
from functools import cached_property
from typing import AnyStr, Generic, cast


class _LazyPattern(Generic[AnyStr]):
    """Behaves like the compiled pattern. Methods are kept once they were used, so that only the first call costs."""

    def __init__(self, text: AnyStr, flags: int) -> None:
        self._text: AnyStr = text
        self._flags = flags

    @cached_property
    def _compiled(self) -> "re.Pattern[AnyStr]":
        return re.compile(self._text, self._flags)

    def __getattr__(self, name: str) -> object:
        attribute = getattr(self._compiled, name)
        setattr(self, name, attribute)
        return attribute


def lazy_pattern(text: AnyStr, flags: int = 0) -> "re.Pattern[AnyStr]":
    """Return the pattern ``text``, compiled at its first use, not when the module is loaded.

    Call its own methods: ``re.sub`` and the like do not take it, and ``match.re`` is another object.
    """
    return cast("re.Pattern[AnyStr]", _LazyPattern(text, flags))
