package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

// TestClock: how wrong a clock is is not known to the second, since headers cut the time to it.
func TestClock(t *testing.T) {
	t.Parallel()
	for ahead, want := range map[int64]string{
		86399: "24h behind the cloud's", 86401: "24h behind the cloud's", -86399: "24h ahead of the cloud's", 61: "1m behind the cloud's",
	} {
		if got := clock(ahead); got != want {
			t.Errorf("clock(%d) = %q, want %q", ahead, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Microsecond: "2ms", 850 * time.Millisecond: "850ms", 2440 * time.Millisecond: "2.4s",
		59 * time.Second: "59s", 61 * time.Second: "1m1s", 2 * time.Minute: "2m", 30 * time.Minute: "30m",
		90 * time.Minute: "1h30m", 2 * time.Hour: "2h", 7199 * time.Second: "2h", 12 * time.Hour: "12h", -3 * time.Second: "-3s",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"plain", errors.New("reading x: no"), "taskiam: error: reading x: no\n"},
		{"hints", fault.WithHint(fault.WithHint(errors.New("x"), "inner"), "outer", "inner"), "taskiam: error: x\ntaskiam: hint: outer\ntaskiam: hint: inner\n"},
		{"joined", errors.Join(errors.New("a"), errors.Join(nil, fault.WithHint(errors.New("b"), "h"))), "taskiam: error: a\ntaskiam: error: b\ntaskiam: hint: h\n"},
		{"each with its own", errors.Join(fault.WithHint(errors.New("a"), "h"), errors.New("b"), fault.WithHint(errors.New("c"), "i")), "taskiam: error: a\ntaskiam: hint: h\ntaskiam: error: b\ntaskiam: error: c\ntaskiam: hint: i\n"},
		{"one for several", errors.Join(fault.WithHint(errors.New("a"), "h"), fault.WithHint(errors.New("b"), "h"), fault.WithHint(errors.New("a"), "i")), "taskiam: error: a\ntaskiam: hint: h\ntaskiam: hint: i\ntaskiam: error: b\ntaskiam: hint: h\n"},
		{"one for two that follow", errors.Join(fault.WithHint(errors.New("a"), "h"), fault.WithHint(errors.New("b"), "h")), "taskiam: error: a\ntaskiam: error: b\ntaskiam: hint: h\n"},
		{"joined, under a hint and a code", fmt.Errorf("%w", fault.WithHint(errors.Join(errors.New("a"), errors.New("b")), "h")), "taskiam: error: a\ntaskiam: error: b\ntaskiam: hint: h\n"},
		{"joined twice", errors.Join(errors.New("a"), errors.New("a"), errors.New("b")), "taskiam: error: a\ntaskiam: error: b\n"},
		{"several lines", errors.New("a\nb"), "taskiam: error: a\ntaskiam:   b\n"},
		{"a manifest", fmt.Errorf("x: %w", &fault.Error{Kind: fault.Usage, Err: manifest.Problems{
			{File: "t.toml", Line: 1, Column: 2, Message: "m", Fix: "f"}, {File: "t.toml", Line: 3, Column: 4, Message: "n"},
		}}), "taskiam: error: t.toml:1:2: m\ntaskiam: hint: f\ntaskiam: error: t.toml:3:4: n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got strings.Builder
			Error(NewStream(&got), c.err)
			if got.String() != c.want {
				t.Errorf("got %q, want %q", got.String(), c.want)
			}
		})
	}
}

func TestReportAligns(t *testing.T) {
	t.Parallel()
	var r Report
	r.Row("A", "LONG", "C")
	r.Row("aaa", "b", "")
	r.Line("")
	r.Row("x", "y")
	want := "A    LONG  C\naaa  b\n\nx  y\n"
	if got := r.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOthersTextStaysInItsPlace: what comes from a policy begins no line and no cell of its own, and
// cannot speak to the terminal, neither in a report nor in a document.
func TestOthersTextStaysInItsPlace(t *testing.T) {
	t.Parallel()
	const evil = "x\n  on gs://a: nothing\x1b[1A\tb\u202e"
	var r Report
	r.Line("if %s", evil)
	r.Row("a", evil)
	r.Line("%v", errors.New(evil))
	var out strings.Builder
	if err := r.Print(NewStream(&out)); err != nil {
		t.Fatal(err)
	}
	const safe = `x\n  on gs://a: nothing\x1b[1A\tb\u202e`
	if want := "if " + safe + "\na  " + safe + "\n" + safe + "\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	if err := JSON(NewStream(&out), map[string]string{"text": evil + "\u009b\U000e0041"}); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.String() {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("a document has a raw %q", r)
		}
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back["text"] != evil+"\u009b\U000e0041" {
		t.Errorf("read back %q, %v", back["text"], err)
	}
}

// People see the gravest three findings of a grant, and all of them if they ask; nothing is left out silently.
func TestTheGravestFindingsAreShown(t *testing.T) {
	t.Parallel()
	v := Outlook{Findings: []Finding{
		{Name: "a", Grade: "stop"}, {Name: "other", Grade: "stop", Grant: 1}, {Name: "b", Grade: "stop", Accepted: "why"},
		{Name: review.DoesNotEnd, Grade: "stop", Accepted: "unbounded"}, {Name: "c", Grade: "warn"},
		{Name: "d", Grade: "warn"}, {Name: "e", Grade: "note"},
	}}
	for verbose, want := range map[bool][]string{
		false: {"stop a", "stop b", "accepted: why", "warn c", "and 2 more, none graver (--verbose)"},
		true:  {"stop a", "stop b", "accepted: why", "warn c", "warn d", "note e"},
	} {
		var r Report
		v.showFindings(&r, 0, verbose)
		var b strings.Builder
		if err := r.Print(NewStream(&b)); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		for _, line := range want {
			at := strings.Index(text, line)
			if at < 0 {
				t.Fatalf("verbose %v: %q is not next in\n%s", verbose, line, b.String())
			}
			text = text[at+len(line):]
		}
		for _, no := range []string{"other", "does-not-end", "more, none graver"} {
			if strings.Contains(text, no) {
				t.Errorf("verbose %v: %q is in\n%s", verbose, no, b.String())
			}
		}
	}
}

// What a role holds is counted without what nobody asks for on the resource.
func TestCountsLeaveOutWhatIsOfNoUse(t *testing.T) {
	t.Parallel()
	service, _, err := resource.Parse("//run.googleapis.com/projects/acme-data/locations/europe-west3/services/web")
	if err != nil {
		t.Fatal(err)
	}
	preview := &lifecycle.Preview{
		Plan: grants.Plan{Task: grants.Task{Grants: []grants.Grant{{Role: "roles/run.invoker", Resource: service}}}},
		Roles: map[string]grants.Role{
			"roles/run.invoker": {Name: "roles/run.invoker", Permissions: []string{"run.jobs.run", "run.routes.invoke"}},
		},
	}
	edit := grants.Edit{Resource: service, Grants: []int{0}, Bindings: []policy.Binding{{Role: "roles/run.invoker"}}}
	binding := newEdit(preview, edit).Bindings[0]
	for _, verbose := range []bool{false, true} {
		var r Report
		newOutlook(preview).showRole(&r, binding.Role, binding.OfNoUse, verbose)
		text := r.String()
		if !strings.Contains(text, "1 is of no use here") || strings.Contains(text, "runs code") || strings.Contains(text, "run.jobs.run") != verbose {
			t.Errorf("verbose: %t: it says\n%s", verbose, text)
		}
	}
}
