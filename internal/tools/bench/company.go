package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator"
)

const (
	host     = "bench-agents"
	operator = "user:bench@example.com"
)

// company is a project with as many resources as a task has grants.
type company struct {
	program  string
	rtt      time.Duration
	addr     string
	manifest string
	env      []string
	gate     *gate
	close    func()
}

// open sets the company up on an emulator of its own, with state in dir.
func open(dir, program string, rtt time.Duration, n int, deliver string) (*company, error) {
	return openWith(dir, program, rtt, seed(n), manifest(n, deliver))
}

// openWith is open with another company and another task.
func openWith(dir, program string, rtt time.Duration, seed, manifest []byte) (*company, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := &company{program: program, rtt: rtt, manifest: filepath.Join(dir, "task.toml")}
	if err := os.WriteFile(c.manifest, manifest, 0o600); err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "state", "taskiam", "emulator")
	gate, addr, stop, err := serve(emulator.Config{Seed: seed, RTT: rtt, Dir: state})
	if err != nil {
		return nil, err
	}
	c.gate, c.addr, c.close = gate, addr, stop
	c.env = append(os.Environ(),
		"XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"),
		"XDG_RUNTIME_DIR=",
		"TASKIAM_EMULATOR_HOST="+addr,
		"TASKIAM_EMULATOR_TOKEN_FILE="+filepath.Join(state, "token"),
		"TASKIAM_EMULATOR_CA="+filepath.Join(state, "ca.pem"))
	return c, nil
}

// seed describes the company: secrets and buckets in turn, and an operator who owns the
// project and may mint tokens in it. The docs recommend that for a project of its own.
func seed(n int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `[organization]
number = "1"
domain = "example.com"
[[project]]
id = %q
number = "100"
parent = "organizations/1"
  [[project.binding]]
  role = "roles/owner"
  members = [%q]
  [[project.binding]]
  role = "roles/iam.serviceAccountTokenCreator"
  members = [%[2]q]
[operator]
member = %[2]q
`, host, operator)
	for i := range n {
		if i%2 == 0 {
			fmt.Fprintf(&b, "[[secret]]\nproject = %q\nname = \"s%d\"\nvalues = [\"v\"]\n", host, i)
		} else {
			fmt.Fprintf(&b, "[[bucket]]\nproject = %q\nname = \"bench-bucket-%d\"\n", host, i)
		}
	}
	return []byte(b.String())
}

func manifest(n int, deliver string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "version = 1\n[task]\nname = \"bench\"\nproject = %q\nttl = \"30m\"\n", host)
	for i := range n {
		if i%2 == 0 {
			fmt.Fprintf(&b, "[[grant]]\nrole = \"roles/secretmanager.secretAccessor\"\n"+
				"resource = \"projects/%s/secrets/s%d\"\n", host, i)
		} else {
			fmt.Fprintf(&b, "[[grant]]\nrole = \"roles/storage.objectViewer\"\n"+
				"resource = \"gs://bench-bucket-%d\"\n", i)
		}
	}
	fmt.Fprintf(&b, "[credentials]\ndeliver = %q\n", deliver)
	return []byte(b.String())
}

// timing is one command, in round trips.
type timing struct {
	process, inside float64
	oneByOne        float64
	calls           int64
}

// String returns the cells of a row.
func (t timing) String() string {
	return fmt.Sprintf(" %.1f | %.1f | %.1f | %d |", t.process, t.inside, t.oneByOne, t.calls)
}

type measurement struct{ up, down timing }

// measure runs up and down in turn, side by side and one by one, and returns the medians.
func (c *company) measure(ctx context.Context, rounds int) (measurement, error) {
	var up, down []timing
	for range rounds {
		var u, d [2]timing
		for i, single := range []bool{false, true} {
			c.gate.single.Store(single)
			var err error
			if u[i], err = c.time(ctx, "up", c.manifest, "--json"); err != nil {
				return measurement{}, err
			}
			if d[i], err = c.time(ctx, "down", "--all", "--json"); err != nil {
				return measurement{}, err
			}
		}
		u[0].oneByOne, d[0].oneByOne = u[1].inside, d[1].inside
		up, down = append(up, u[0]), append(down, d[0])
	}
	return measurement{medians(up), medians(down)}, nil
}

func medians(ts []timing) timing {
	pick := func(f func(timing) float64) float64 {
		values := make([]float64, len(ts))
		for i, t := range ts {
			values[i] = f(t)
		}
		return median(values)
	}
	return timing{
		process:  pick(func(t timing) float64 { return t.process }),
		inside:   pick(func(t timing) float64 { return t.inside }),
		oneByOne: pick(func(t timing) float64 { return t.oneByOne }),
		calls:    int64(pick(func(t timing) float64 { return float64(t.calls) })),
	}
}

func (c *company) time(ctx context.Context, args ...string) (timing, error) {
	c.gate.calls.Store(0)
	begun := time.Now()
	out, err := c.run(ctx, c.program, args...)
	took := time.Since(begun)
	if err != nil {
		return timing{}, err
	}
	inside, err := elapsed(out)
	if err != nil {
		return timing{}, fmt.Errorf("reading what %v reports: %w", args, err)
	}
	in := func(d time.Duration) float64 { return float64(d) / float64(c.rtt) }
	return timing{process: in(took), inside: in(inside), calls: c.gate.calls.Load()}, nil
}

// elapsed finds elapsed_ms in a document of up, or in that of the one run of down.
func elapsed(document []byte) (time.Duration, error) {
	var doc struct {
		ElapsedMS *float64 `json:"elapsed_ms"`
		Runs      []struct {
			ElapsedMS *float64 `json:"elapsed_ms"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		return 0, err
	}
	ms := doc.ElapsedMS
	if ms == nil && len(doc.Runs) == 1 {
		ms = doc.Runs[0].ElapsedMS
	}
	if ms == nil {
		return 0, errors.New("there is no elapsed_ms in it")
	}
	return time.Duration(*ms * float64(time.Millisecond)), nil
}

func (c *company) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = c.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}
