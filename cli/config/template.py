"""What ``swarmchat config init`` writes: every setting as a comment, with what it is and its default."""

import ast
import inspect
import textwrap
from dataclasses import fields
from typing import Any

from swarmchat.cli.settings import settings
from swarmchat.cli.settings.masking import as_text

_EXAMPLES = {
    "data_dir": "~/chats",
    "model": "qwen3:8b",
    "base_url": "http://localhost:11434/v1",
    "api_key": "sk-…",
    "api_key_command": "pass show openai",
    "swarm": "helpdesk",
    "embedding_model": "nomic-embed-text",
    "embedding_base_url": "http://localhost:11434/v1",
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
    "rescue": ["repair", "feedback", "recomplete", "flush", "placeholder"],
}
"""What stands for a default that is nothing, or that depends on something else."""

_HEAD = """\
# Settings of swarmchat. Take the # away in front of a name to set it.
# What goes before this file: options, SWARMCHAT_… in the environment, a chosen profile, ./swarmchat.toml.
"""
_PROFILES = """
# Profiles: settings under a name, chosen with --profile NAME, SWARMCHAT_PROFILE, or profile above.
# [profiles.local]
# model = "qwen3:8b"
# base_url = "http://localhost:11434/v1"
"""


def _as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{as_text(name)} = {as_text(each)}' for name, each in value.items())} }}"
    return as_text(value)


def template() -> str:
    """Return the file."""
    about = _descriptions()
    parts = [_HEAD]
    for each in fields(settings.Settings):
        if not each.metadata:
            continue
        # For ever is written as a word, and no setting at all has no form in a file.
        default = "none" if each.default is None and each.name.endswith("_lifetime") else each.default
        is_example = each.name in _EXAMPLES or default is None
        value = _as_toml(_EXAMPLES.get(each.name, "…") if is_example else _plain(default))
        text = " ".join(about.get(each.name, "").replace("``", "").replace("None:", "Not set:").split())
        lines = textwrap.wrap(text, 110, initial_indent="# ", subsequent_indent="# ")
        note = "   # an example" if is_example else ""
        parts.append("\n".join(["", *lines, f"# {each.name} = {value}{note}", ""]))
    return "".join([*parts, _PROFILES])


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _descriptions() -> dict[str, str]:
    """Return what stands below each setting in its class; nothing where the source is not at hand."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(settings.Settings)))
    except (OSError, SyntaxError):
        return {}
    (declared,) = tree.body
    assert isinstance(declared, ast.ClassDef)
    found = {}
    for field, below in zip(declared.body, declared.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(field.target)] = str(below.value.value)
    return found
