package manifest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
)

func TestFormat(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"nothing", "", ""},
		{"white space alone", "\n \t\n\r\n", ""},
		{"a byte order mark and Windows' line ends", "\xef\xbb\xbfversion=1\r\n# c \r\n", "version = 1\n# c\n"},
		{"keys of one block are equally wide", "a=1\nlong_key   =2\n\nb = 3\n", "a        = 1\nlong_key = 2\n\nb = 3\n"},
		{
			"comments of one block stand under each other",
			"a = 1 # x\nbb = \"long\"#y\nc = 3\n",
			"a  = 1      # x\nbb = \"long\" #y\nc  = 3\n",
		},
		{"a comment alone ends a block", "a=1\n  # c\nlong=2\n", "a = 1\n# c\nlong = 2\n"},
		{"headers", "[ task ]\n\nname='x'\n[[ grant ]] # g\n[a . \"b c\" . d]\n", "[task]\nname = 'x'\n\n[[grant]] # g\n\n[a.\"b c\".d]\n"},
		{"a comment stays with its header", "a = 1\n# of b\n[b]\n\n# of b too\n\n# of c\n[c]\n", "a = 1\n\n# of b\n[b]\n# of b too\n\n# of c\n[c]\n"},
		{"empty lines", "\n\na = 1\n\n\n\nb = 2\n\n\n", "a = 1\n\nb = 2\n"},
		{"lists and tables on a line", "a = [ 1,2 ,3, ]\nb={x=1,y . z=[ ]}\nc={ }\n", "a = [1, 2, 3,]\nb = { x = 1, y.z = [] }\nc = {}\n"},
		{
			"lists on many lines",
			"a=[\n\n1, # one\n\n\n # two\n2,\n[3,\n4],\n\n]#end\n",
			"a = [\n    1, # one\n\n    # two\n    2,\n    [3,\n        4],\n] #end\n",
		},
		{
			"strings stay as they are, each kind",
			"a = \"#  =\\\"[\"\nb = '\\'\nc = \"\"\"\n  x  \r\n\n\n  y\\\"\"\"\"\"\"\nd = '''  \n ''q'''''\n",
			"a = \"#  =\\\"[\"\nb = '\\'\nc = \"\"\"\n  x  \r\n\n\n  y\\\"\"\"\"\"\"\nd = '''  \n ''q'''''\n",
		},
		{"dates and numbers", "a = 1979-05-27 07:32:00\nb = 1.5e-3\nc.d = -0.5\n", "a   = 1979-05-27 07:32:00\nb   = 1.5e-3\nc.d = -0.5\n"},
		{"no line end at the end", "a = 1 # c", "a = 1 # c\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Format("f", []byte(tt.src))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkFormat(t, []byte(tt.src))
		})
	}
}

// checkFormat holds what Format makes of a file to what its callers rely on.
func checkFormat(t *testing.T, src []byte) {
	t.Helper()
	_, invalid := contents("f", src)
	out, err := Format("f", src)
	if invalid != nil {
		var problems Problems
		if !errors.As(err, &problems) || !fault.Is(err, fault.Usage) || out != nil {
			t.Fatalf("a file that is no TOML: %q, %v", out, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	again, err := Format("f", out)
	if err != nil || !bytes.Equal(again, out) {
		t.Fatalf("not the same the second time, of %q:\n%q\n%q\n%v", src, out, again, err)
	}
	before, errBefore := Parse("f", src, Limits{})
	after, errAfter := Parse("f", out, Limits{})
	if (errBefore == nil) != (errAfter == nil) {
		t.Fatalf("%v, and then %v", errBefore, errAfter)
	}
	if diff := cmp.Diff(before, after, sameName, samePrefix); diff != "" {
		t.Fatalf("another task:\n%s", diff)
	}
	for line := range strings.Lines(string(out)) {
		if !bytes.Contains(src, []byte(strings.TrimSpace(line))) && strings.HasPrefix(strings.TrimSpace(line), "#") {
			t.Fatalf("a comment of its own: %q", line)
		}
	}
}

func FuzzFormat(f *testing.F) {
	addCorpus(f)
	for _, src := range []string{
		reference, string(Starter("a", "acme-agents")), "a=[ # c\n[1,\n2],{x=1}]\n", "\"\"=''\n'a.b' . c={d.e=1.5}\n",
		"a=\"\"\"\\\"\"\"\"\"\"\n", "[[ a ]]\n#c\n\n\n[ a.b ]\nd=1979-05-27 07:32:00", "a = nan",
	} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) { checkFormat(t, src) })
}

// What is shown as an example is in the layout that the program would give it.
func TestExamplesAreFormatted(t *testing.T) {
	files, err := filepath.Glob("../../tasks/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	texts := map[string]string{"the manifest of init": string(Starter("a", "acme-agents"))}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(src)
	}
	for name, text := range texts {
		got, err := Format(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(got), text); diff != "" {
			t.Errorf("%s (-formatted +as it is):\n%s", name, diff)
		}
	}
}
