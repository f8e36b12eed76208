package main

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/tools/contest"
)

// A hundred processes at once, all on the same four policies, which somebody else edits
// too: nobody loses an update, everybody ends well, and it is as before. What Google's
// quotas on buckets and datasets make of it takes minutes, and so is shown in virtual
// time (package lifecycle).

const hundred = `
version = 1
[task]
name    = "hundred"
project = "acme-agents"
ttl     = "1h"
[[grant]]
role     = "roles/pubsub.viewer"
resource = "projects/acme-agents"
[[grant]]
role     = "roles/storage.objectViewer"
resource = "gs://acme-reports"
[[grant]]
role     = "roles/bigquery.dataViewer"
resource = "bq://acme-data.sales"
[[grant]]
role      = "roles/pubsub.publisher"
resource  = "projects/acme-agents/topics/reports"
unbounded = "accept"
[credentials]
deliver = "token"
`

func TestAHundredProcesses(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	const processes, rtt, pace = 100, 5 * time.Millisecond, 500 * time.Millisecond
	// A project has room for 100 accounts, and one is there: the last run would have to wait
	// for another to end.
	acme, err := os.ReadFile("../../emulator/seed/acme.toml")
	must(t, err)
	seed := bytes.Replace(acme, []byte("id     = \"acme-agents\"\n"), []byte("id     = \"acme-agents\"\naccount_quota = 200\n"), 1)
	server, err := emulator.New(emulator.Config{Seed: seed, Quotas: emulator.Quotas{IAMWrites: emulator.GoogleQuotas.IAMWrites}})
	must(t, err)
	watch := contest.New(server.Handler(), rtt)
	listener := httptest.NewServer(watch)
	t.Cleanup(listener.Close)
	dir := t.TempDir()
	_, token := server.Operator()
	must(t, os.WriteFile(filepath.Join(dir, "token"), []byte(token), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "task.toml"), []byte(hundred), 0o600))
	for _, name := range []string{"home", "state", "runtime"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	env := environ(map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": filepath.Join(dir, "home"),
		"XDG_STATE_HOME": filepath.Join(dir, "state"), "XDG_RUNTIME_DIR": filepath.Join(dir, "runtime"),
		"TASKIAM_EMULATOR_HOST": listener.Listener.Addr().String(), "TASKIAM_EMULATOR_TOKEN_FILE": filepath.Join(dir, "token"),
		"GORACE": raceOptions,
	})
	before, err := server.Snapshot()
	must(t, err)

	client, err := gcp.New(gcp.Config{
		EmulatorHost: listener.Listener.Addr().String(), Credential: gcp.EmulatorLogin(secret.New(token)), UserAgent: contest.Agent,
	})
	must(t, err)
	busy, stop := context.WithCancel(t.Context())
	defer stop()
	var neighbours sync.WaitGroup
	var all []*contest.Neighbour
	for on, role := range map[string]string{
		"projects/acme-agents":                "roles/pubsub.viewer",
		"gs://acme-reports":                   "roles/storage.objectViewer",
		"bq://acme-data.sales":                "roles/bigquery.dataViewer",
		"projects/acme-agents/topics/reports": "roles/pubsub.publisher",
	} {
		name, _, err := resource.Parse(on)
		must(t, err)
		n := &contest.Neighbour{Client: client, Policy: name, Role: role, Every: pace}
		all = append(all, n)
		neighbours.Go(func() {
			if err := n.Run(busy); err != nil {
				t.Error(err)
			}
		})
	}

	begun := time.Now()
	var runs sync.WaitGroup
	var mu sync.Mutex
	var worst time.Duration
	for range processes {
		runs.Go(func() {
			begun := time.Now()
			cmd := exec.CommandContext(t.Context(), "taskiam", "run", "task.toml", "--", "true")
			var out bytes.Buffer
			cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, dir, &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("a run ended with %v\n%s", err, out.Bytes())
			}
			mu.Lock()
			defer mu.Unlock()
			worst = max(worst, time.Since(begun))
		})
	}
	runs.Wait()
	stop()
	neighbours.Wait()
	var left []error
	for _, n := range all {
		left = append(left, n.Leave(t.Context()))
	}
	must(t, errors.Join(left...))

	ours, theirs := watch.Total()
	t.Logf("%d processes in %s, %s the longest; ours: %s; the neighbour's: %s", processes, time.Since(begun), worst, ours, theirs)
	for _, v := range watch.Violations() {
		t.Error(v)
	}
	if lost := ours.Lost - ours.Interfered; ours.PerDoneAlone() > 1.1 {
		t.Errorf("%d writes were lost to each other: %s", lost, ours)
	}
	if ours.Done < 2*4*processes || theirs.Done < len(all)*5 {
		t.Errorf("there was no contest: %s; the neighbour's: %s", ours, theirs)
	}
	after, err := server.Snapshot()
	must(t, err)
	if diff := emulator.Diff(before, after); diff != "" {
		t.Errorf("the cloud is not as before:\n%s", diff)
	}
	if files := tree(t, filepath.Join(dir, "runtime")); len(files) > 2 { // the folder of all runs is none's
		t.Errorf("there is left: %q", files)
	}
}
