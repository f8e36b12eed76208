// Package shell writes text for POSIX shells. It is the only place that knows how a word is
// quoted.
package shell

import "strings"

// Quote returns s as one word of a POSIX shell: as it is where nothing in it means anything
// to a shell, else in single quotes.
func Quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_./:@%+=,", r)
	}
	// zsh looks up a word that begins with "=" as the name of a command.
	if s != "" && s[0] != '=' && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
