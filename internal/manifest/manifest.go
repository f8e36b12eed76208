// Package manifest reads the file that declares a task: what is granted on what, for
// how long, and how the credential is delivered.
//
// It turns bytes into a [grants.Task] that may be acted on, or into everything that
// is wrong with them at once, each with its place. It is pure: it opens no file, asks
// nobody and reads no clock, so whether a resource exists is not its business.
package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
)

// Version is the only version of the manifest that this program reads.
const Version = 1

const (
	// DefaultTTL is how long a run lasts if its manifest does not say.
	DefaultTTL = time.Hour
	// MinTTL is the shortest run: Google needs longer than that to make access usable.
	MinTTL = time.Minute
	// DefaultMaxTTL is the longest run if the operator does not say otherwise.
	DefaultMaxTTL = 12 * time.Hour
	// MinTokenLifetime is the shortest life of one access token: some clients ask for
	// the next one only when theirs has four minutes left.
	MinTokenLifetime = 5 * time.Minute
)

// maxSize is more than any manifest needs, and keeps a wrong file from being read as one.
const maxSize = 256 << 10

// Limits are the operator's bounds on what a manifest may ask for. The zero Limits are
// the defaults.
type Limits struct {
	// MaxTTL is the longest ttl; 0 means [DefaultMaxTTL].
	MaxTTL time.Duration
}

func (l Limits) maxTTL() time.Duration {
	if l.MaxTTL == 0 {
		return DefaultMaxTTL
	}
	return l.MaxTTL
}

// Parse reads a manifest. The name of the file is only for messages. An error is of
// kind [fault.Usage] and holds [Problems]: everything that is wrong, unless the file is
// not TOML, in which case it is the first thing.
func Parse(file string, src []byte, limits Limits) (grants.Task, error) {
	r := reader{file: file, src: src, lines: newLines(src), limits: limits}
	task := r.read()
	if len(r.problems) > 0 {
		r.problems.sort()
		return grants.Task{}, &fault.Error{Kind: fault.Usage, Err: r.problems}
	}
	return task, nil
}

// reader gathers problems while it reads one file.
type reader struct {
	file     string
	src      []byte
	lines    lines
	limits   Limits
	problems Problems
}

func (r *reader) read() grants.Task {
	if len(r.src) > maxSize {
		r.add(0, "", "the file has %d bytes, and a manifest has at most %d", len(r.src), maxSize)
		return grants.Task{}
	}
	if at := invalidUTF8(r.src); at >= 0 {
		r.add(at, "", "this is not UTF-8, which TOML is written in")
		return grants.Task{}
	}
	// The values are BurntSushi's; the places, which it does not give, are go-toml's.
	// A file on which they do not agree is refused.
	root, placeErr := locate(r.src)
	if deep := (*placeError)(nil); errors.As(placeErr, &deep) && deep.deep {
		r.addSyntax(nil, placeErr)
		return grants.Task{}
	}
	var values map[string]any
	_, err := toml.Decode(string(trimBOM(r.src)), &values)
	if err != nil || placeErr != nil {
		r.addSyntax(err, placeErr)
		return grants.Task{}
	}
	return r.manifest(&table{r, values, root, "the manifest"})
}

// addSyntax records why a file is not TOML: in the words of the one parser, at the
// place of the other, which is the more exact, if both refuse it.
func (r *reader) addSyntax(err, placeErr error) {
	var burnt toml.ParseError
	var place *placeError
	switch known, placed := errors.As(err, &burnt), errors.As(placeErr, &place); {
	case known && placed:
		r.add(place.at, "", "%s", lowerFirst(burnt.Message))
	case known:
		r.add(burnt.Position.Start+len(r.src)-len(trimBOM(r.src)), "", "%s", lowerFirst(burnt.Message))
	case placed:
		r.add(place.at, "", "%s", place.message)
	default:
		r.add(0, "", "%s", cmp.Or(err, placeErr))
	}
}

func lowerFirst(s string) string {
	if len(s) > 1 && unicode.IsUpper(rune(s[0])) && unicode.IsLower(rune(s[1])) {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// add records a problem at an offset in bytes. fix is what to write instead, or "".
func (r *reader) add(at int, fix, format string, args ...any) {
	line, column := r.lines.position(at)
	r.problems = append(r.problems, Problem{
		File: r.file, Line: line, Column: column, Message: printable(fmt.Sprintf(format, args...)), Fix: fix,
	})
}

// printable keeps a message on one line, and what a file holds from steering a terminal.
func printable(s string) string {
	var b strings.Builder
	for _, c := range s {
		if unicode.IsPrint(c) {
			b.WriteRune(c)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		}
	}
	return b.String()
}
