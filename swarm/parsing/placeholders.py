"""Tell values that only an example of a call has: the name of a type, of the parameter, or a gap to be filled."""

import re

from swarmchat.swarm.common.patterns import lazy_pattern

_PLACEHOLDER = lazy_pattern(
    r"<[a-z][\w .-]{0,40}>|\{\w{1,40}\}|\[?your[_ -][\w -]{1,40}\]?|\.\.\.|…"
    r"|string|str|integer|number|boolean|array|object",
    re.IGNORECASE,
)
_WORDS = lazy_pattern(r"[^\W_]+")
_FILLERS = frozenset("a an the your some example sample name value here goes".split())
"""Words that a placeholder has beside the name of its parameter."""


def has_placeholder(value: object, key: str = "") -> bool:
    """Tell whether a value, that of ``key``, is the name of its type or its parameter, as in an explanation."""
    if isinstance(value, dict):
        return any(has_placeholder(item, name) for name, item in value.items() if name != "type")
    if isinstance(value, list):
        return any(has_placeholder(item) for item in value)
    if not isinstance(value, str):
        return False
    own, words = (set(_WORDS.findall(text.casefold())) for text in (key, value))
    return _PLACEHOLDER.fullmatch(value.strip()) is not None or bool(own and own <= words <= own | _FILLERS)
