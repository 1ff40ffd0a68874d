"""What each shell needs: the completion script, and candidates quoted and cut as it expects them."""

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swarmchat.cli.completion.command_line import Candidate, argument, commands, default, options, read_typed
from swarmchat.cli.terminal.sanitize import one_line

_SPECIAL = re.compile(r"([^\w@%+=:,./~-])")

NOTHING = "\t"
"""The line that tells the shell to offer nothing, not even file names. No candidate looks like it."""


@dataclass(frozen=True)
class ShellLine:
    """A command line up to the cursor, read as bash reads it."""

    words: list[str]
    """The last one is being typed."""
    quote: str
    """The quotation mark that is open, if one is."""


def lines_for(root: Any, shell: str, words: Sequence[str]) -> list[str]:
    """Return the candidates as lines. For bash, ``words`` are the program, the line, and bash's word breaks."""
    line, breaks = ShellLine(list(words) or [""], ""), ""
    if shell == "bash":
        program, text, breaks = words
        line = split_line(text)
        begin = line.words.index(program) + 1 if program in line.words else 1
        line = ShellLine(line.words[begin:] or [""], line.quote)
    matches = candidates(root, line.words)
    if matches is None:
        return [NOTHING]
    if shell == "bash":
        return [_for_bash(value, line.words[-1], line.quote, breaks) for value, _ in matches]
    separator = "\t"
    if shell == "zsh":
        separator = ":"
        matches = [(value.replace("\\", "\\\\").replace(":", "\\:"), about) for value, about in matches]
    return [f"{value}{separator}{one_line(about, 80)}" if about else value for value, about in matches]


def candidates(root: Any, words: Sequence[str]) -> list[Candidate] | None:
    """Return candidates for the last of ``words``; empty for a file name, ``None`` if nothing is possible."""
    *before, word = words
    typed = read_typed(root, before)
    prefix, param = "", typed.waiting
    offered: list[Candidate] = []
    if param is None and word.startswith("-") and not typed.plain:
        if word.startswith("--") and "=" in word:
            name, _, word = word.partition("=")
            prefix, param = f"{name}=", read_typed(root, [*before, name]).waiting
        else:
            offered = options(typed)
    elif param is None and getattr(typed.command, "commands", None):
        offered = commands(typed.command)
        if typed.path and (first := default(typed.command)) is not typed.command:
            from swarmchat.cli.completion.values import values_of

            with suppress(Exception):
                offered = [*offered, *values_of(typed, argument(replace(typed, command=first)))]
    elif param is None and (param := argument(typed)) is None:
        return None
    if param is not None:
        # Commands and options are known without the settings and other sources of values.
        from swarmchat.cli.completion.values import may_be_file, values_of

        # A store that cannot be reached or a swarm that cannot be read offers nothing.
        with suppress(Exception):
            offered = values_of(typed, param)
    matches = [(prefix + value, about) for value, about in offered if value.startswith(word) and value.isprintable()]
    return None if not matches and param is not None and not may_be_file(typed.path, param) else matches


def split_line(text: str) -> ShellLine:
    """Split a line into words, without their quotation marks and backslashes."""
    words, word, quote, escaped, inside = [], "", "", False, False
    for sign in text:
        if escaped:
            word, escaped = word + sign, False
        elif sign == "\\" and quote != "'":
            escaped = inside = True
        elif quote:
            word, quote = (word, "") if sign == quote else (word + sign, quote)
        elif sign in "'\"":
            quote, inside = sign, True
        elif sign.isspace():
            words += [word] if inside else []
            word, inside = "", False
        else:
            word, inside = word + sign, True
    return ShellLine([*words, word], quote)


def _for_bash(value: str, word: str, quote: str, breaks: str) -> str:
    """Return ``value`` quoted, from the last : or = of ``word`` on: bash completes only that part."""
    if quote:
        return value
    if not word and '"' in value:
        # JSON is easier to fill in within quotation marks than behind backslashes.
        return shlex.quote(value)
    cut = max((word.rfind(sign) + 1 for sign in ":=" if sign in breaks), default=0)
    return _SPECIAL.sub(r"\\\1", value[cut:])


MARK = "swarmchat completion"
"""Text in every script and in the line that loads one; ``doctor`` looks for it."""

SHELLS = {
    "bash": 'add to ~/.bashrc: eval "$(swarmchat completion bash)"',
    "zsh": 'add to ~/.zshrc, below compinit: eval "$(swarmchat completion zsh)"',
    "fish": "swarmchat completion fish > ~/.config/fish/completions/swarmchat.fish",
}
"""The supported shells, and how to load the script of each."""


def script(shell: str) -> str:
    """Return the completion script of ``shell``."""
    return (Path(__file__).parent / f"scripts/swarmchat.{shell}").read_text("utf-8")


def script_places(shell: str, home: Path, environment: Mapping[str, str]) -> list[Path]:
    """Return the files that usually contain the script of ``shell`` or the line that loads it."""
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local/share")
    if shell == "bash":
        loaded = data / "bash-completion/completions/swarmchat"
        return [home / ".bashrc", home / ".bash_profile", home / ".bash_completion", loaded]
    if shell == "zsh":
        folder = Path(environment.get("ZDOTDIR") or home)
        own = [home / ".zfunc/_swarmchat", home / ".zsh/completions/_swarmchat"]
        return [folder / ".zshrc", *own, Path("/usr/local/share/zsh/site-functions/_swarmchat")]
    return [config / "fish/completions/swarmchat.fish", config / "fish/config.fish"]
