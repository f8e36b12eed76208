package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/journal"
)

// What SIGKILL leaves, a later process takes away: the real program is killed at every
// call, before it gets through and after it was applied, while it goes up and while it
// goes down, runs a command or sweeps. Then `taskiam down`, or another sweep, in a new
// process puts everything as it was.

const killed = `
version = 1
[task]
name    = "killed"
project = "acme-agents"
ttl     = "1h"
[[grant]]
role     = "roles/secretmanager.secretAccessor"
resource = "projects/acme-agents/secrets/api-key"
[[grant]]
role      = "roles/pubsub.publisher"
resource  = "projects/acme-agents/topics/reports"
unbounded = "accept"
[credentials]
deliver = "key"
`

// killer is an emulator in the test's process, which can kill its client at a call.
type killer struct {
	t      *testing.T
	server *emulator.Server
	env    []string
	dir    string
	before []byte
	ahead  atomic.Int64 // nanoseconds by which the emulator's clock is ahead

	mu     sync.Mutex
	calls  int
	at     int // the call at which to kill; 0 is none
	late   bool
	victim func() // kills the client
}

var killedKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newKiller(t *testing.T) *killer {
	t.Helper()
	g := &killer{t: t, dir: t.TempDir()}
	server, err := emulator.New(emulator.Config{
		NewKey: killedKey, Now: func() time.Time { return time.Now().Add(time.Duration(g.ahead.Load())) },
	})
	must(t, err)
	g.server = server
	listener := httptest.NewServer(g)
	t.Cleanup(listener.Close)
	_, token := server.Operator()
	tokenFile := filepath.Join(g.dir, "token")
	must(t, os.WriteFile(tokenFile, []byte(token), 0o600))
	must(t, os.WriteFile(filepath.Join(g.dir, "task.toml"), []byte(killed), 0o600))
	for _, name := range []string{"home", "state", "runtime"} {
		must(t, os.Mkdir(filepath.Join(g.dir, name), 0o700))
	}
	g.env = environ(map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": filepath.Join(g.dir, "home"),
		"XDG_STATE_HOME": filepath.Join(g.dir, "state"), "XDG_RUNTIME_DIR": filepath.Join(g.dir, "runtime"),
		"TASKIAM_EMULATOR_HOST": listener.Listener.Addr().String(), "TASKIAM_EMULATOR_TOKEN_FILE": tokenFile,
		"GORACE": raceOptions,
	})
	g.before, err = server.Snapshot()
	must(t, err)
	return g
}

// ServeHTTP passes a call on to the emulator.
func (g *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.calls++
	kill := func() {}
	if g.calls == g.at {
		kill = g.victim
	}
	late := g.late
	g.mu.Unlock()
	if !late {
		kill()
	}
	answer := httptest.NewRecorder()
	if r.Context().Err() == nil && !g.dead() {
		g.server.Handler().ServeHTTP(answer, r)
	}
	if late {
		kill()
	}
	if g.dead() {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // whoever has gone does not want it
}

// dead reports whether the client of this time was killed.
func (g *killer) dead() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at > 0 && g.calls >= g.at && g.victim == nil
}

// run runs the program, and kills it at a call: before that gets through or, if late,
// after it was applied. It returns what was said, how it ended, and how many calls it made.
func (g *killer) run(at int, late bool, args ...string) (said string, calls int, err error) {
	cmd := exec.Command("taskiam", args...)
	var out bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = g.env, g.dir, &out, &out
	started := make(chan struct{})
	var once sync.Once
	g.mu.Lock()
	g.calls, g.at, g.late = 0, at, late
	g.victim = func() {
		once.Do(func() {
			<-started
			if err := cmd.Process.Kill(); err != nil {
				g.t.Errorf("killing the program: %v", err)
			}
			g.mu.Lock()
			g.victim = nil
			g.mu.Unlock()
		})
	}
	g.mu.Unlock()
	must(g.t, cmd.Start())
	close(started)
	err = cmd.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return out.String(), g.calls, err
}

// asBefore returns what is not as it was.
func (g *killer) asBefore() error {
	now, err := g.server.Snapshot()
	if err != nil {
		return err
	}
	if diff := emulator.Diff(g.before, now); diff != "" {
		return fmt.Errorf("the cloud is not as before:\n%s", diff)
	}
	dir, err := journal.OpenDir(filepath.Join(g.dir, "state", "taskiam"), nil)
	if err != nil {
		return err
	}
	runs, err := dir.List()
	if err != nil {
		return err
	}
	for _, id := range runs {
		if run, err := dir.Read(id); err != nil || run.Live() {
			return fmt.Errorf("run %s is not down (%v)", id, err)
		}
	}
	return filepath.WalkDir(filepath.Join(g.dir, "runtime"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			return fmt.Errorf("%s is left", path)
		}
		return err
	})
}

// killing is a command that is killed, and what the user types before and after.
type killing struct {
	name    string
	prepare func(g *killer)
	args    []string
	next    []string
}

var sweeping = []string{"sweep", "--project", "acme-agents"}

var killings = []killing{
	{name: "up", args: []string{"up", "task.toml"}, next: []string{"down"}},
	{name: "down", prepare: (*killer).up, args: []string{"down"}, next: []string{"down"}},
	{name: "run", args: []string{"run", "task.toml", "--", "true"}, next: []string{"down"}},
	{name: "sweep", prepare: func(g *killer) {
		g.up()
		// The laptop is lost, and the run over for long.
		for _, dir := range []string{"state", "runtime"} {
			must(g.t, os.RemoveAll(filepath.Join(g.dir, dir)))
			must(g.t, os.Mkdir(filepath.Join(g.dir, dir), 0o700))
		}
		g.ahead.Store(int64(longAfter))
	}, args: sweeping, next: sweeping},
}

// longAfter is when a run, and the grace of a sweep, is over.
const longAfter = 4 * time.Hour

// up brings a run up, which has to work.
func (g *killer) up() {
	if said, _, err := g.run(0, false, "up", "task.toml"); err != nil {
		g.t.Fatalf("up: %v\n%s", err, said)
	}
}

// begin makes ready for a killing.
func (g *killer) begin(k killing) {
	g.ahead.Store(0)
	if k.prepare != nil {
		k.prepare(g)
	}
}

func TestKilled(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	type cell struct {
		killing
		at, of int
		late   bool
	}
	var cells []cell
	measured := 0
	g := newKiller(t)
	for _, k := range killings {
		g.begin(k)
		said, calls, err := g.run(0, false, k.args...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", k.name, err, said)
		}
		if k.name == "up" {
			if said, _, err := g.run(0, false, "down"); err != nil {
				t.Fatalf("down: %v\n%s", err, said)
			}
		}
		must(t, g.asBefore())
		for at := range calls + 1 { // how many there are, chance decides
			for _, late := range []bool{false, true} {
				if late == (at%2 == 0) && !*tableAll {
					continue // by turns: the fault table plays both, in virtual time
				}
				cells = append(cells, cell{k, at + 1, calls, late})
				if at < calls {
					measured++
				}
			}
		}
	}
	var struck atomic.Int64
	const shares = 4
	t.Run("cells", func(t *testing.T) {
		for share := range shares {
			t.Run(fmt.Sprint(share), func(t *testing.T) {
				t.Parallel()
				g := newKiller(t)
				for i := share; i < len(cells); i += shares {
					c := cells[i]
					name := fmt.Sprintf("%s killed at call %d of %d (after it: %t)", c.name, c.at, c.of, c.late)
					g.begin(c.killing)
					said, calls, err := g.run(c.at, c.late, c.args...)
					switch {
					case err == nil && calls < c.at: // it made fewer this time
					case err == nil || !strings.Contains(err.Error(), "killed"):
						t.Fatalf("%s: it ended with %v\n%s", name, err, said)
					default:
						struck.Add(1)
					}
					if said, _, err := g.run(0, false, c.next...); err != nil {
						t.Fatalf("%s: %s: %v\n%s", name, c.next[0], err, said)
					}
					if err := g.asBefore(); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
			})
		}
	})
	t.Logf("%d cells", struck.Load())
	if n := int(struck.Load()); !t.Failed() && n < measured*9/10 {
		t.Errorf("of some %d cells, %d were killed", measured, n)
	}
}
