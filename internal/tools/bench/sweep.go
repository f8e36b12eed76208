package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// sweptOn are the policies that name all of the accounts which are swept.
var sweptOn = []struct{ name, role string }{
	{"projects/" + host + "/secrets/s0", "roles/secretmanager.secretAccessor"},
	{"gs://bench-bucket-1", "roles/storage.objectViewer"},
	{"projects/" + host + "/secrets/s2", "roles/secretmanager.secretAccessor"},
}

// swept is what a sweep of so many accounts cost.
type swept struct {
	accounts      int
	wall          time.Duration
	calls, writes int64
}

// compareSweeps prints what it costs to sweep few accounts and many.
func compareSweeps(ctx context.Context, out io.Writer, dir, program string, rtt time.Duration) error {
	fmt.Fprintf(out, "Sweeping accounts of runs whose journals are lost, all bound on the same %d policies, in round\n",
		len(sweptOn))
	fmt.Fprintf(out, "trips of %s. \"writes\" are those of the policies: one each, however many there are.\n\n",
		rtt)
	fmt.Fprintf(out, "| accounts | round trips | of one account | ratio | calls of one account | writes |\n"+
		"|---:|---:|---:|---:|---:|---:|\n")
	var first float64
	for _, n := range []int{10, 300} {
		s, err := sweepMany(ctx, filepath.Join(dir, fmt.Sprint(n)), program, rtt, n)
		if err != nil {
			return err
		}
		each := float64(s.wall) / float64(rtt) / float64(n)
		if first == 0 {
			first = each
		}
		fmt.Fprintf(out, "| %d | %.1f | %.2f | %.2f | %.1f | %d |\n", n, float64(s.wall)/float64(rtt), each,
			each/first, float64(s.calls)/float64(n), s.writes)
	}
	return nil
}

// sweepMany makes so many accounts of runs that are over, binds them, and sweeps them.
func sweepMany(ctx context.Context, dir, program string, rtt time.Duration, n int) (swept, error) {
	project := fmt.Sprintf("id = %q\n", host)
	roomy := bytes.Replace(seed(3), []byte(project), fmt.Appendf(nil, "%saccount_quota = %d\n", project, 2*n), 1)
	c, err := openWith(dir, program, rtt, roomy, manifest(3, "token"))
	if err != nil {
		return swept{}, err
	}
	defer c.close()
	if err := c.leave(ctx, dir, n); err != nil {
		return swept{}, err
	}
	var writes atomic.Int64
	next := c.gate.next
	c.gate.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ":setIamPolicy") || r.Method == http.MethodPut {
			writes.Add(1)
		}
		next.ServeHTTP(w, r)
	})
	before := c.gate.calls.Load()
	args := []string{"sweep", "--quiet", "--project", host}
	for _, on := range sweptOn {
		args = append(args, "--resource", on.name)
	}
	begun := time.Now()
	if _, err := c.run(ctx, program, args...); err != nil {
		return swept{}, err
	}
	return swept{n, time.Since(begun), c.gate.calls.Load() - before, writes.Load()}, nil
}

// leave makes the accounts of runs that are over since an hour and more, and binds all of them.
func (c *company) leave(ctx context.Context, dir string, n int) error {
	token, err := os.ReadFile(filepath.Join(dir, "state", "taskiam", "emulator", "token"))
	if err != nil {
		return err
	}
	login := gcp.EmulatorLogin(secret.New(strings.TrimSpace(string(token))))
	client, err := gcp.New(gcp.Config{EmulatorHost: c.addr, UserAgent: "bench", Credential: login})
	if err != nil {
		return err
	}
	began := time.Now().Add(-4 * time.Hour)
	emails := make([]string, n)
	var g errgroup.Group
	g.SetLimit(50)
	for i := range n {
		g.Go(func() error {
			run := grants.NewRunID(began, [5]byte{byte(i), byte(i >> 8)})
			mark := grants.Mark{Version: grants.MarkVersion, Task: "left", Run: run, Expires: began.Add(time.Hour)}
			a, err := client.CreateAccount(ctx, host, grants.AccountID("left", run), "", mark.String())
			emails[i] = a.Email
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, on := range sweptOn {
		name, _, err := resource.Parse(on.name)
		if err != nil {
			return err
		}
		doc, err := client.ReadPolicy(ctx, name)
		if err != nil {
			return err
		}
		for _, email := range emails {
			doc.Add(policy.Binding{Role: on.role, Member: policy.Member(email)})
		}
		if _, err := client.WritePolicy(ctx, name, doc); err != nil {
			return err
		}
	}
	return nil
}
