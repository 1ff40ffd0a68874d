"""Show the settings; create and edit the user's own settings file."""

import ast
import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from swarmchat.cli.errors import ConfigError, UsageError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.credentials import as_text, shown_value
from swarmchat.cli.settings.folder import PROJECT_FILE
from swarmchat.cli.settings.loading import PROFILES, check_name, read_value
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.printing import as_line, print_json
from swarmchat.swarm.common.files import read_text_file, write_atomically


async def show_settings(flags: Mapping[str, Any], *, origin: bool, as_json: bool) -> None:
    """Print all settings. Raises ConfigError."""
    settings = wiring.apply_settings(flags)
    rows = {
        each.name: {
            "value": shown_value(each.name, getattr(settings, each.name)),
            "origin": settings.origins.get(each.name, "default"),
        }
        for each in fields(Settings)
        if each.metadata or (each.name == "approve_at_least" and settings.approve_at_least)
    }
    if as_json:
        print_json(rows)
        return
    for name, row in rows.items():
        line = f"{name} = {as_line(as_text(row['value']))}"
        print(f"{line:<50}  # {as_line(row['origin'])}" if origin else line)


async def show_paths(as_json: bool) -> None:
    """Print the paths of the settings files."""
    paths = wiring.settings_files()
    if as_json:
        print_json([{"path": str(path), "exists": path.exists()} for path in paths])
        return
    for path in paths:
        print(as_line(str(path)))


async def write_template() -> None:
    """Write a template of the user's own file. Raises ConfigError if the file exists or cannot be written."""
    path = own_file()
    if path.exists():
        raise ConfigError(f"{path} already exists and is not overwritten: change it with swarmchat config set")
    _write(path, template())
    print(as_line(str(path)))


async def change_value(name: str, value: str | None, *, profile: str | None, unset: bool) -> None:
    """Set or remove a setting in the user's own file. Raises ConfigError and UsageError."""
    if (value is None) != unset:
        raise UsageError("give a VALUE, or --unset to remove the setting")
    if profile is not None:
        check_name(profile)
        if name == "profile":
            raise UsageError("a profile cannot choose another one")
    path = own_file()
    new = (
        None
        if value is None
        else _typed(name, sys.stdin.readline().removeprefix("\ufeff").rstrip("\r\n") if value == "-" else value)
    )

    def change(table: MutableMapping[str, Any]) -> None:
        if not unset:
            read_value(str(path), name, new)
            table[name] = new
        elif name in table:
            del table[name]
        else:
            raise ConfigError(f"{path} does not set {name}")

    edit_file(path, change, profile=profile, uncomment="" if unset else name)
    where = f"{path} [{PROFILES}.{profile}]" if profile else str(path)
    outcome = "is no longer set" if unset else f"= {as_text(shown_value(name, new))}"
    print(as_line(f"{where}: {name} {outcome}"))
    _note_what_overrides(name, str(path), profile)


def edit_file(
    path: Path,
    change: Callable[[MutableMapping[str, Any]], None],
    *,
    profile: str | None = None,
    uncomment: str = "",
) -> None:
    """Let ``change`` edit the settings in the file ``path``, or those of its ``profile``; comments stay.

    ``uncomment`` is a setting whose line in the template is replaced. Raises ConfigError.
    """
    from tomlkit import dumps
    from tomlkit.exceptions import TOMLKitError

    try:
        before = read_text_file(path) if path.exists() else ""
        tomllib.loads(before)
        document, table = _parse(_uncommented(before, uncomment) if uncomment and not profile else before, profile)
        change(table)
        text = dumps(document)
        tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (TOMLKitError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not valid TOML and was not changed: {error}") from error
    _write(path, text)


def _parse(text: str, profile: str | None) -> tuple[Any, MutableMapping[str, Any]]:
    """Return the settings file as a document that keeps its layout, and the table of ``profile`` in it."""
    from tomlkit import parse, table

    document: Any = parse(text)
    if profile is None:
        return document, document
    if PROFILES not in document:
        document.add(PROFILES, table(is_super_table=True))
    if profile not in document[PROFILES]:
        document[PROFILES].add(profile, table())
    return document, document[PROFILES][profile]


def own_file() -> Path:
    """Return the path of the user's settings file. Raises ConfigError if there is no home folder."""
    own = [path for path in wiring.settings_files() if path.name != PROJECT_FILE]
    if not own:
        raise ConfigError("no home folder: set HOME, or use SWARMCHAT_… in the environment")
    # A link to a file elsewhere stays a link.
    return own[0].resolve()


def _typed(name: str, text: str) -> Any:
    """Return the value of ``text``: parsed as TOML if the setting accepts that, else the text. Raises ConfigError."""
    origin = f"config set {name}"
    try:
        value: Any = tomllib.loads(f"v = {text}\n")
        read_value(origin, name, value["v"])
    except (ValueError, KeyError, ConfigError):
        read_value(origin, name, text)
        return text
    return value["v"] if list(value) == ["v"] else text


def _uncommented(text: str, name: str) -> str:
    """Return ``text`` with the commented-out setting ``name`` uncommented, unless it is set already."""
    comment = re.search(rf"^# {re.escape(name)} = .*$", text, re.MULTILINE)
    if comment is None or name in tomllib.loads(text) or re.search(r"^\s*\[", text[: comment.start()], re.MULTILINE):
        return text
    return f"{text[: comment.start()]}{name} = 0{text[comment.end() :]}"


def _note_what_overrides(name: str, path: str, profile: str | None) -> None:
    """Print a note if another source overrides the new value, and one for each problem in the settings."""
    problems: list[ConfigError] = []
    settings = wiring.read_settings({}, complain=problems.append)
    origin = settings.origins.get(name, "")
    if origin and profile is None and not origin.startswith(path):
        print(f"note: {as_line(origin)} overrides it", file=sys.stderr)
    for problem in problems:
        print(f"note: {as_line(str(problem))}", file=sys.stderr)


def _write(path: Path, text: str) -> None:
    """Write the settings file atomically, readable by the user alone, as it may hold a key."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            # An existing file keeps its mode, and must be private before a key is in it.
            path.chmod(0o600)
        write_atomically(path, text.encode(), mode=0o600)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


# The file that `config init` writes

_EXAMPLES = {
    "data_dir": "~/chats",
    "model": "qwen3:8b",
    "base_url": "http://localhost:11434/v1",
    "api_key": "sk-…",
    "api_key_env": "MY_KEY",
    "api_key_command": "pass show openai",
    "headers": {"X-Title": "swarmchat"},
    "query": {"api-version": "2024-10-21"},
    "mcp_file": "~/mcp.json",
    "fallback": ["gpt-4o-mini"],
    "swarm": "helpdesk",
    "embedding_model": "nomic-embed-text",
    "embedding_base_url": "http://localhost:11434/v1",
    "embedding_score": 0.86,
    "embedding_prefixes": ["query: ", "passage: "],
    "approve": "ask",
    "placeholder": "Sorry, please say that again.",
    "locale": "en",
    "system": "Answer briefly.",
    "max_context": 32_000,
    "client": "ann",
    "profile": "local",
    "prices": {"gpt-4o-mini": [0.15, 0.6]},
    "lifetime": "7d",
    "embedding_lifetime": "7d",
    "hooks": {"before_tool": "check-call"},
    "tasks": {"requests": 10, "seconds": 60},
    "rescue": ["repair", "feedback", "recomplete", "flush", "placeholder"],
}
"""Examples for settings that have no default, or one that depends on something else."""

_HEAD = """\
# Settings of swarmchat. To set one, remove the # before its name.
# These override this file: options, SWARMCHAT_… in the environment, the chosen profile, ./swarmchat.toml.
"""
_MODELS = """
# Models with their own settings, chosen like others: -m fast, /model fast, or model = "fast" in an agent.
# [models.fast]
# model = "mistral-small-latest"
# base_url = "https://api.mistral.ai/v1"
# api_key_env = "MISTRAL_API_KEY"
# max_context = 32_000
# prices = [0.1, 0.3]
"""
_MCP = """
# MCP servers, which offer tools: see swarmchat mcp.
# [mcp.time]
# command = "uvx"
# args = ["mcp-server-time"]
"""
_PROFILES = """
# Profiles: named groups of settings, chosen with --profile NAME, SWARMCHAT_PROFILE, or profile above.
# [profiles.local]
# model = "qwen3:8b"
# base_url = "http://localhost:11434/v1"
"""


def template() -> str:
    """Return a settings file with every setting as a comment: its description, and its default or an example."""
    descriptions = _descriptions()
    parts = [_HEAD]
    for each in fields(Settings):
        if not each.metadata or each.name in ("models", "mcp"):
            continue
        # TOML has no null.
        default = "none" if each.default is None and each.name.endswith("_lifetime") else each.default
        is_example = each.name in _EXAMPLES or default is None
        value = _as_toml(_EXAMPLES.get(each.name, "…") if is_example else default)
        text = descriptions.get(each.name, "").replace("``", "").replace("None:", "Not set:")
        lines = textwrap.wrap(text, 110, initial_indent="# ", subsequent_indent="# ")
        note = "   # an example" if is_example else ""
        parts.append("\n".join(["", *lines, f"# {each.name} = {value}{note}", ""]))
    return "".join([*parts, _MODELS, _MCP, _PROFILES])


def _as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{as_text(name)} = {as_text(each)}' for name, each in value.items())} }}"
    return as_text(list(value) if isinstance(value, tuple) else value)


def _descriptions() -> dict[str, str]:
    """Return the docstring below each field of Settings; nothing if the source code is not available."""
    try:
        body = ast.parse(inspect.getsource(Settings)).body[0].body  # type: ignore[attr-defined]  # it is a class
    except (OSError, SyntaxError):
        return {}
    return {
        ast.unparse(setting.target): " ".join(ast.literal_eval(below.value).split())
        for setting, below in pairwise(body)
        if isinstance(setting, ast.AnnAssign) and isinstance(below, ast.Expr)
    }
