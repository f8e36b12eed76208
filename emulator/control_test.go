package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

const controlAPI = "http://127.0.0.1:8790/_emulator/"

// command asks the control API as whoever may.
func (l *lab) command(method, name, body string) response {
	l.t.Helper()
	return l.do(l.ControlToken(), method, controlAPI+name, body)
}

func TestControlToken(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "emulator")
	l := newLab(t, func(c *Config) { c.Dir = dir })
	token := l.ControlToken()
	raw, err := os.ReadFile(filepath.Join(dir, "control"))
	if err != nil || string(raw) != token {
		t.Errorf("the file holds %q (%v), the token is %q", raw, err, token)
	}
	if info, err := os.Stat(filepath.Join(dir, "control")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v (%v)", info.Mode(), err)
	}
	if again := newLab(t, func(c *Config) { c.Dir = dir }).ControlToken(); again != token {
		t.Error("the token changed over a restart")
	}
	// No service takes it, and the operator's opens no more than it did.
	l.want(l.do(token, "GET", dataPolicy, ""), 401, "UNAUTHENTICATED")
	for _, request := range []string{"GET lag", "PUT lag", "GET faults", "POST faults", "DELETE faults", "POST release", "PUT quotas", "GET diff", "POST snapshots/x"} {
		verb, name, _ := strings.Cut(request, " ")
		l.want(l.do(l.operator, verb, controlAPI+name, "{}"), 401, "UNAUTHENTICATED")
	}
	for _, name := range []string{"snapshot", "clock"} {
		l.must(l.operator, "GET", controlAPI+name, "")
		l.must(token, "GET", controlAPI+name, "")
	}
}

// Each document of the control API names its schema, and reads back what was set.
func TestControlDocuments(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, tt := range []struct{ request, body, want string }{
		{"GET clock", "", `{"schema":"taskiam.emulator.clock/v1","now":"2026-03-03T11:00:00Z","stopped":false}`},
		{"POST clock", `{"advance":"90m","stopped":true}`, `{"schema":"taskiam.emulator.clock/v1","now":"2026-03-03T12:30:00Z","stopped":true}`},
		{"POST clock", `{"set":"2030-01-01T00:00:00Z"}`, `{"schema":"taskiam.emulator.clock/v1","now":"2030-01-01T00:00:00Z","stopped":true}`},
		{"POST clock", `{"stopped":false}`, `{"schema":"taskiam.emulator.clock/v1","now":"2030-01-01T00:00:00Z","stopped":false}`},
		{"GET lag", "", `{"schema":"taskiam.emulator.lag/v1"}`},
		{"PUT lag", `{"grant":"2m..7m","account_bind":"60s","seed":7}`, `{"schema":"taskiam.emulator.lag/v1","seed":7,"account_bind":"1m0s","grant":"2m0s..7m0s"}`},
		{"PUT lag", `{}`, `{"schema":"taskiam.emulator.lag/v1"}`},
		{"PUT quotas", `{"iam_writes":600,"bucket_updates":1}`, `{"schema":"taskiam.emulator.quotas/v1","iam_writes":600,"bucket_updates":1}`},
		{"GET quotas", "", `{"schema":"taskiam.emulator.quotas/v1","iam_writes":600,"bucket_updates":1}`},
		{"POST faults", `{"method":"*.setIamPolicy","nth":3,"do":"answer","code":409}`, `{"schema":"taskiam.emulator.faults/v1","faults":[
			{"name":"fault-1","method":"*.setIamPolicy","nth":3,"do":"answer","code":409,"matches":0,"struck":0}]}`},
		{"POST faults", `{"name":"lost","do":"reset","after":true,"count":1}`, `{"schema":"taskiam.emulator.faults/v1","faults":[
			{"name":"fault-1","method":"*.setIamPolicy","nth":3,"do":"answer","code":409,"matches":0,"struck":0},
			{"name":"lost","do":"reset","after":true,"count":1,"matches":0,"struck":0}]}`},
		{"DELETE faults/fault-1", "", `{"schema":"taskiam.emulator.faults/v1","faults":[{"name":"lost","do":"reset","after":true,"count":1,"matches":0,"struck":0}]}`},
		{"POST release", "", `{"schema":"taskiam.emulator.faults/v1","faults":[{"name":"lost","do":"reset","after":true,"count":1,"matches":0,"struck":0}]}`},
		{"DELETE faults", "", `{"schema":"taskiam.emulator.faults/v1","faults":[]}`},
		{"GET faults", "", `{"schema":"taskiam.emulator.faults/v1","faults":[]}`},
		{"GET snapshots", "", `{"schema":"taskiam.emulator.snapshots/v1","snapshots":[]}`},
	} {
		verb, name, _ := strings.Cut(tt.request, " ")
		r := l.command(verb, name, tt.body)
		var want map[string]any
		if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r.body); r.code != 200 || diff != "" {
			t.Errorf("%s %s: %d (-want +got):\n%s", tt.request, tt.body, r.code, diff)
		}
	}
	for _, tt := range []struct {
		request, body string
		code          int
	}{
		{"PUT lag", "", 400},
		{"PUT lag", `{"grnat":"2m"}`, 400},
		{"PUT lag", `{"grant":"soon"}`, 400},
		{"PUT lag", `{} {}`, 400},
		{"PUT quotas", `{"iam_writes":-1}`, 400},
		{"POST faults", `{"do":"explode"}`, 400},
		{"POST faults", `{"do":"reset","methd":"x"}`, 400},
		{"POST clock", `{"set":"tomorrow"}`, 400},
		{"DELETE faults/none", "", 404},
		{"DELETE faults/", "", 400},
		{"GET snapshots/none", "", 404},
		{"DELETE snapshots/none", "", 404},
		{"GET diff", "", 404},
		{"POST lag", "{}", 404},
	} {
		verb, name, _ := strings.Cut(tt.request, " ")
		if r := l.command(verb, name, tt.body); r.code != tt.code {
			t.Errorf("%s %s: %d, want %d: %s", tt.request, tt.body, r.code, tt.code, r.raw)
		}
	}
}

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(c *Config) { c.Now = nil })
		start := l.Now()
		passed := func(what string, want time.Duration) {
			t.Helper()
			if got := l.Now().Sub(start); got != want {
				t.Errorf("%s: %v have passed, want %v", what, got, want)
			}
		}
		time.Sleep(time.Minute)
		passed("a minute of the machine's", time.Minute)
		l.StopClock()
		l.StopClock()
		time.Sleep(time.Minute)
		passed("standing", time.Minute)
		l.Advance(time.Hour)
		passed("moved while it stands", time.Hour+time.Minute)
		l.StartClock()
		l.StartClock()
		passed("started", time.Hour+time.Minute)
		time.Sleep(time.Minute)
		passed("running", time.Hour+2*time.Minute)
		l.SetTime(start.Add(-time.Hour))
		passed("set back", -time.Hour)
		time.Sleep(time.Minute)
		passed("running on", -59*time.Minute)
		l.StopClock()
		l.SetTime(start)
		time.Sleep(time.Minute)
		passed("set while it stands", 0)
	})
}

func TestSnapshots(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if got := l.command("POST", "snapshots/before", "").raw; got != l.snapshot() {
		t.Error("the snapshot that is kept is another one")
	}
	email := l.account("ti-differs")
	w := l.getPolicy(3)
	w.Version = 3
	w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{"serviceAccount:" + email}, Condition: until("2026-04-01T00:00:00Z")})
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	l.command("POST", "snapshots/after", "")

	r := l.command("GET", "diff?from=before", "")
	if r.code != 200 || r.body["equal"] != false {
		t.Fatalf("diff: %d %s", r.code, r.raw)
	}
	text := l.command("GET", "diff?from=before&to=after&format=text", "")
	if !strings.HasPrefix(text.header.Get("Content-Type"), "text/plain") {
		t.Errorf("the text's type is %s", text.header)
	}
	const path = `projects[acme-data].policy.bindings[roles/browser if request.time < timestamp("2026-04-01T00:00:00Z")]: (none) → {`
	if !strings.Contains(text.raw, path) || !strings.Contains(text.raw, "accounts[") || strings.Count(text.raw, "\n") != 2 {
		t.Errorf("the diff is\n%s", text.raw)
	}
	l.must(l.operator, "DELETE", accounts+"/"+email, "")
	for _, b := range l.getPolicy(3).Bindings {
		if b.Role == "roles/browser" {
			w = l.getPolicy(3)
			w.Version = 3
			w.Bindings = w.Bindings[:0:0]
		}
	}
	for _, b := range l.getPolicy(3).Bindings {
		if b.Role != "roles/browser" {
			w.Bindings = append(w.Bindings, b)
		}
	}
	if r := l.setPolicy(w); r.code != 200 {
		t.Fatal(r.raw)
	}
	if r := l.command("GET", "diff?from=before", ""); r.body["equal"] != true {
		t.Errorf("all was undone, and yet: %s", r.raw)
	}
	if got, want := l.command("GET", "snapshots", "").raw, `"after",`; !strings.Contains(got, want) {
		t.Errorf("the snapshots are %s", got)
	}
	if got := l.command("DELETE", "snapshots/after", ""); got.code != 200 {
		t.Error(got.raw)
	}
	if got := l.command("GET", "snapshots/after", ""); got.code != 404 {
		t.Errorf("a dropped snapshot: %d", got.code)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ a, b, want string }{
		"equal":             {`{"a":[1,{"b":null}]}`, `{"a":[1,{"b":null}]}`, ""},
		"a value":           {`{"a":{"b":1}}`, `{"a":{"b":2}}`, "a.b: 1 → 2\n"},
		"a new field":       {`{}`, `{"x@y.z":{"b":2}}`, `[x@y.z]: (none) → {"b":2}` + "\n"},
		"a field gone":      {`{"a":true}`, `{}`, "a: true → (none)\n"},
		"a member":          {`{"m":["a","b"]}`, `{"m":["b","c"]}`, "m[a]: \"a\" → (none)\nm[c]: (none) → \"c\"\n"},
		"twice":             {`{"m":["a"]}`, `{"m":["a","a"]}`, "m[a #2]: (none) → \"a\"\n"},
		"an order":          {`{"m":["a","b"]}`, `{"m":["b","a"]}`, `m: ["a","b"] → ["b","a"]` + "\n"},
		"within a binding":  {`[{"role":"r","members":["a"]}]`, `[{"role":"r","members":["b"]}]`, "[r].members[a]: \"a\" → (none)\n[r].members[b]: (none) → \"b\"\n"},
		"a kind":            {`{"a":[1]}`, `{"a":{"b":1}}`, "a: [1] → {\"b\":1}\n"},
		"everything":        {`1`, `[]`, "(all): 1 → []\n"},
		"no name":           {`[{"x":1}]`, `[{"x":2}]`, "[{\"x\":1}]: {\"x\":1} → (none)\n[{\"x\":2}]: (none) → {\"x\":2}\n"},
		"a broken snapshot": {`{`, `{}`, "reading the first snapshot: unexpected end of JSON input\n"},
	} {
		if diff := cmp.Diff(tt.want, wire.Diff([]byte(tt.a), []byte(tt.b))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Of 64 writers of one policy, each of whom reads, adds a member and writes until it
// succeeds, none undoes another's work.
func TestNoLostUpdate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const writers = 64
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for {
				w := l.getPolicy(3)
				w.Bindings = append(w.Bindings, iam.Binding{Role: "roles/browser", Members: []string{fmt.Sprintf("user:w%d@acme.example", n)}})
				switch r := l.setPolicy(w); r.code {
				case http.StatusOK:
					return
				case http.StatusConflict:
				default:
					t.Errorf("writer %d: %d %s", n, r.code, r.raw)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, b := range l.getPolicy(3).Bindings {
		if b.Role == "roles/browser" && len(b.Members) != writers {
			t.Errorf("%d of %d writers' members are there", len(b.Members), writers)
		}
	}
}

func TestAllowRemote(t *testing.T) {
	t.Parallel()
	for _, remote := range []bool{false, true} {
		l := newLab(t, func(c *Config) { c.AllowRemote = remote })
		for url, want := range map[string]int{
			"http://192.0.2.7:8790/v1/projects/acme-agents":          map[bool]int{false: 403, true: 200}[remote],
			"http://emulator:8790/v1/projects/acme-agents":           map[bool]int{false: 403, true: 200}[remote],
			"https://compute.googleapis.com/compute/v1/projects/x":   501,
			"https://iam.googleapis.com/v1/projects/acme-agents":     501,
			"https://storage.googleapis.com/storage/v1/b/no-such-b":  404,
			"http://127.0.0.1:8790/v1/projects/acme-agents?fields=x": 200,
		} {
			if r := l.do(l.operator, "GET", url, ""); r.code != want {
				t.Errorf("remote %v: %s: %d, want %d", remote, url, r.code, want)
			}
		}
	}
}
