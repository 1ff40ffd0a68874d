#compdef swarmchat
# swarmchat completion for zsh: loaded by ~/.zshrc, or saved as _swarmchat in a folder of $fpath
_swarmchat() {
    local -a candidates
    candidates=("${(@f)$(${(Q)words[1]} completion candidates zsh -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "$candidates" == $'\t' ]]; then
        return 1
    elif [[ -n "$candidates" ]]; then
        _describe -V swarmchat candidates
    else
        _files
    fi
}
if [[ "$funcstack[1]" == _swarmchat ]]; then
    _swarmchat "$@"
else
    compdef _swarmchat swarmchat
fi
