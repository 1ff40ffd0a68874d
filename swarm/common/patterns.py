"""Regular expressions: the program's own, compiled when they are first used, and those of others, bounded in time."""

import re
from functools import cached_property, lru_cache
from typing import Any, AnyStr, Generic, cast

MAX_PATTERN = 100_000
"""Characters of a pattern that somebody else wrote, and the most characters that it may need at least to match."""
MAX_PATTERN_TIME = 2.0
"""Seconds of CPU time that such a pattern may take for one text."""

_FORMS = re.compile(
    r"(?P<same>\\N\{[^}]*\}|\\.|\{\d+(?:,\d*)?\}|\{,\d*\})|(?P<set>\[\^?\]?(?:\\.|[^]\\])*\])|(?P<brace>\{)", re.DOTALL
)
"""Forms with brackets: those of ``re``, and those that ``regex`` understands in another way."""


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


class BoundedPattern:
    """A regular expression that somebody else wrote, in a swarm, a test or a schema: it may take exponential time."""

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        """Raise ``re.error`` for an invalid expression, and for one that is too large."""
        try:
            self.groups = re.compile(text).groupindex
            shortest = re._parser.parse(text).getwidth()[0]  # type: ignore[attr-defined]  # no public name
        except (RecursionError, OverflowError) as error:
            raise re.error(f"too large: {error}") from error
        # The engine below writes counted repetitions out.
        if max(len(text), shortest) > MAX_PATTERN:
            raise re.error(f"too large: it has, or needs, more than {MAX_PATTERN:,} characters")
        self.text = text
        self._flags = re.IGNORECASE if ignore_case else 0

    @cached_property
    def _compiled(self) -> Any:
        # ``re`` cannot be interrupted.
        import regex

        return regex.compile(_FORMS.sub(_as_in_re, self.text), self._flags)

    def search(self, text: str) -> "re.Match[str] | None":
        """Return the first match in ``text``. Raises DefinitionError when it takes more than MAX_PATTERN_TIME."""
        return cast("re.Match[str] | None", self._bounded("search", text))

    def sub(self, replacement: str, text: str) -> str:
        """Return ``text`` with ``replacement``, a template, for every match. Raises DefinitionError as ``search``."""
        return cast("str", self._bounded("sub", replacement, text))

    def _bounded(self, method: str, *arguments: str) -> object:
        try:
            return getattr(self._compiled, method)(*arguments, timeout=MAX_PATTERN_TIME)
        except TimeoutError as error:
            from swarmchat.swarm.errors import DefinitionError

            raise DefinitionError(
                f"the regular expression {self.text!r:.200} takes more than {MAX_PATTERN_TIME:g} s on a text of "
                f"{len(arguments[-1]):,} characters: make it simpler, without repetitions inside of one another"
            ) from error


def _as_in_re(form: "re.Match[str]") -> str:
    """Return a part of a pattern so that ``regex`` reads it as ``re`` does, without fuzzy matches and POSIX classes."""
    if form["set"]:
        return "[" + re.sub(r"(\\.)|\[", lambda inner: inner[1] or r"\[", form[0][1:], flags=re.DOTALL)
    return "\\{" if form["brace"] else form[0]


@lru_cache(maxsize=256)
def bounded_pattern(text: str, *, ignore_case: bool = False) -> BoundedPattern:
    """Return the pattern ``text``, compiled once. Raises ``re.error`` as BoundedPattern does."""
    return BoundedPattern(text, ignore_case=ignore_case)
