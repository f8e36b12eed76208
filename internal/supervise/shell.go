package supervise

import "path/filepath"

// Shell returns the command for an interactive shell, and variables by which its prompt begins with a label, which
// has nothing in it that a shell would expand. A shell whose own configuration sets all of its prompt may show none.
// path is the shell; one that is no absolute path is the system's.
func Shell(path, label string) (args, environ []string) {
	if !filepath.IsAbs(path) {
		path = "/bin/sh"
	}
	args, label = []string{path, "-i"}, "("+label+") "
	switch filepath.Base(path) {
	case "bash":
		// Run once, after the configuration of the shell, which sets PS1.
		return args, []string{`PROMPT_COMMAND=PS1="` + label + `$PS1"; unset PROMPT_COMMAND`}
	case "zsh":
		return args, []string{"RPS1=" + label} // on the right, for the configuration sets the other
	case "fish":
		return append(args, "--init-command", "functions -c fish_prompt taskiam_prompt; "+
			"function fish_prompt; echo -n '"+label+"'; taskiam_prompt; end"), nil
	default:
		return args, []string{"PS1=" + label + "$ "}
	}
}
