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

// TestFitColumns: of columns that do not fit, the widest gives way until they do, and no further.
func TestFitColumns(t *testing.T) {
	t.Parallel()
	rows := [][]string{{"ab cd ef gh ij kl", "one two", "x"}, {"", "  up", "日本 語"}} // as wide as 17, 7 and 7
	for width, want := range map[int][]int{
		35: {17, 7, 7}, 34: {16, 7, 7}, 25: {7, 7, 7}, 24: {6, 7, 7}, 23: {6, 6, 7}, 22: {6, 6, 6}, 16: {4, 4, 4}, 14: {2, 4, 4}, 13: nil,
	} {
		got, fits := fitColumns(rows, width)
		if fits != (want != nil) || !cmp.Equal(got, want) {
			t.Errorf("at %d columns: %v, %v; want %v", width, got, fits, want)
		}
	}
	// In a list of two columns a long word stands out, if the labels are short.
	for label, fits := range map[string]bool{"twelve chars": true, "thirteen char": false} {
		long := [][]string{{strings.ReplaceAll(label, " ", "_"), strings.Repeat("x", 40)}}
		if _, got := fitColumns(long, 30); got != fits {
			t.Errorf("%s: %v", label, got)
		}
	}
}

// TestTables: what is in a cell stays in its column, whole and in line with its beginning.
func TestTables(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		width int
		rows  [][]string
		want  string
	}{
		{23, [][]string{{"NAME", "WHAT IT IS"}, {"a", "one two three"}, {"  bb", "x"}}, `
NAME  WHAT IT IS
a     one two three
  bb  x
`},
		{18, [][]string{{"NAME", "WHAT IT IS"}, {"a", "one two three"}, {"  bb", "x"}}, `
NAME  WHAT IT IS
a     one two
      three
  bb  x
`},
		{15, [][]string{{"日本 語", "1"}, {"  four five", "one two three"}}, `
日本    1
語
  four  one two
  five  three
`},
		{30, [][]string{{"to end it", "run: taskiam down --all and the rest"}, {"why", "it is late"}}, `
to end it  run:
           taskiam down --all and the rest
why        it is late
`},
		{40, [][]string{{"  + roles/pubsub.publisher", "3 permissions"}, {"  + +", "x"}}, `
  + roles/pubsub.publisher  3
                            permissions
  + +                       x
`},
		{20, [][]string{{"NAME", "A ROLE", "WHY"}, {"first", "roles/secretmanager.secretAccessor", "it is one"}, {"second", "-", "because it is not"}}, `
first
    a role:
      roles/secretmanager.secretAccessor
    why: it is one
second
    why: because it
      is not
`},
	} {
		if diff := cmp.Diff(tt.want[1:], table(tt.rows, tt.width)); diff != "" {
			t.Errorf("at %d columns (-want +got):\n%s", tt.width, diff)
		}
	}
}

// TestFold: a line is broken where it does not fit, and not before.
func TestFold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		line  string
		width int
		want  []string
	}{
		{"  one two three", 15, []string{"  one two three"}},
		{"  one two three", 14, []string{"  one two", "    three"}},
		{"  one two three", 8, []string{"  one", "    two", "    three"}},
		{"  one two: taskiam down --all", 20, []string{"  one two:", "    taskiam down --all"}},
		{"日本 語 です", 7, []string{"日本 語", "  です"}},
	} {
		if got := fold(tt.line, tt.width); !cmp.Equal(got, tt.want) {
			t.Errorf("%q at %d columns is %q, want %q", tt.line, tt.width, got, tt.want)
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
