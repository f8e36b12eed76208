package view

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clipperhouse/displaywidth"
	"github.com/google/go-cmp/cmp"
)

// sample is a report with everything that is laid out.
func sample() *Report {
	var r Report
	run := Run{
		Run: "1lgvm0255lbidug", Task: "nightly-report", State: "up", Cloud: "google", Endpoint: "googleapis.com",
		Operator: "user:olivia@acme.example", Account: "ti-nightly-rep-1lgvm0255lbidug@acme-agents.iam.gserviceaccount.com",
		Expires: time.Unix(1_800_000_000, 0), Seconds: 7200, Deliver: "key", Delivery: "/run/user/1000/taskiam/1lgvm0255lbidug",
		Grants: []Grant{
			{Role: "roles/storage.objectViewer", Resource: "gs://acme-reports", Prefix: "2026/", Readiness: "proved", EndsByItself: true},
			{Role: "roles/secretmanager.secretAccessor", Resource: "projects/acme-agents/secrets/api-key", Readiness: "not ready", Why: "日本語の名前 is not there yet"},
		},
	}
	NewUp(run, 2*time.Second, false).Show(&r)
	r.Line("")
	NewStatus([]Run{run}).Show(&r)
	Outlook{Findings: []Finding{{
		Name: "acts-as-others", Grade: "stop", Why: "the role lets the account act as every other account of the project",
		Instead: "roles/storage.objectViewer on gs://acme-reports",
	}}}.showFindings(&r, 0, false)
	r.Prose("A task is work that you give to something unsupervised, such as a coding agent or a CI job.")
	r.Terms([][2]string{{"--ready-timeout DURATION", "how long to wait until all access works (default 10m0s)"}, {"-q", "quiet"}})
	return &r
}

// TestWidths compares a report with how it looks at several widths. Where there is no terminal no line is broken.
func TestWidths(t *testing.T) {
	t.Parallel()
	for _, width := range []int{0, 60, 80, 120, 200} {
		var b bytes.Buffer
		form := Form{Width: width, Colour: func() bool { return width == 80 }}
		to := newStream(&b, form, &screen{})
		if err := sample().Print(to); err != nil {
			t.Fatal(err)
		}
		Say(to, "hint: nobody can say how long the name of a command to paste may be: %s", "taskiam down --account ti-nightly-rep-1lgvm0255lbidug@acme.example")
		path := filepath.Join("testdata", fmt.Sprintf("width-%d.txt", width))
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("at %d columns (-want +got):\n%s", width, diff)
		}
	}
}

// FuzzWidth lays out any text: no line is wider than asked but for a word or a command that cannot be broken, no word
// is lost, none is broken, and nothing can act on a terminal.
func FuzzWidth(f *testing.F) {
	f.Add("a row | of cells | 日本 and more", uint8(30))
	f.Add("to take it down: taskiam down --all and the rest", uint8(20))
	f.Add("\x1b[2J | e\u0301\u0301 \u202e", uint8(5))
	f.Fuzz(func(t *testing.T, text string, columns uint8) {
		width := max(narrowest, int(columns))
		var r Report
		r.Row(strings.SplitN(text, "|", 6)...) // as many columns as tables have
		r.Row("A", "B", text)
		r.Line("    %s", text)
		var b bytes.Buffer
		if err := r.Print(newStream(&b, Form{Width: width}, &screen{})); err != nil {
			t.Fatal(err)
		}
		checkVisible(t, "a report", b.String())
		got := strings.Join(strings.Fields(b.String()), " ")
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if displaywidth.String(line) > width && len(strings.Fields(line)) > 1 && !command().MatchString(strings.TrimSpace(line)) &&
				!strings.Contains(line, "b: ") && !strings.Contains(line, `\`) && !strings.Contains(line, "  ") {
				t.Errorf("at %d columns: %q", width, line)
			}
		}
		for word := range strings.FieldsSeq(string(showLine(strings.ReplaceAll(text, "|", " ")))) {
			if !strings.Contains(text, "|"+word) && !strings.Contains(word, `\`) && !strings.Contains(got, word) {
				t.Errorf("%q is not in\n%s", word, b.String())
			}
		}
	})
}

// TestPaint: colour stands at the words of ours that begin a line, and nowhere else.
func TestPaint(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"    stop acts-as: why\n    note x":  "    \x1b[31mstop\x1b[0m acts-as: why\n    \x1b[36mnote\x1b[0m x",
		"  ok         state: warning: no":    "  \x1b[32mok\x1b[0m         state: warning: no",
		"taskiam: error: no\ntaskiam: error": "taskiam: \x1b[31merror\x1b[0m: no\ntaskiam: error",
		"say: stop it":                       "say: stop it",
	} {
		if got := paint(safe(in)); string(got) != want {
			t.Errorf("%q is painted as %q, want %q", in, got, want)
		}
	}
}
