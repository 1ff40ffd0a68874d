# swarmchat completion for bash: loaded by ~/.bashrc
_swarmchat() {
    local candidate
    COMPREPLY=()
    # The line, not its words: bash cuts those at every : and =.
    while IFS= read -r candidate; do
        if [[ $candidate == $'\t' ]]; then
            # Nothing fits here, not even a file name.
            compopt +o bashdefault +o default
        else
            COMPREPLY+=("$candidate")
        fi
    done < <("$1" completion candidates bash -- "$1" "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
}
complete -o bashdefault -o default -F _swarmchat swarmchat
