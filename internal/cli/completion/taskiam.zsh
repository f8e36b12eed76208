#compdef taskiam
# Completes taskiam in zsh: source <(taskiam completion zsh)
_taskiam() {
    local line
    local -a found
    # After -- it is the command's own turn.
    local at=${words[(i)--]}
    if (( at < CURRENT )); then
        words=("${(@)words[at+1,-1]}")
        (( CURRENT -= at ))
        _normal
        return
    fi
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            _files
        else
            found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        fi
    done < <(command "${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    _describe taskiam found
}
compdef _taskiam taskiam
