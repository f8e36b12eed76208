package lifecycle_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/journal/journaltest"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/racetest"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/tools/contest"
)

// A hundred runs of one task come up and go down at once, all on the same four policies,
// with Google's quotas, while a neighbour edits the same policies. All of it in virtual
// time: a dataset takes a write every two seconds, and so they need some minutes.

const crowded = `
version = 1
[task]
name    = "crowded"
project = "acme-agents"
ttl     = "1h"
[[grant]]
role      = "roles/pubsub.viewer"
resource  = "projects/acme-agents"
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
deliver = "key"
`

// crowd is an emulator at the other end of a round trip, and who works on it.
type crowd struct {
	t      *testing.T
	server *emulator.Server
	watch  *contest.Watch
	safe   *safe
	task   grants.Task
}

func newCrowd(t *testing.T, rtt time.Duration, quotas emulator.Quotas) *crowd {
	t.Helper()
	// A project has room for 100 accounts, and one is there: the last run would have to wait
	// for another to end.
	acme, err := os.ReadFile("../../emulator/seed/acme.toml")
	if err != nil {
		t.Fatal(err)
	}
	seed := bytes.Replace(acme, []byte("id     = \"acme-agents\"\n"), []byte("id     = \"acme-agents\"\naccount_quota = 200\n"), 1)
	server, err := emulator.New(emulator.Config{
		Seed: seed, NewKey: func() (*rsa.PrivateKey, error) { return testKey(), nil }, Quotas: quotas,
	})
	if err != nil {
		t.Fatal(err)
	}
	task, err := manifest.Parse("task.toml", []byte(crowded), manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return &crowd{t: t, server: server, watch: contest.New(server.Handler(), rtt), safe: &safe{}, task: task}
}

func (c *crowd) client(agent string) *gcp.Client {
	c.t.Helper()
	_, token := c.server.Operator()
	client, err := gcp.New(gcp.Config{
		Transport: &wire{handler: c.watch}, EmulatorHost: "emulator.test:80", Credential: gcp.EmulatorLogin(secret.New(token)), UserAgent: agent,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

// engine returns an engine of one machine, a process of its own.
func (c *crowd) engine(disk journal.Disk) *lifecycle.Engine {
	c.t.Helper()
	journals, err := journal.OpenDir("/state", disk)
	if err != nil {
		c.t.Fatal(err)
	}
	client := c.client("taskiam/test")
	return &lifecycle.Engine{
		Cloud: client, Roles: client, Credentials: c.safe, Journals: journals, Turns: journals,
		Now: time.Now, Random: rand.Reader,
	}
}

// bystanders are the paces of who edits the same policies: slow enough that the quotas
// of the bucket and the dataset leave something for others.
var bystanders = map[string]struct {
	role  string
	every time.Duration
}{
	"projects/acme-agents":                {"roles/pubsub.viewer", 2 * time.Second},
	"projects/acme-agents/topics/reports": {"roles/pubsub.publisher", 2 * time.Second},
	"gs://acme-reports":                   {"roles/storage.objectViewer", 10 * time.Second},
	"bq://acme-data.sales":                {"roles/bigquery.dataViewer", 10 * time.Second},
}

// bustle lets the neighbours edit until the returned function is called, which also
// makes sure that all they have written is there.
func (c *crowd) bustle() (leave func()) {
	ctx, stop := context.WithCancel(c.t.Context())
	var edits sync.WaitGroup
	var all []*contest.Neighbour
	for on, n := range bystanders {
		name, _, err := resource.Parse(on)
		if err != nil {
			c.t.Fatal(err)
		}
		neighbour := &contest.Neighbour{Client: c.client(contest.Agent), Policy: name, Role: n.role, Every: n.every}
		all = append(all, neighbour)
		edits.Go(func() {
			if err := neighbour.Run(ctx); err != nil {
				c.t.Error(err)
			}
		})
	}
	return func() {
		stop()
		edits.Wait()
		for _, n := range all {
			if err := n.Leave(c.t.Context()); err != nil {
				c.t.Error(err)
			}
		}
	}
}

// run brings a run up and takes it down, and returns how long that took.
func (c *crowd) run(e *lifecycle.Engine) (time.Duration, error) {
	begun := time.Now()
	plan, err := e.NewPlan(c.task)
	if err != nil {
		return 0, err
	}
	_, err = e.Up(c.t.Context(), plan, lifecycle.UpOptions{
		ManifestPath: "/tasks/task.toml", ManifestSHA256: "00", Dir: filepath.Join("/delivery", string(plan.Run)), ReadyTimeout: 10 * time.Minute,
	})
	if err != nil {
		return time.Since(begun), err
	}
	_, err = e.Down(c.t.Context(), plan.Run, time.Minute)
	return time.Since(begun), err
}

func TestAHundredAtOnce(t *testing.T) {
	crowdSize := 100
	if racetest.Enabled() {
		crowdSize = 20
	}
	for _, tt := range []struct {
		name           string
		machines, runs int
		quotas         emulator.Quotas
		perDone        float64 // without the neighbour
	}{
		{"on one machine, with Google's quotas", 1, crowdSize, emulator.GoogleQuotas, 1.1},
		{"on ten machines", 10, crowdSize / 10, emulator.Quotas{IAMWrites: 600}, 3},
		{"on ten machines, with Google's quotas", 10, crowdSize / 10, emulator.GoogleQuotas, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, 50*time.Millisecond, tt.quotas)
				before, err := c.server.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				leave := c.bustle()
				begun := time.Now()
				var runs sync.WaitGroup
				var mu sync.Mutex
				var worst time.Duration
				for range tt.machines {
					disk := &journaltest.Disk{}
					for range tt.runs {
						e := c.engine(disk)
						runs.Go(func() {
							took, err := c.run(e)
							if err != nil {
								t.Errorf("a run ended with %v", err)
							}
							mu.Lock()
							defer mu.Unlock()
							worst = max(worst, took)
						})
					}
				}
				runs.Wait()
				took := time.Since(begun)
				leave()
				ours, theirs := c.watch.Total()
				t.Logf("%s in all, %s the longest; ours: %s; theirs: %s", took, worst, ours, theirs)
				for name, count := range c.watch.Ours() {
					t.Logf("%s: %s", name, count)
				}
				for _, v := range c.watch.Violations() {
					t.Error(v)
				}
				if got := ours.PerDoneAlone(); got > tt.perDone {
					t.Errorf("%.2f policy writes tried for one that was done, want %.1f at the most", got, tt.perDone)
				}
				if theirs.Done < 10 || ours.Done < 2*4*tt.machines*tt.runs {
					t.Errorf("there was no contest: %s, %s", ours, theirs)
				}
				after, err := c.server.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				if diff := emulator.Diff(before, after); diff != "" {
					t.Errorf("the cloud is not as before:\n%s", diff)
				}
				if n := c.safe.count(); n != 0 {
					t.Errorf("%d deliveries are left", n)
				}
			})
		})
	}
}
