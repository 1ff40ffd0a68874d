"""What each shell needs: the completion script, and candidates quoted and cut as it expects them."""

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmchat.cli.completion.command_line import (
    Candidate,
    PartialCommandLine,
    argument,
    commands,
    options,
    read_typed,
)
from swarmchat.cli.terminal.sanitize import one_line

_SPECIAL = re.compile(r"([^\w@%+=:,./~-])")

NOTHING = "\t"
"""The line that says that nothing can be offered, file names neither. No candidate is like it."""


@dataclass(frozen=True)
class Line:
    """A command line up to the cursor, read as bash reads it."""

    words: list[str]
    """The last one is being typed."""
    quote: str
    """The quotation mark that is open, if one is."""


def lines_for(root: Any, shell: str, words: Sequence[str]) -> list[str]:
    """Return the candidates as lines. For bash, ``words`` are the program, the line, and what bash cuts words at."""
    if shell == "bash":
        program, text, breaks = words
        line = split_line(text)
        begin = line.words.index(program) + 1 if program in line.words else 1
        typed = line.words[begin:] or [""]
        found = candidates(root, typed)
        return [NOTHING] if found is None else [_for_bash(value, typed[-1], line.quote, breaks) for value, _ in found]
    found = candidates(root, words or [""])
    if found is None:
        return [NOTHING]
    separator = ":" if shell == "zsh" else "\t"
    lines = []
    for value, about in found:
        shown = value.replace("\\", "\\\\").replace(":", "\\:") if shell == "zsh" else value
        lines.append(f"{shown}{separator}{one_line(about, 80)}" if about else shown)
    return lines


def candidates(root: Any, words: Sequence[str]) -> list[Candidate] | None:
    """Return what the last of ``words`` could become: nothing where that is a file, ``None`` where it is none."""
    *before, word = words
    typed = read_typed(root, before)
    prefix, param = "", typed.waiting
    if param is not None:
        found = _values(typed, param)
    elif word.startswith("--") and "=" in word and not typed.plain:
        name, _, word = word.partition("=")
        param = read_typed(root, [*before, name]).waiting
        prefix, found = f"{name}=", _values(typed, param) if param is not None else []
    elif word.startswith("-") and not typed.plain:
        found = options(typed)
    elif getattr(typed.command, "commands", None):
        found = commands(typed.command)
    else:
        param = argument(typed)
        if param is None:
            return None
        found = _values(typed, param)
    usable = [(value, about) for value, about in found if value.startswith(word) and value.isprintable()]
    if not usable and param is not None and not _may_be_file(typed, param):
        return None
    return [(prefix + value, about) for value, about in usable]


def _may_be_file(typed: PartialCommandLine, param: Any) -> bool:
    from swarmchat.cli.completion.table import may_be_file

    return may_be_file(typed.path, param)


def _values(typed: PartialCommandLine, param: Any) -> list[Candidate]:
    # Commands and options are known without the settings and all else that values come from.
    from swarmchat.cli.completion.table import values_of

    # A store that is away, a swarm that cannot be read: as if there were nothing.
    with suppress(Exception):
        return values_of(typed, param)
    return []


def split_line(text: str) -> Line:
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
    return Line([*words, word], quote)


def _for_bash(value: str, word: str, quote: str, breaks: str) -> str:
    """Return ``value`` without what bash has set aside already: it completes what follows the last : or =."""
    if not quote:
        if not word and '"' in value:
            # JSON is easier to fill in within quotation marks than behind backslashes.
            return shlex.quote(value)
        cut = max((word.rfind(sign) + 1 for sign in ":=" if sign in breaks), default=0)
        return _SPECIAL.sub(r"\\\1", value[cut:])
    return value


MARK = "swarmchat completion"
"""Stands in every script, and in the line that loads one."""

SHELLS = {
    "bash": 'add to ~/.bashrc: eval "$(swarmchat completion bash)"',
    "zsh": 'add to ~/.zshrc, below compinit: eval "$(swarmchat completion zsh)"',
    "fish": "swarmchat completion fish > ~/.config/fish/completions/swarmchat.fish",
}
"""The shells that there are scripts for, and how each is told to load its one."""

SCRIPTS = {
    "bash": r"""# swarmchat completion for bash: loaded by ~/.bashrc
_swarmchat() {
    local candidate
    COMPREPLY=()
    # The line and not its words: bash cuts those at every : and =.
    while IFS= read -r candidate; do
        if [[ $candidate == $'\t' ]]; then
            # Nothing can stand here, and no file name.
            compopt +o bashdefault +o default
        else
            COMPREPLY+=("$candidate")
        fi
    done < <("$1" completion candidates bash -- "$1" "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
}
complete -o bashdefault -o default -F _swarmchat swarmchat
""",
    "zsh": r"""#compdef swarmchat
# swarmchat completion for zsh: loaded by ~/.zshrc, or lies as _swarmchat in a folder of $fpath
_swarmchat() {
    local -a found
    found=("${(@f)$(${(Q)words[1]} completion candidates zsh -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "$found" == $'\t' ]]; then
        return 1
    elif [[ -n "$found" ]]; then
        _describe -V swarmchat found
    else
        _files
    fi
}
if [[ "$funcstack[1]" == _swarmchat ]]; then
    _swarmchat "$@"
else
    compdef _swarmchat swarmchat
fi
""",
    "fish": r"""# swarmchat completion for fish: lies in ~/.config/fish/completions
function __swarmchat
    set -l before (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l found ($before[1] completion candidates fish -- $before[2..-1] (string unescape -- "$current") 2>/dev/null)
    if test "$found" = \t
        return
    else if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path "$current"
    end
end
complete --command swarmchat --no-files --keep-order --arguments '(__swarmchat)'
""",
}


def places(shell: str, home: Path, environment: Mapping[str, str]) -> list[Path]:
    """Return the files in which a user of ``shell`` would have its script, or the line that loads it."""
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
