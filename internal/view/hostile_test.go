package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/visible"
)

// hostile is everything that text of others may try on a terminal: to erase, to recolour, to reorder, to hide, to
// begin a line that looks like ours, to pass for another name, and to have the rest redacted.
var hostile = func() string {
	var b strings.Builder
	b.WriteString("\x1b[2J\x1b]0;x\x07\r\n")
	for r := rune(0); r < 0xa0; r++ { // C0 and C1, and ASCII between them
		if r < ' ' || r > '~' {
			b.WriteRune(r)
		}
	}
	b.WriteString("\u2028\u2029\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")
	b.WriteString("\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u3164\u2800\ufe0f\U000e0041\xff\xc3")
	b.WriteString("roles/st\u043erage.viewer\ntaskiam: error: no\ntaskiam: hint: run this\n::add-mask::x\n")
	return b.String() + "-----BEGIN PRIVATE KEY----- ."
}()

// documents are all that commands print for people.
func documents() []Document {
	return []Document{
		&Version{}, &Resources{}, &Status{}, &Status{InFull: true}, &Up{}, &Renewal{}, &Sweep{}, &SweptRoles{},
		&Receipts{}, &History{}, &Doctor{}, &Operator{}, &Plan{Verbose: true}, &Plan{},
	}
}

// TestOthersTextInEveryField fills every field of every document with text that its author may not have meant well:
// what a person sees has the same lines, every field in its place, and nothing that a terminal acts on.
func TestOthersTextInEveryField(t *testing.T) {
	t.Parallel()
	for i := range documents() {
		for _, flag := range []bool{true, false} {
			plain, evil := documents()[i], documents()[i]
			tags := fill(plain, "", flag)
			fill(evil, hostile, flag)
			if d, ok := plain.(*Operator); ok {
				d.fences, d.Commands = []string{"fence"}, append(d.Commands, "bind")
			}
			if d, ok := evil.(*Operator); ok {
				d.fences, d.Commands = []string{"fence" + hostile}, append(d.Commands, "bind"+hostile)
			}
			want, got := shown(t, plain, false), shown(t, evil, false)
			if strings.Count(got, "\n") != strings.Count(want, "\n") {
				t.Errorf("%T: %d lines have become %d", evil, strings.Count(want, "\n"), strings.Count(got, "\n"))
			}
			for _, tag := range tags {
				if strings.Contains(want, tag) && !strings.Contains(got, tag) {
					t.Errorf("%T: a field is not shown any more: %s", evil, tag)
				}
			}
			checkVisible(t, fmt.Sprintf("%T", evil), got)
			document := shown(t, evil, true)
			checkVisible(t, fmt.Sprintf("%T as JSON", evil), document)
			if !json.Valid([]byte(document)) {
				t.Errorf("%T: this is not JSON:\n%s", evil, document)
			}
		}
	}
}

func shown(t *testing.T, d Document, asJSON bool) string {
	t.Helper()
	var b strings.Builder
	if err := Write(NewStream(&b), d, asJSON); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// checkVisible looks at every byte.
func checkVisible(t *testing.T, what, text string) {
	t.Helper()
	for i, r := range text {
		if r == '\ufffd' && !strings.HasPrefix(text[i:], "\ufffd") || r != '\n' && !visible.Rune(r) {
			t.Errorf("%s: byte %d is a raw %+q", what, i, r)
		}
	}
	if strings.Contains(text, "st\u043erage") && !strings.Contains(what, "JSON") {
		t.Errorf("%s: a letter that poses as another is not named", what)
	}
}

// fill sets every field of a document: texts to a tag and more, lists to one element. It returns the tags.
func fill(d Document, more string, flag bool) (tags []string) {
	var set func(v reflect.Value)
	set = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			tags = append(tags, fmt.Sprintf("field%dx", len(tags)))
			v.SetString(tags[len(tags)-1] + more)
		case reflect.Bool:
			v.SetBool(flag)
		case reflect.Int, reflect.Int64:
			v.SetInt(1)
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			set(v.Elem())
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			set(v.Index(0))
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				v.Set(reflect.ValueOf(time.Unix(1_800_000_000, 0)))
				return
			}
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() && f.Name != "Verbose" && f.Name != "InFull" && f.Name != "Grant" {
					set(v.Field(i))
					if f.Name == "TOML" { // several lines of ours, in which texts are quoted
						v.Field(i).SetString(strings.ReplaceAll(v.Field(i).String(), "\n", " "))
					}
				} else if f.Anonymous {
					set(v.Field(i))
				}
			}
		default:
			panic("a document has a field of kind " + v.Kind().String())
		}
	}
	set(reflect.ValueOf(d).Elem())
	return tags
}

// TestOthersTextInMessages: a message of somebody else's begins no line that looks like one of ours.
func TestOthersTextInMessages(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	to := NewStream(&b)
	Say(to, "said: %s, %v, %q, %v", hostile, errors.New(hostile), hostile, []string{hostile})
	Error(to, fault.WithHint(fmt.Errorf("reading: %s end", hostile), "try "+hostile))
	Error(to, fmt.Errorf("reading: %w", errors.Join(errors.New("first"), errors.New("second"))))
	if err := Tell(to, "told: %s and %v", hostile, errors.New(hostile)); err != nil {
		t.Fatal(err)
	}
	p := NewProgress(to, false)
	p.Step(lifecycle.Event{Step: hostile, On: hostile, State: lifecycle.Warned})
	p.Step(lifecycle.Event{Step: hostile, On: hostile, State: lifecycle.Waiting, Err: errors.New(hostile)})
	p.Step(lifecycle.Event{Step: hostile, On: hostile, State: lifecycle.Failed})
	p.Retry(hostile, hostile, time.Minute, errors.New(hostile))
	checkVisible(t, "messages", b.String())
	ours := 0
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "taskiam: error:") || strings.HasPrefix(line, "taskiam: hint:") {
			ours++
		}
		if !strings.HasPrefix(line, "taskiam: ") && !strings.HasPrefix(line, "told: ") {
			t.Errorf("a line of somebody else's: %q", line)
		}
	}
	if ours != 3 {
		t.Errorf("%d errors and hints were said, not 3:\n%s", ours, b.String())
	}
}

// TestForPrograms: what a shell reads cannot be escaped, and so is refused.
func TestForPrograms(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"export A='é b'\n\tc\n": true, "export A='\x1b[2J'\n": false, "a\u202eb": false, "a\u009bb": false, "a\xffb": false,
		"a\u200bb": false,
	} {
		var b strings.Builder
		_, err := NewStream(&b).Programs().Write([]byte(text))
		if ok != (err == nil) || ok != (b.String() == text) || !ok && b.Len() > 0 {
			t.Errorf("%q: %v, and %q was written", text, err, b.String())
		}
	}
}

// TestNothingHidesBehindAKey: a line that begins a private key has what follows it redacted only if that can be a key.
func TestNothingHidesBehindAKey(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	w := NewWriter(&b)
	if _, err := w.Write([]byte("x -----BEGIN PRIVATE KEY-----\ngrant roles/owner on x\n")); err != nil {
		t.Fatal(err)
	}
	if want := "x [redacted]\ngrant roles/owner on x\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	var r Report
	r.Row("-----BEGIN RSA", "PRIVATE KEY-----")
	r.Row("roles/owner", "on x")
	b.Reset()
	if err := r.Print(NewStream(&b)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "roles/owner") {
		t.Errorf("a line is hidden:\n%s", b.String())
	}
	b.Reset()
	Error(NewStream(&b), errors.New("google said:\n"+sampleKey+"\nend"))
	if want := "taskiam: error: google said:\ntaskiam:   [redacted]\ntaskiam:   end\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
