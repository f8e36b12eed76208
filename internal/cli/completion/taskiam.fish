# Completes taskiam in fish: taskiam completion fish | source
function __taskiam_complete
    set -l words (commandline -opc) (commandline -ct)
    # After -- it is the command's own turn.
    if set -l at (contains -i -- -- $words[1..-2])
        complete -C (string join ' ' -- (string escape -- $words[(math $at + 1)..-2]) $words[-1])
        return
    end
    for line in (command $words[1] __complete $words[2..-1] 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c taskiam -f -a '(__taskiam_complete)'
