package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lazy"
)

// version is the form of the lines that this program writes and reads.
const version = 1

// entry is one line of a journal.
type entry struct {
	at     time.Time
	record Record
}

// line is an entry as the file has it:
//
//	{"v":1,"at":"2026-03-01T12:00:00.25Z","kind":"key created","record":{"key_id":"…",…}}
type line struct {
	V      int             `json:"v"`
	At     time.Time       `json:"at"`
	Kind   string          `json:"kind"`
	Record json.RawMessage `json:"record"`
}

// stamp returns t as entries carry it: in UTC, without a monotonic reading.
func stamp(t time.Time) time.Time { return t.UTC().Round(0) }

// encode returns the record's line, its newline included, and the entry that will be
// read from it.
func encode(at time.Time, r Record) ([]byte, entry, error) {
	if u, ok := r.(unsealed); ok {
		r = u.at(at)
	}
	record, err := json.Marshal(r)
	if err != nil {
		return nil, entry{}, err
	}
	b, err := json.Marshal(line{V: version, At: at, Kind: r.kind(), Record: record})
	if err != nil {
		return nil, entry{}, err
	}
	b = redact(b)
	e, err := decode(b)
	if err != nil {
		return nil, entry{}, err
	}
	return append(b, '\n'), e, nil
}

// secretPattern finds what is a credential by its form, in a JSON string: an access
// token of Google's, a JWT, a private key. Records have no field for any of them,
// but an error message of another program's may repeat one.
var secretPattern = lazy.Regexp(
	`\bya29\.[A-Za-z0-9_.-]{16,}` +
		`|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*` +
		`|-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----(?:[^"\\]|\\.)*`)

// redact puts a placeholder in the place of every secret.
func redact(line []byte) []byte {
	return secretPattern().ReplaceAllLiteral(line, []byte("[redacted]"))
}

// decode reads one line, without its newline. Whatever this version would not have
// written is refused: nothing is done on a record that is understood in part.
func decode(b []byte) (entry, error) {
	var l line
	if err := strict(b, &l); err != nil {
		return entry{}, err
	}
	if l.V != version {
		return entry{}, fmt.Errorf("version %d; this taskiam knows version %d", l.V, version)
	}
	r := newRecord(l.Kind)
	if r == nil {
		return entry{}, fmt.Errorf("unknown kind %q", l.Kind)
	}
	if len(l.Record) == 0 || l.Record[0] != '{' {
		return entry{}, fmt.Errorf("%s: no record", l.Kind)
	}
	if err := strict(l.Record, r); err != nil {
		return entry{}, fmt.Errorf("%s: %w", l.Kind, err)
	}
	record, ok := reflect.ValueOf(r).Elem().Interface().(Record)
	if !ok {
		return entry{}, fmt.Errorf("unknown kind %q", l.Kind)
	}
	at := stamp(l.At)
	if y := at.Year(); y < 0 || y > 9999 { // in UTC, the one zone that is written
		return entry{}, fmt.Errorf("%s: no time: %s", l.Kind, l.At)
	}
	return entry{at: at, record: record}, nil
}

// strict decodes one JSON value without unknown fields and with nothing after it.
func strict(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("empty line")
		}
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// replay reads a whole journal. It returns the run and how many bytes of b are
// whole lines; what follows them is a torn line.
//
// A line is written with its newline in one go, and Append returns only after the
// fsync, so a last line without a newline announces nothing that was done: the
// power went, or the disk was full, in the middle of it. The same is true of a last
// line with NUL bytes in it, which no JSON has: they are blocks of the file that the
// file system had promised and not written. Both are left out. Anywhere else they are
// damage, and damage is refused, because what cannot be read may have been done.
func replay(path string, b []byte) (*Run, int, error) {
	var run *Run
	whole := 0
	for n := 1; whole < len(b); n++ {
		end := bytes.IndexByte(b[whole:], '\n')
		if end < 0 {
			break
		}
		text := b[whole : whole+end]
		next := whole + end + 1
		if next == len(b) && bytes.IndexByte(text, 0) >= 0 {
			break
		}
		e, err := decode(text)
		if err == nil {
			run, err = extend(run, e)
		}
		if err != nil {
			return nil, 0, fault.WithHint(fmt.Errorf("reading journal %s, line %d: %w", path, n, err), wayOn(path, b))
		}
		whole = next
	}
	if run == nil {
		return nil, 0, fault.New(fault.NotFound, "journal %s has no record: its run ended before its first call", path)
	}
	return run, whole, nil
}

// plainName is what can be pasted into a shell as it is.
var plainName = lazy.Regexp(`^[a-z0-9][a-z0-9.:@-]*$`)

// wayOn is how to end a run whose journal is not understood: by its account, which the
// first line names if that line at least is whole.
func wayOn(path string, b []byte) string {
	if o, err := opening(b); err == nil && plainName().MatchString(o.Email) && plainName().MatchString(o.Project) {
		return byAccount(o)
	}
	return "the run cannot be taken down from a journal that is not understood, but by its account: " +
		"taskiam down --account EMAIL --project PROJECT; to see what the journal says of it: less -N " + path
}

// byAccount is how to end a run without its journal.
func byAccount(o Opened) string {
	return fmt.Sprintf("taskiam down --account %s --project %s", o.Email, o.Project)
}

// opening reads the first line of a journal and nothing else.
func opening(b []byte) (Opened, error) {
	text, _, whole := bytes.Cut(b, []byte("\n"))
	if !whole {
		return Opened{}, errors.New("no whole line")
	}
	e, err := decode(text)
	if err != nil {
		return Opened{}, err
	}
	o, ok := e.record.(Opened)
	if !ok {
		return Opened{}, fmt.Errorf("a journal begins with %q, not with %q", Opened{}.kind(), e.record.kind())
	}
	return o, nil
}

// extend adds an entry to a run, which begins with an Opened.
func extend(run *Run, e entry) (*Run, error) {
	opened, ok := e.record.(Opened)
	switch {
	case run == nil && !ok:
		return nil, fmt.Errorf("a journal begins with %q, not with %q", Opened{}.kind(), e.record.kind())
	case run == nil:
		return NewRun(opened, e.at), nil
	}
	if err := run.accepts(e.record); err != nil {
		return nil, err
	}
	run.add(e)
	return run, nil
}
