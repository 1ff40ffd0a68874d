"""Readers of settings: each converts a value from a file, the environment or a flag, or raises ValueError.

The error says what was expected.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from swarmchat.cli.terminal.themes import check_theme
from swarmchat.swarm.agents.rescue_steps import STEPS
from swarmchat.swarm.common.encoding import decode_json, decode_toml
from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.errors import DefinitionError

USUAL_PORTS = (11434, 1234, 8080, 8000)
"""Default ports of Ollama, LM Studio, llama.cpp and vLLM."""

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": False}
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800}
_NUMBER = lazy_pattern(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)", re.ASCII)
_SIZE = lazy_pattern(r"([0-9]{1,12})\s*(|kb|mb|gb)", re.ASCII)
_SIZES = {"": 1, "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000}
_LONGEST = 100 * 366 * 86400
"""A hundred years, in seconds: longer times overflow the clocks of some stores."""


def read_or_parse(read: Callable[[object], Any], value: object) -> Any:
    """Return ``read(value)``; a text that ``read`` rejects is parsed as a value of TOML or JSON and read again.

    So the environment and the command line take each value as a settings file has it.
    """
    try:
        return read(value)
    except ValueError:
        if not isinstance(value, str):
            raise
        try:
            parsed = _parse(value)
        except ValueError:
            parsed = value
        return read(parsed)


def _parse(text: str) -> Any:
    """Return the value of ``text`` as TOML or JSON has it. Raises ValueError."""
    try:
        return decode_json(text)
    except ValueError:
        return decode_toml(f"value = {text.strip()}")["value"]


def read_any_text(value: object) -> str:
    """Read a text, which may be empty."""
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


def read_text(value: object) -> str:
    """Read a text that is not empty."""
    text = read_any_text(value)
    if not text.strip():
        raise ValueError("expected text that is not empty")
    return text


def read_address(value: object) -> str:
    """Read the HTTP address of a server."""
    expected = "expected an address such as http://localhost:11434/v1"
    text = read_text(value).strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:
        raise ValueError(f"{expected} ({error})") from error
    if not usable:
        raise ValueError(expected)
    return text


def read_tokens(value: object) -> int:
    """Read a number of tokens: 32000, "32_000" or "32,000"."""
    return _whole_number(value, re.sub("[_,]", "", str(value)), 1, 10**12, "expected a whole number of tokens above 0")


def read_count(value: object) -> int:
    """Read a whole number from 0 to 999."""
    return _whole_number(value, str(value), 0, 1000, "expected a whole number, 0 or more")


def _whole_number(value: object, digits: str, least: int, limit: int, expected: str) -> int:
    """Return the number in ``digits`` of ``value``, from ``least`` to below ``limit``."""
    is_number = type(value) in (int, str) and re.fullmatch("[0-9]{1,12}", digits.strip())
    if not is_number or not least <= int(digits) < limit:
        raise ValueError(expected)
    return int(digits)


def read_duration(value: object) -> float | None:
    """Read a time as ``read_seconds`` does; ``none`` means for ever and is returned as ``None``."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    return read_seconds(value, 'expected seconds above 0, "90s", "15m", "24h", "7d" or "none"')


def read_seconds(value: object, expected: str = 'expected seconds above 0, "90s" or "15m"') -> float:
    """Read seconds: a number, or a text with a unit (s, m, h or d)."""
    if isinstance(value, str) and (number := _NUMBER.fullmatch(value.strip().lower())):
        value = float(number[1]) * _UNITS[number[2]]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST:
        raise ValueError(expected)
    return float(value)


def read_size(value: object) -> int:
    """Read a size from 1,000 to 1,000,000,000: a number, or a text with kB, MB or GB."""
    size = _SIZE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    number = int(size[1]) * _SIZES[size[2]] if size else value
    if type(number) is not int or not 1_000 <= number <= 1_000_000_000:
        raise ValueError('expected a size from 1 kB to 1 GB, such as 500000, "500kB" or "10MB"')
    return number


def read_age(text: str) -> float:
    """Read an age such as ``30d``, in seconds: a whole number with m, h, d or w."""
    number = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip().lower(), re.ASCII)
    if number is None:
        raise ValueError("expected a number with m, h, d or w, such as 30d")
    return min(int(number[1]) * _UNITS[number[2]], 10 * _LONGEST)


def read_ports(value: object) -> Sequence[int]:
    """Read ports: a list, or a text with commas; true for USUAL_PORTS, false or ``none`` for no ports."""
    word = str(value).strip().lower() if isinstance(value, bool | str) else ""
    if word in _WORDS:
        return USUAL_PORTS if _WORDS[word] else ()
    ports = value.split(",") if isinstance(value, str) else value
    if not isinstance(ports, list) or not all(re.fullmatch("[0-9]{1,5}", str(port).strip()) for port in ports):
        raise ValueError("expected true, false, or ports such as [11434, 8080]")
    numbers = tuple(int(port) for port in ports)
    if not all(0 < number < 65536 for number in numbers):
        raise ValueError("expected ports from 1 to 65535")
    return numbers


def read_flag(value: object) -> bool:
    """Read true or false, 1 or 0."""
    flags = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
    word = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(word, bool | str) or word not in flags:
        raise ValueError("expected true or false")
    return flags[word]


def one_of(*choices: str) -> Callable[[object], str]:
    """Return a reader that accepts ``choices`` only."""

    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return str(value)

    return read


def read_theme(value: object) -> str:
    """Read the name of a theme."""
    return check_theme(read_text(value))


def read_steps(value: object) -> Sequence[str]:
    """Read the names of rescue steps: a list, or a text with commas; ``none`` for no step."""
    names = [] if value == "none" else value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() in STEPS for name in names):
        raise ValueError(f"expected some of {', '.join(STEPS)}, in the order in which they are tried, or none")
    return tuple(name.strip() for name in names)


def read_approvals(value: object) -> Mapping[str, str]:
    """Read one word for all tools, or a table of words by name pattern."""
    table = {"*": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or not all(rule in ("auto", "ask", "deny") for rule in table.values()):
        raise ValueError('expected "auto", "ask" or "deny", or a table of these by tool name: { "order_*" = "ask" }')
    return table


def read_prices(value: object) -> Mapping[str, Sequence[float]]:
    """Read a table of two prices per model."""
    expected = 'expected prices of a million tokens of input and of output by model: { "gpt-4o-mini" = [0.15, 0.60] }'
    try:
        return {name: read_pair_of_prices(prices) for name, prices in read_table(value, expected).items()}
    except ValueError as error:
        raise ValueError(expected) from error


def read_pair_of_prices(value: object) -> Sequence[float]:
    """Read the prices of a million tokens of input and of output."""
    are_prices = isinstance(value, list) and all(type(each) in (int, float) and 0 <= each < 10**9 for each in value)
    if not isinstance(value, list) or not are_prices or len(value) != 2:
        raise ValueError("expected prices of a million tokens of input and of output, such as [0.15, 0.60]")
    return tuple(value)


def read_texts(value: object) -> Mapping[str, str]:
    """Read a table of texts by name."""
    expected = 'expected a table of texts, such as { "X-Title" = "swarmchat" }'
    table = read_table(value, expected)
    if not all(isinstance(text, str) and name and (name + text).isprintable() for name, text in table.items()):
        raise ValueError(f"{expected}, in one line each")
    return table


def read_score(value: object) -> float:
    """Read a number from 0 to 1."""
    number = float(value) if isinstance(value, str) and _NUMBER.fullmatch(value.strip()) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 1:
        raise ValueError("expected a number from 0 to 1")
    return float(number)


def read_prefixes(value: object) -> tuple[str, str]:
    """Read two texts."""
    match value:
        case [str(before_search), str(before_item)]:
            return before_search, before_item
        case _:
            raise ValueError('expected two texts, such as ["query: ", "passage: "]')


def read_names(value: object) -> Sequence[str]:
    """Read names: a list, or a text with commas."""
    has_commas = isinstance(value, str) and not value.lstrip().startswith("[")
    names = str(value).split(",") if has_commas else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError('expected names, such as ["gpt-4o-mini", "qwen3:8b"]')
    return tuple(name.strip() for name in names)


def read_table(value: object, expected: str) -> Mapping[str, Any]:
    """Read a table; ``expected`` is the error for anything else."""
    if not isinstance(value, dict):
        raise ValueError(expected)
    return value


def read_servers(value: object) -> Mapping[str, Mapping[str, Any]]:
    """Read tables of MCP servers by their names."""
    from swarmchat.swarm.mcp.server import read_server

    tables = read_table(value, 'expected tables [mcp.NAME], or { files = { command = "…" } }')
    for name, table in tables.items():
        try:
            read_server(name, table)
        except DefinitionError as error:
            raise ValueError(str(error)) from error
    return tables


HOOK_POINTS = tuple(f"{when}_{what}" for what in ("turn", "request", "tool", "handoff") for when in ("before", "after"))
"""The points of a turn at which a command may run."""


def read_hooks(value: object) -> Mapping[str, Sequence[str]]:
    """Read a table of commands, or lists of commands, by points of a turn."""
    expected = f'expected a table of commands such as {{ "before_tool" = "check-call" }}, for {", ".join(HOOK_POINTS)}'
    hooks = {}
    for point, commands in read_table(value, expected).items():
        lines = [commands] if isinstance(commands, str) else commands
        fits = isinstance(lines, list) and all(isinstance(line, str) and line.strip() for line in lines)
        if point not in HOOK_POINTS or not fits:
            raise ValueError(expected)
        hooks[point] = tuple(lines)
    return hooks


_TASK_LIMITS: Mapping[str, Callable[[object], Any]] = {
    "requests": lambda value: _whole_number(value, str(value), 1, 1000, ""),
    "tokens": read_tokens,
    "seconds": read_seconds,
    "depth": read_count,
    "at_once": lambda value: _whole_number(value, str(value), 1, 1000, ""),
}


def read_tasks(value: object) -> Mapping[str, Any]:
    """Read a table of limits for the tasks of agents that are used as tools."""
    names = ", ".join(_TASK_LIMITS)
    expected = f"expected a table of numbers such as {{ requests = 10, seconds = 60 }}, for {names}"
    limits = {}
    for name, limit in read_table(value, expected).items():
        if name not in _TASK_LIMITS:
            raise ValueError(expected)
        try:
            limits[name] = _TASK_LIMITS[name](limit)
        except ValueError as error:
            raise ValueError(expected) from error
    return limits
