package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/tools/contest"
	"github.com/taskiam/taskiam/internal/wait"
)

// contested are the policies that everybody edits, and with what role. They are the
// built-in company's.
var contested = []struct{ on, role string }{
	{"projects/acme-agents", "roles/pubsub.viewer"},
	{"gs://acme-reports", "roles/storage.objectViewer"},
	{"bq://acme-data.sales", "roles/bigquery.dataViewer"},
	{"projects/acme-agents/topics/reports", "roles/pubsub.publisher"},
}

// neighbourPace is how often a neighbour edits each of the policies.
const neighbourPace = time.Second

// crowd is an emulator with a watch before it, and a neighbour at work.
type crowd struct {
	dir    string
	server *emulator.Server
	watch  *contest.Watch
	addr   string
	close  func()
}

func openCrowd(dir string, rtt time.Duration) (*crowd, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	server, err := emulator.New(emulator.Config{
		Dir: filepath.Join(dir, "emulator"), Quotas: emulator.Quotas{IAMWrites: emulator.GoogleQuotas.IAMWrites},
	})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &crowd{dir: dir, server: server, watch: contest.New(server.Handler(), rtt), addr: l.Addr().String()}
	s := &http.Server{Handler: c.watch, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(l)
	c.close = func() { s.Close(); server.Close() }
	return c, nil
}

func (c *crowd) client(agent string) (*gcp.Client, error) {
	_, token := c.server.Operator()
	return gcp.New(gcp.Config{EmulatorHost: c.addr, Credential: gcp.EmulatorLogin(secret.New(token)), UserAgent: agent})
}

// process runs the whole life of a task as a process of the program, on one machine.
func (c *crowd) process(ctx context.Context, program string, machine int) error {
	dir := filepath.Join(c.dir, fmt.Sprint("machine", machine))
	run := company{env: append(os.Environ(),
		"XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"),
		"XDG_RUNTIME_DIR=", "TASKIAM_EMULATOR_HOST="+c.addr,
		"TASKIAM_EMULATOR_TOKEN_FILE="+filepath.Join(c.dir, "emulator", "token"))}
	_, err := run.run(ctx, program, "run", filepath.Join(c.dir, "task.toml"), "--", "true")
	return err
}

// manifest writes the task: all of the contested, by token.
func (c *crowd) manifest() error {
	text := "version = 1\n[task]\nname = \"crowd\"\nproject = \"acme-agents\"\nttl = \"1h\"\n"
	for _, p := range contested {
		text += fmt.Sprintf("[[grant]]\nrole = %q\nresource = %q\n", p.role, p.on)
	}
	text += "unbounded = \"accept\"\n[credentials]\ndeliver = \"token\"\n" // Pub/Sub, the last, takes no conditions
	return os.WriteFile(filepath.Join(c.dir, "task.toml"), []byte(text), 0o600)
}

// script does what scripts do: it creates an account and edits one policy after the other.
// If a write fails, it rests, always as long, and begins again with reading. Only the calls
// are made, without the second that gcloud takes to start.
func (c *crowd) script(ctx context.Context, number int, rest time.Duration) error {
	client, err := c.client("script")
	if err != nil {
		return err
	}
	account, err := client.CreateAccount(ctx, "acme-agents", fmt.Sprintf("ti-script-%d", number), "", "")
	if err != nil {
		return err
	}
	for _, change := range []func(policy.Document, policy.Binding) bool{policy.Document.Add, policy.Document.Remove} {
		for _, p := range contested {
			name, _, err := resource.Parse(p.on)
			if err != nil {
				return err
			}
			b := policy.Binding{Role: p.role, Member: "serviceAccount:" + account.Email}
			for {
				doc, err := client.ReadPolicy(ctx, name)
				if err == nil {
					change(doc, b)
					_, err = client.WritePolicy(ctx, name, doc)
				}
				if err == nil {
					break
				}
				if !fault.Is(err, fault.Conflict) {
					return err
				}
				if err := wait.For(ctx, rest); err != nil {
					return err
				}
			}
		}
	}
	return client.DeleteAccount(ctx, "acme-agents", account.Email)
}

// contestOutcome is what came of a crowd.
type contestOutcome struct {
	wall, worst time.Duration
	ours        contest.Count
}

// contend does one thing n times at once, beside the neighbour, and checks that no update
// was lost and nothing is left.
func (c *crowd) contend(ctx context.Context, n int, one func(i int) error) (contestOutcome, error) {
	before, err := c.server.Snapshot()
	if err != nil {
		return contestOutcome{}, err
	}
	client, err := c.client(contest.Agent)
	if err != nil {
		return contestOutcome{}, err
	}
	busy, stop := context.WithCancel(ctx)
	defer stop()
	neighbours := make([]*contest.Neighbour, len(contested))
	errs := make([]error, n+len(contested))
	var edits, work sync.WaitGroup
	for i, p := range contested {
		name, _, err := resource.Parse(p.on)
		if err != nil {
			return contestOutcome{}, err
		}
		neighbours[i] = &contest.Neighbour{Client: client, Policy: name, Role: p.role, Every: neighbourPace}
		edits.Go(func() { errs[n+i] = neighbours[i].Run(busy) })
	}
	begun := time.Now()
	took := make([]time.Duration, n)
	for i := range n {
		work.Go(func() { errs[i] = one(i); took[i] = time.Since(begun) })
	}
	work.Wait()
	o := contestOutcome{wall: time.Since(begun)}
	stop()
	edits.Wait()
	for _, neighbour := range neighbours {
		errs = append(errs, neighbour.Leave(ctx))
	}
	for _, v := range c.watch.Violations() {
		errs = append(errs, errors.New(v))
	}
	if err := errors.Join(errs...); err != nil {
		return o, err
	}
	after, err := c.server.Snapshot()
	if err != nil {
		return o, err
	}
	if diff := emulator.Diff(before, after); diff != "" {
		return o, fmt.Errorf("the cloud is not as before:\n%s", diff)
	}
	for _, d := range took {
		o.worst = max(o.worst, d)
	}
	o.ours, _ = c.watch.Total()
	return o, nil
}

// compareCrowds prints what many runs at once cost, for taskiam and for scripts.
func compareCrowds(ctx context.Context, out io.Writer, dir, program string, rtt time.Duration) error {
	fmt.Fprintf(out, "Many at once on the same four policies (of a project, a bucket, a dataset and a topic), "+
		"each of\n")
	fmt.Fprintf(out, "which a neighbour edits every %s: up and down of a task with four grants as a process each,\n",
		neighbourPace)
	fmt.Fprintf(out, "and the same edits by loops that read and write until it goes well (goroutines: no start-up\n")
	fmt.Fprintf(out, "is in it, and nothing is checked), at once or after a second. \"per done\" is policy writes "+
		"tried\n")
	fmt.Fprintf(out, "for one that was done; \"alone\" leaves out what was lost to the neighbour.\n\n")
	fmt.Fprintf(out, "| what | machines x runs | wall | the longest | writes tried | done | per done | alone |\n"+
		"|---|---:|---:|---:|---:|---:|---:|---:|\n")
	type result struct {
		what        string
		machines, n int
		contestOutcome
	}
	var results []result
	row := func(what string, machines, n int, one func(c *crowd, i int) error) error {
		c, err := openCrowd(filepath.Join(dir, fmt.Sprint(len(results))), rtt)
		if err != nil {
			return err
		}
		defer c.close()
		if err := c.manifest(); err != nil {
			return err
		}
		o, err := c.contend(ctx, machines*n, func(i int) error { return one(c, i) })
		if err != nil {
			return fmt.Errorf("%s, %d x %d: %w", what, machines, n, err)
		}
		results = append(results, result{what, machines, n, o})
		fmt.Fprintf(out, "| %s | %d x %d | %s | %s | %d | %d | %.2f | %.2f |\n", what, machines, n,
			o.wall.Round(10*time.Millisecond),
			o.worst.Round(10*time.Millisecond), o.ours.Tried, o.ours.Done, o.ours.PerDone(), o.ours.PerDoneAlone())
		return nil
	}
	for _, size := range [][2]int{{1, 1}, {1, 10}, {1, 100}, {10, 10}} {
		if err := row("taskiam run", size[0], size[1], func(c *crowd, i int) error {
			return c.process(ctx, program, i%size[0])
		}); err != nil {
			return err
		}
	}
	for _, loop := range []struct {
		what string
		rest time.Duration
	}{{"loop, again at once", 0}, {"loop, again after a second", time.Second}} {
		for _, n := range []int{1, 10, 100} {
			if err := row(loop.what, 1, n, func(c *crowd, i int) error {
				return c.script(ctx, i, loop.rest)
			}); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(out, "\n| loop / taskiam on one machine | runs | wall | writes tried per done |\n"+
		"|---|---:|---:|---:|\n")
	for _, r := range results {
		for _, ours := range results[:3] {
			if r.n == ours.n && r.what != ours.what {
				fmt.Fprintf(out, "| %s | %d | %.2f | %.2f |\n", r.what, r.n,
					float64(r.wall)/float64(ours.wall), r.ours.PerDone()/ours.ours.PerDone())
			}
		}
	}
	return nil
}
