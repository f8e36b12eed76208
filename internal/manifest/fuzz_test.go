package manifest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/review"
)

// addCorpus adds the manifests of the corpus to what a fuzzer begins with.
func addCorpus(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/corpus/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no corpus: %v", err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
}

func FuzzParse(f *testing.F) {
	addCorpus(f)
	for _, r := range refusals() {
		if len(r.src) < MaxSize {
			f.Add([]byte(r.src))
		}
	}
	f.Add([]byte(reference))
	f.Add(Starter("a", "acme-agents"))
	f.Add([]byte(head + good + network))
	f.Fuzz(func(t *testing.T, src []byte) {
		agree(t, src)
		task, err := Parse("f", src, Limits{})
		if err != nil {
			checkProblems(t, src, err)
			return
		}
		checkTask(t, task)
		again, err := Parse("f", src, Limits{})
		if err != nil {
			t.Fatalf("accepted once: %v", err)
		}
		if diff := cmp.Diff(task, again, sameName, samePrefix); diff != "" {
			t.Fatalf("read twice:\n%s", diff)
		}
	})
}

// checkProblems holds an error to what its readers rely on.
func checkProblems(t *testing.T, src []byte, err error) {
	t.Helper()
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 || !fault.Is(err, fault.Usage) {
		t.Fatalf("not a list of problems: %v", err)
	}
	lines := strings.Split(string(src), "\n")
	for i, p := range problems {
		if p.File != "f" || p.Message == "" || p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1 {
			t.Fatalf("impossible: %+v", p)
		}
		if strings.Contains(p.Message, "\n") {
			t.Fatalf("a message of two lines: %q", p.Message)
		}
		if i > 0 && (p.Line < problems[i-1].Line || p.Line == problems[i-1].Line && p.Column < problems[i-1].Column) {
			t.Fatalf("out of order:\n%v", err)
		}
	}
}

// checkTask holds a task to what may be relied upon without looking again.
func checkTask(t *testing.T, task grants.Task) {
	t.Helper()
	if !namePattern().MatchString(task.Name) || task.Project == "" || task.TTL < MinTTL || task.TTL > DefaultMaxTTL || len(task.Grants) == 0 {
		t.Fatalf("an impossible task: %+v", task)
	}
	if task.Network != nil {
		checkNetwork(t, task.Network)
	}
	for _, c := range []byte(task.Reason) {
		if c < ' ' || c > '~' {
			t.Fatalf("the reason holds %q", c)
		}
	}
	for _, g := range task.Grants {
		switch {
		case rolePattern().MatchString(g.Role) == (len(g.Permissions) > 0), g.Role != "" && len(g.Permissions) > 0, g.Resource.IsZero(),
			!slices.IsSorted(g.Permissions), slices.ContainsFunc(g.Permissions, func(p string) bool { return !grants.IsPermission(p) }),
			g.Bounded() == g.AcceptUnbounded,
			grants.Basic(g.Role) != g.AllowBasic,
			!g.Bounded() && (g.Condition != "" || g.Prefix != ""),
			g.Prefix != "" && !g.Resource.Type().Prefixes,
			len(review.CheckCondition(g, review.Window{})) > 0:
			t.Fatalf("an impossible grant: %+v", g)
		}
	}
}

// checkNetwork holds the hosts of a task to what a proxy takes.
func checkNetwork(t *testing.T, n *grants.Network) {
	t.Helper()
	seen := map[string]bool{}
	for _, h := range n.Hosts {
		if seen[h.Name] || h.Port == 0 || h.Write && h.Tunnel || h.Injects() && h.WayOut() ||
			h.Injects() != (h.From.Kind != "") || h.Scheme != "" && !h.Injects() || h.MaxUpload < 0 {
			t.Fatalf("an impossible host: %+v", h)
		}
		if strings.HasSuffix("."+h.Name, ".googleapis.com") || strings.ToLower(h.Name) != h.Name || !strings.Contains(h.Name, ".") {
			t.Fatalf("a host of another kind: %+v", h)
		}
		seen[h.Name] = true
	}
}

// agree compares the two parsers that Parse stands on. What both accept they read in
// the same way, down to the place of every character; what one alone accepts, Parse
// refuses.
func agree(t *testing.T, src []byte) {
	t.Helper()
	if !utf8.Valid(src) || len(src) > MaxSize {
		return
	}
	root, placeErr := locate(src)
	if deep := (*placeError)(nil); errors.As(placeErr, &deep) && deep.deep {
		return // the other is too slow to be asked
	}
	var values map[string]any
	_, err := toml.Decode(string(trimBOM(src)), &values)
	if err == nil && placeErr == nil {
		same(t, src, "", values, root)
		return
	}
	if _, err := Parse("f", src, Limits{}); err == nil {
		t.Fatalf("accepted, though one parser refuses it: %v, %v", err, placeErr)
	}
}

func same(t *testing.T, src []byte, path string, v any, p *place) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		var keys, places []string
		for k := range v {
			keys = append(keys, k)
		}
		for k := range p.keys {
			places = append(places, k)
		}
		slices.Sort(keys)
		slices.Sort(places)
		if !slices.Equal(keys, places) {
			t.Fatalf("%s has the keys %q, or %q", path, keys, places)
		}
		for k := range v {
			same(t, src, path+"."+k, v[k], p.keys[k])
		}
	case []map[string]any:
		if len(v) != len(p.items) {
			t.Fatalf("%s has %d tables, or %d", path, len(v), len(p.items))
		}
		for i := range v {
			same(t, src, fmt.Sprintf("%s[%d]", path, i), v[i], p.items[i])
		}
	case []any:
		if len(v) != len(p.items) {
			t.Fatalf("%s has %d elements, or %d", path, len(v), len(p.items))
		}
		for i := range v {
			same(t, src, fmt.Sprintf("%s[%d]", path, i), v[i], p.items[i])
		}
	case string:
		if p.kind != unstable.String || p.text != v {
			t.Fatalf("%s is %q, or %s %q", path, v, p.kind, p.text)
		}
		if !strings.HasPrefix(string(src[p.value:]), p.raw) {
			t.Fatalf("%s does not stand at %d", path, p.value)
		}
		if at, ok := origins(p.raw, p.text); !ok || len(at) != utf8.RuneCountInString(v)+1 {
			t.Fatalf("%s: no place for every character of %s", path, p.raw)
		}
	case bool:
		if p.kind != unstable.Bool {
			t.Fatalf("%s is %v, or %s", path, v, p.kind)
		}
	case int64:
		if p.kind != unstable.Integer {
			t.Fatalf("%s is %v, or %s", path, v, p.kind)
		}
	case float64:
		if p.kind != unstable.Float {
			t.Fatalf("%s is %v, or %s", path, v, p.kind)
		}
	}
}
