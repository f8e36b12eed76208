// Package lazy puts work off until somebody needs what it makes: every command pays for what
// is made when the program starts, and needs little of it.
package lazy

import (
	"regexp"
	"sync"
)

// Regexp returns a function that compiles the pattern at its first call. A pattern with large
// repetitions takes milliseconds. A pattern that is wrong panics then.
func Regexp(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}
