# Completes taskiam in fish: taskiam completion fish | source
function __taskiam_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (command $words[1] __complete $words[2..-1] 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c taskiam -f -a '(__taskiam_complete)'
