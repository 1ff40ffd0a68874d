# swarmchat completion for fish: saved in ~/.config/fish/completions
function __swarmchat
    set -l before (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l matches ($before[1] completion candidates fish -- $before[2..-1] (string unescape -- "$current") 2>/dev/null)
    if test "$matches" = \t
        return
    else if set -q matches[1]
        printf '%s\n' $matches
    else
        __fish_complete_path "$current"
    end
end
complete --command swarmchat --no-files --keep-order --arguments '(__swarmchat)'
