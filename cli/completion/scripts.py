"""What shells are told so that Tab completes: a script each, which asks the program for candidates."""

from collections.abc import Mapping
from pathlib import Path

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
