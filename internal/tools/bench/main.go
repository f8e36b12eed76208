// Command bench measures taskiam in round trips: how long up and down take beside a
// plain sequence of the same calls, and beside the script that people use today, all
// through one emulator that waits a round trip before each answer.
//
// It drives the built program, as a user does, and prints ratios of one run. It
// asserts nothing: a slow machine is not a failure.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/emulator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var (
		program = flag.String("taskiam", "bin/taskiam", "the program to measure")
		rtt     = flag.Duration("rtt", 50*time.Millisecond, "how long a round trip takes")
		rounds  = flag.Int("rounds", 5, "how often to measure each; medians are printed")
		load    = flag.Bool("load", false, "measure the emulator under load, and nothing else")
		crowds  = flag.Bool("crowds", false, "measure many runs at once, and nothing else")
		soak    = flag.Bool("soak", false, "as load, with a million calls, and what they leave in memory")
	)
	policiesOnly := flag.Bool("policies", false, "measure edits of a full policy, and nothing else")
	metadataOnly := flag.Bool("metadata", false, "measure the metadata server, and nothing else")
	journalsOnly := flag.Bool("journals", false, "measure commands beside many journals, and nothing else")
	egressOnly := flag.Bool("egress", false, "measure the way out of a closed sandbox, and nothing else")
	sweepsOnly := flag.Bool("sweeps", false, "measure sweeps of few accounts and of many, and nothing else")
	flag.Parse()
	out := os.Stdout
	// in measures with a folder of its own.
	in := func(measure func(dir, program string) error) func() error {
		return func() error { return inFolder(*program, measure) }
	}
	measure := in(func(dir, program string) error { return run(ctx, out, dir, program, *rtt, *rounds) })
	if *load || *soak {
		measure = func() error { return benchEmulator(ctx, out, *soak) }
	}
	if *metadataOnly {
		measure = func() error { return benchMetadata(ctx, out) }
	}
	if *egressOnly {
		measure = in(func(dir, _ string) error { return benchEgress(ctx, out, dir, *rounds) })
	}
	if *policiesOnly {
		measure = in(func(dir, program string) error { return comparePolicies(ctx, out, dir, program, *rtt, *rounds) })
	}
	if *journalsOnly {
		measure = in(func(dir, program string) error { return compareJournals(ctx, out, dir, program, *rounds) })
	}
	if *sweepsOnly {
		measure = in(func(dir, program string) error { return compareSweeps(ctx, out, dir, program, *rtt) })
	}
	if *crowds {
		measure = in(func(dir, program string) error { return compareCrowds(ctx, out, dir, program, *rtt) })
	}
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inFolder measures with a folder that is there meanwhile, and the absolute path of the program.
func inFolder(program string, measure func(dir, program string) error) error {
	program, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "taskiam-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return measure(dir, program)
}

func run(ctx context.Context, out io.Writer, dir, program string, rtt time.Duration, rounds int) error {
	fmt.Fprintf(out, "Wall time in round trips of %s, medians of %d. \"process\" is the whole program, from exec\n",
		rtt, rounds)
	fmt.Fprintf(out, "to exit; \"inside\" what it reports of itself; \"one by one\" is inside, with the emulator\n")
	fmt.Fprintf(out, "serving the same calls one at a time. The limit is the longest chain of calls that wait\n")
	fmt.Fprintf(out, "for each other: up 3 with a key and 4 with a token, down 4.\n\n")
	fmt.Fprintf(out, "| grants | deliver "+
		"| up: process | inside | one by one | calls | down: process | inside | one by one | calls |\n")
	fmt.Fprintf(out, "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, n := range []int{1, 5, 20} {
		for _, deliver := range []string{"key", "token"} {
			c, err := open(filepath.Join(dir, fmt.Sprintf("%d-%s", n, deliver)), program, rtt, n, deliver)
			if err != nil {
				return err
			}
			m, err := c.measure(ctx, rounds)
			c.close()
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "| %d | %s |%s%s\n", n, deliver, m.up, m.down)
		}
	}
	fmt.Fprintln(out)
	if err := compareScript(ctx, out, filepath.Join(dir, "script"), program, rtt, rounds); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := compareStart(ctx, out, filepath.Join(dir, "start"), program, rounds); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := benchMetadata(ctx, out); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := comparePolicies(ctx, out, filepath.Join(dir, "policies"), program, rtt, rounds); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := compareCrowds(ctx, out, filepath.Join(dir, "crowd"), program, rtt); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := compareJournals(ctx, out, filepath.Join(dir, "journals"), program, rounds); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := compareSweeps(ctx, out, filepath.Join(dir, "sweep"), program, rtt); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := benchEgress(ctx, out, filepath.Join(dir, "egress"), rounds); err != nil {
		return err
	}
	fmt.Fprintln(out)
	return benchEmulator(ctx, out, false)
}

// median returns the middle of the values.
func median[T float64 | time.Duration](values []T) T {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

// gate lets calls through to an emulator: all at once, or one at a time, which is how
// long a plain sequence of the same calls takes.
type gate struct {
	next   http.Handler
	single atomic.Bool
	turn   sync.Mutex
	calls  atomic.Int64
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.calls.Add(1)
	if g.single.Load() {
		g.turn.Lock()
		defer g.turn.Unlock()
	}
	g.next.ServeHTTP(w, r)
}

// serve runs an emulator behind a gate until the returned function is called.
func serve(cfg emulator.Config) (*gate, string, func(), error) {
	s, err := emulator.New(cfg)
	if err != nil {
		return nil, "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", nil, err
	}
	g := &gate{next: s.Handler()}
	server := &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l)
	return g, l.Addr().String(), func() { server.Close(); s.Close() }, nil
}
