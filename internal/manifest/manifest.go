// Package manifest reads the file that declares a task: what is granted on what, for
// how long, and how the credential is delivered.
//
// It turns bytes into a valid [grants.Task], or into a list of everything that is wrong
// with them, each problem with its place. It is pure: it opens no file, makes no call and
// reads no clock, so it does not know whether a resource exists.
package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/review"
	"github.com/taskiam/taskiam/internal/visible"
)

// version is the only version of the manifest that this program reads.
const version = 1

const (
	// defaultTTL is how long a run lasts if its manifest does not say.
	defaultTTL = time.Hour
	// MinTTL is the shortest run: Google may need longer than that to make access usable.
	MinTTL = time.Minute
	// DefaultMaxTTL is the longest run if the operator does not say otherwise.
	DefaultMaxTTL = 12 * time.Hour
	// minTokenLifetime is the shortest life of one access token: some clients ask for
	// the next one only when theirs has four minutes left.
	minTokenLifetime = 5 * time.Minute
)

// MaxSize is more than any manifest needs; a larger file was named by mistake. Of a file it is
// enough to read one byte more.
const MaxSize = 256 << 10

// Limits are the operator's bounds on what a manifest may ask for. The zero Limits are
// the defaults.
type Limits struct {
	// MaxTTL is the longest ttl; 0 means [DefaultMaxTTL].
	MaxTTL time.Duration
	// Now is the time by this machine's clock. The zero time means that no condition is held
	// against it.
	Now time.Time
	// Given is set by flags and by the environment, and Usual in a configuration.
	Given, Usual Settings
}

// clockError is by how much the clock of a machine may be wrong, and a run be prolonged,
// before a condition counts as one that is never true.
const clockError = 25 * time.Hour

// window returns the time in which a run of the manifest may be at work.
func (l Limits) window() review.Window {
	if l.Now.IsZero() {
		return review.Window{}
	}
	return review.Window{From: l.Now.Add(-clockError), To: l.Now.Add(l.maxTTL() + clockError)}
}

func (l Limits) maxTTL() time.Duration {
	if l.MaxTTL == 0 {
		return DefaultMaxTTL
	}
	return l.MaxTTL
}

// HasTask reports whether a file is TOML with a task in it, however that is written.
func HasTask(src []byte) bool {
	var values map[string]any
	if _, err := toml.Decode(string(trimBOM(src)), &values); err != nil {
		return false
	}
	_, is := values["task"].(map[string]any)
	return is
}

// Parse reads a manifest. The name of the file is only for messages. An error is of kind
// [fault.Usage] and holds [Problems]: everything that is wrong, or, if the file is not
// TOML, the first syntax error.
func Parse(file string, src []byte, limits Limits) (grants.Task, error) {
	r := reader{file: file, src: src, lines: newLines(src), limits: limits}
	task := r.read()
	if len(r.problems) > 0 {
		r.problems.sort()
		return grants.Task{}, &fault.Error{Kind: fault.Usage, Err: r.problems}
	}
	return task, nil
}

// reader collects problems while it reads one file.
type reader struct {
	file     string
	src      []byte
	lines    lines
	limits   Limits
	home     string // the project, as far as it is known
	problems Problems
}

func (r *reader) read() grants.Task {
	values, root := r.decode()
	if len(r.problems) > 0 {
		return grants.Task{}
	}
	return r.manifest(&table{r, values, root, "the manifest"})
}

// decode reads TOML. If the file is not TOML, that is recorded as the only problem.
func (r *reader) decode() (map[string]any, *place) {
	if len(r.src) > MaxSize {
		r.add(0, "", "the file has more than %d bytes, the most that a manifest may have", MaxSize)
		return nil, nil
	}
	if at := invalidUTF8(r.src); at >= 0 {
		r.add(at, "", "the file is not in UTF-8, as TOML must be")
		return nil, nil
	}
	// The values come from BurntSushi's parser, and their places, which it does not give,
	// from go-toml's. A file on which the two disagree is refused.
	root, placeErr := locate(r.src)
	if deep := (*placeError)(nil); errors.As(placeErr, &deep) && deep.deep {
		r.addSyntax(nil, placeErr)
		return nil, nil
	}
	var values map[string]any
	_, err := toml.Decode(string(trimBOM(r.src)), &values)
	if err != nil || placeErr != nil {
		r.addSyntax(err, placeErr)
		return nil, nil
	}
	return values, root
}

// addSyntax records why a file is not TOML. If both parsers refuse it, the message is the
// one's and the place the other's, which is more exact.
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
		File: r.file, Line: line, Column: column, Message: visible.Line(fmt.Sprintf(format, args...)), Fix: fix,
	})
}
