"""The tables ``[models.NAME]`` of a settings file: a model's server, key and other settings."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from swarmchat.cli.settings.readers import (
    read_address,
    read_count,
    read_or_parse,
    read_pair_of_prices,
    read_seconds,
    read_table,
    read_text,
    read_texts,
    read_tokens,
)
from swarmchat.swarm.common.names import nearest

_NAME = re.compile(r"[\w./:@+-]{1,100}")


def read_adaptations(value: object) -> tuple[str, ...]:
    """Read the names of adaptations to a server: a list, or a text with commas."""
    from swarmchat.swarm.providers.adaptations import is_adaptation

    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and is_adaptation(name) for name in names):
        raise ValueError('expected names of adaptations, such as ["no-stream", "without-temperature"]')
    return tuple(names)


_FIELDS: Mapping[str, Callable[[object], Any]] = {
    "model": read_text,
    "base_url": read_address,
    "api_key": read_text,
    "api_key_env": read_text,
    "api_key_command": read_text,
    "headers": read_texts,
    "query": read_texts,
    "timeout": read_seconds,
    "retries": read_count,
    "max_context": read_tokens,
    "prices": read_pair_of_prices,
    "adaptations": read_adaptations,
}
"""The readers of the settings in such a table."""
KEYS = ("api_key", "api_key_env", "api_key_command")
"""The settings for a key: one of them is used."""


_EXPECTED = 'expected tables [models.NAME], or { fast = { model = "gpt-4o-mini" } }'


def read_models(value: object) -> Mapping[str, Mapping[str, Any]]:
    """Read tables of settings by the name of a model."""
    return {name: _read_model(name, table) for name, table in read_table(value, _EXPECTED).items()}


def _read_model(name: str, table: object) -> Mapping[str, Any]:
    if not _NAME.fullmatch(name) or name == "demo":
        raise ValueError("expected a name of up to 100 letters, digits and . _ / : @ + - that is not demo")
    if not isinstance(table, dict):
        raise ValueError(f"{name} is not a table: write [models.{name}] above its settings")
    fields = {}
    for field, value in table.items():
        if field not in _FIELDS:
            raise ValueError(f"{name} has no setting {field!r}; {nearest(field, _FIELDS)}")
        try:
            fields[field] = read_or_parse(_FIELDS[field], value)
        except ValueError as error:
            raise ValueError(f"{field} of {name}: {error}") from error
    if len(both := [key for key in KEYS if key in fields]) > 1:
        raise ValueError(f"{name} sets {' and '.join(both)}: expected one of them")
    return fields
