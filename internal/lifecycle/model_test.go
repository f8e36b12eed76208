package lifecycle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// The model check: random histories of ups, downs, crashes, faults, lag, jumps of time
// and neighbours, and after every step what must hold at any time.

var (
	modelSeed      = flag.Uint64("model.seed", 0, "play only the history of this `seed`, and tell it")
	modelHistories = flag.Int("model.histories", 400, "how many histories to play")
)

const modelByKey = `
version = 1
[task]
name    = "model"
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

var modelManifests = []string{modelByKey, strings.Replace(modelByKey, `deliver = "key"`, `deliver = "token"`, 1)}

// asked are the questions put to every credential that was ever delivered: what the
// manifest grants, with and without a time condition, and what it does not.
var asked = []struct {
	resource, permission string
	granted, boxed       bool
}{
	{"projects/acme-agents/secrets/api-key", "secretmanager.versions.access", true, true},
	{"projects/acme-agents/secrets/api-key", "secretmanager.secrets.delete", false, false},
	{"projects/acme-agents/topics/reports", "pubsub.topics.publish", true, false},
	{"projects/acme-agents/topics/reports", "pubsub.topics.delete", false, false},
}

// neighbours are bindings that others add and remove while runs come and go: one that
// a run has too, one that differs in the condition alone, one of another role.
var neighbours = []struct {
	resource string
	binding  grants.Binding
}{
	{"projects/acme-agents/topics/reports", grants.Binding{Role: "roles/pubsub.publisher"}},
	{"projects/acme-agents/secrets/api-key", grants.Binding{Role: "roles/secretmanager.secretAccessor"}},
	{"projects/acme-agents/secrets/api-key", grants.Binding{
		Role:      "roles/secretmanager.secretAccessor",
		Condition: grants.Condition{Title: "this century", Expression: `request.time < timestamp("2100-01-01T00:00:00Z")`},
	}},
	{"projects/acme-agents/secrets/api-key", grants.Binding{Role: "roles/secretmanager.viewer"}},
}

// history is one history at play.
type history struct {
	*machine
	random *rand.Rand
	tell   func(format string, args ...any)

	neighbour *gcp.Client
	present   map[int]bool // which of the neighbours' bindings are there
	plans     []*played

	others []byte // what they had before
	looked []byte // the last snapshot in which they had it
}

// played is a run of the history.
type played struct {
	plan   grants.Plan
	tester lifecycle.Tester // as what was delivered; nil if nothing was
	down   bool             // it was said to be all gone
	dead   bool             // and its credential was seen to be good for nothing
}

func newHistory(m *machine, seed uint64, tell func(string, ...any)) *history {
	m.clear()
	client, err := gcp.New(gcp.Config{
		Transport: m.wire, EmulatorHost: "emulator.test:80", Credential: gcp.EmulatorLogin(secret.New(m.token)), UserAgent: "neighbour",
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return &history{machine: m, random: rand.New(rand.NewPCG(seed, 2)), tell: tell, neighbour: client, present: map[int]bool{}}
}

// play plays the whole history. It returns what does not hold, if anything.
func (h *history) play() error {
	for range 3 + h.random.IntN(5) {
		if err := h.step(); err != nil {
			return err
		}
		if err := h.holds(); err != nil {
			return err
		}
	}
	return h.quiet()
}

func (h *history) step() error {
	defer h.watch(point{}, nil)
	switch n := h.random.IntN(12); {
	case n < 4:
		return h.up()
	case n < 7:
		return h.takeDown()
	case n < 8:
		h.toggle(h.random.IntN(len(neighbours)))
	case n < 10:
		d := time.Duration(h.random.IntN(50)) * time.Minute
		h.tell("%s pass", d)
		time.Sleep(d)
	default:
		lag := emulator.Lag{Seed: h.random.Uint64()}
		for _, d := range []*emulator.Delay{&lag.AccountRead, &lag.AccountBind, &lag.AccountMint, &lag.Key, &lag.Grant, &lag.Revoke} {
			if h.random.IntN(3) == 0 {
				d.Min = time.Duration(h.random.IntN(90)) * time.Second
			}
		}
		h.tell("the lag is %+v", lag)
		h.server.SetLag(lag)
	}
	return nil
}

// disturb has something happen at a random call of what comes next: nothing, a
// neighbour at work, a fault that passes, or the end of the process.
func (h *history) disturb(calls int) (power bool) {
	at := 1 + h.random.IntN(calls)
	kind := h.random.IntN(5)
	late := h.random.IntN(2) == 0
	power = h.random.IntN(2) == 0
	which := h.random.IntN(len(neighbours))
	tr := troubles[h.random.IntN(len(troubles))]
	nothing := func() {}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.each = func(n int, r *http.Request) func() {
		if n != at {
			return nothing
		}
		switch kind {
		case 1, 2:
			h.tell("  at call %d, %s, a neighbour comes", n, callName(r))
			h.toggle(which)
		case 3:
			if tr.fault.Count == 1 {
				h.tell("  at call %d, %s: %s", n, callName(r), tr.name)
				if tr.conflict {
					tr.fault.Code = http.StatusConflict
				}
				tr.fault.Resource = r.URL.Path
				if _, err := h.server.AddFault(tr.fault); err != nil {
					h.t.Error(err)
				}
			}
		case 4:
			h.tell("  at call %d, %s, it is killed (after it: %t, with the power: %t)", n, callName(r), late, power)
			if late {
				return h.die
			}
			h.die()
		}
		return nothing
	}
	return power
}

func (h *history) up() error {
	e := h.engine()
	plan := h.plan(e, modelManifests[h.random.IntN(len(modelManifests))])
	run := &played{plan: plan}
	h.plans = append(h.plans, run)
	h.tell("up %s by %s", plan.Run, plan.Task.Deliver)
	power := h.disturb(24)
	options := h.options(plan)
	_, err := e.Up(h.t.Context(), plan, options)
	h.tell("  %v", err)
	if h.ended(power) {
		return h.arm(run, options.Dir)
	}
	if err != nil && !fault.Is(err, fault.NotReady) && !fault.Is(err, fault.Incomplete) {
		run.down = true
	}
	return h.arm(run, options.Dir)
}

// arm keeps what was delivered, as a task does that ran away with it.
func (h *history) arm(run *played, dir string) (err error) {
	d := h.safe.get(dir)
	as := h.neighbour
	switch {
	case !d.Key.IsZero():
		source, sourceErr := gcp.KeySource(d.Key)
		if sourceErr != nil {
			return sourceErr
		}
		run.tester = as.As(source)
	case !d.Token.Value.IsZero():
		run.tester = as.As(gcp.StaticToken(d.Token.Value))
	}
	return nil
}

// ended restarts the machine if the process was killed, and reports whether it was.
func (h *history) ended(power bool) bool {
	h.server.RemoveFault("")
	h.mu.Lock()
	dead := h.dead
	h.mu.Unlock()
	if dead {
		h.restart(power)
	}
	return dead
}

func (h *history) takeDown() error {
	runs := h.live()
	if len(runs) == 0 {
		return nil
	}
	id := runs[h.random.IntN(len(runs))].ID()
	h.tell("down %s", id)
	power := h.disturb(14)
	err := h.down(id)
	h.tell("  %v", err)
	if !h.ended(power) && err == nil {
		h.played(id).down = true
	}
	return nil
}

func (h *history) played(id grants.RunID) *played {
	i := slices.IndexFunc(h.plans, func(p *played) bool { return p.plan.Run == id })
	return h.plans[i]
}

// toggle lets a neighbour add a binding, or remove it.
func (h *history) toggle(which int) {
	n := neighbours[which]
	name, _, err := resource.Parse(n.resource)
	if err != nil {
		h.t.Fatal(err)
	}
	n.binding.Member = fmt.Sprintf("user:neighbour%d@acme.example", which)
	h.present[which] = !h.present[which]
	h.tell("neighbour %d is there: %t", which, h.present[which])
	for {
		doc, err := h.neighbour.ReadPolicy(context.Background(), name)
		if err == nil {
			if h.present[which] {
				doc.Add(n.binding)
			} else {
				doc.Remove(n.binding)
			}
			_, err = h.neighbour.WritePolicy(context.Background(), name, doc)
		}
		if err == nil {
			return
		}
		if !fault.Is(err, fault.Conflict) {
			h.t.Fatal(err)
		}
	}
}

// quiet ends all trouble, takes every run down, and compares with before.
func (h *history) quiet() error {
	h.tell("quiet")
	h.server.SetLag(emulator.Lag{})
	time.Sleep(5 * time.Minute) // what lags behind arrives
	for _, run := range h.live() {
		if err := h.down(run.ID()); err != nil {
			return fmt.Errorf("taking down %s: %w", run.ID(), err)
		}
		h.played(run.ID()).down = true
	}
	if err := h.holds(); err != nil {
		return err
	}
	for which, there := range h.present {
		if there {
			h.toggle(which)
		}
	}
	if left := h.changed(); left != nil {
		return fmt.Errorf("all is quiet, and there is\n%s", strings.Join(left, "\n"))
	}
	return nil
}

// holds returns what does not hold, of what must hold at any time.
func (h *history) holds() error {
	now := h.snapshot()
	if err := h.intact(now); err != nil {
		return err
	}
	for _, run := range h.plans {
		if err := h.declared(now, run); err != nil {
			return fmt.Errorf("run %s: %w", run.plan.Run, err)
		}
		if err := h.works(run); err != nil {
			return fmt.Errorf("run %s: %w", run.plan.Run, err)
		}
	}
	return nil
}

// works asks what a delivered credential may still do.
func (h *history) works(run *played) error {
	if run.tester == nil || run.dead {
		return nil
	}
	past := time.Since(run.plan.Expires)
	for _, q := range asked {
		if past < 0 && !run.down && q.granted {
			continue // it may
		}
		if past < time.Hour && !run.down && q.granted && !q.boxed {
			continue // accepted as unbounded
		}
		name, _, err := resource.Parse(q.resource)
		if err != nil {
			return err
		}
		// What cannot be asked is not allowed either.
		if have, err := run.tester.TestPermissions(context.Background(), name, []string{q.permission}); err == nil && len(have) > 0 {
			return fmt.Errorf("%s past its end (down: %t), it holds %s on %s", past, run.down, q.permission, q.resource)
		}
	}
	run.dead = run.down
	return nil
}

// declared compares every place where the run's account is named with its manifest.
func (h *history) declared(snapshot []byte, run *played) error {
	if !bytes.Contains(snapshot, []byte(run.plan.Email)) {
		return nil
	}
	var root any
	if err := json.Unmarshal(snapshot, &root); err != nil {
		return err
	}
	var wrong []string
	walk(root, nil, func(path []string, v any) {
		text, ok := v.(string)
		if !ok || !strings.Contains(text, run.plan.Email) || path[0] == "tokens" {
			return
		}
		switch {
		case run.down:
			wrong = append(wrong, strings.Join(path, "/")+": "+text)
		case path[0] == "accounts" && len(path) == 3: // its own name
		case run.plan.Task.Deliver == grants.DeliverToken && path[0] == "accounts":
		case text == grants.Member(run.plan.Email) && h.planned(root, path, run.plan):
		default:
			wrong = append(wrong, strings.Join(path, "/")+": "+text)
		}
	})
	if wrong != nil {
		return fmt.Errorf("down: %t, and it is named where it is not declared:\n%s", run.down, strings.Join(wrong, "\n"))
	}
	return nil
}

// planned reports whether the member at path stands in a binding of the plan.
func (h *history) planned(root any, path []string, plan grants.Plan) bool {
	i := slices.Index(path, "bindings")
	if i < 0 || i+1 >= len(path) {
		return false
	}
	raw, err := json.Marshal(at(root, path[:i+2]))
	if err != nil {
		return false
	}
	var found struct {
		Role      string
		Condition grants.Condition
	}
	if err := json.Unmarshal(raw, &found); err != nil {
		return false
	}
	for _, edit := range plan.Edits {
		full := edit.Resource.Full()
		if !slices.Contains(path, full[strings.LastIndexByte(full, '/')+1:]) && !slices.ContainsFunc(path, func(s string) bool { return strings.HasSuffix(full, s) && strings.Contains(s, "/") }) {
			continue
		}
		for _, b := range edit.Bindings {
			if b.Role == found.Role && b.Condition == found.Condition {
				return true
			}
		}
	}
	return false
}

// intact compares what others have with what they had: byte for byte, but for what
// they changed themselves.
func (h *history) intact(snapshot []byte) error {
	for which := range neighbours {
		member := fmt.Sprintf("user:neighbour%d@acme.example", which)
		if got := bytes.Contains(snapshot, []byte(member)); got != h.present[which] {
			return fmt.Errorf("the binding of neighbour %d is there: %t, want %t", which, got, h.present[which])
		}
	}
	if bytes.Equal(snapshot, h.looked) {
		return nil
	}
	if h.others == nil {
		h.others = others(h.t, h.before)
	}
	if got := others(h.t, snapshot); !bytes.Equal(got, h.others) {
		return fmt.Errorf("what others have is not as before:\n%s", emulator.Diff(h.others, got))
	}
	h.looked = snapshot
	return nil
}

// others returns a snapshot without runs and without what neighbours toggle.
func others(t *testing.T, snapshot []byte) []byte {
	t.Helper()
	var root any
	if err := json.Unmarshal(snapshot, &root); err != nil {
		t.Fatal(err)
	}
	raw, err := json.MarshalIndent(prune(root), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func passing(s string) bool {
	return strings.Contains(s, "serviceAccount:ti-") || strings.HasPrefix(s, "user:neighbour")
}

// prune takes away members that come and go, their accounts and tokens, and whatever is
// empty then.
func prune(v any) any {
	switch v := v.(type) {
	case string:
		if passing(v) {
			return nil
		}
	case []any:
		var out []any
		for _, e := range v {
			if e = prune(e); e != nil {
				out = append(out, e)
			}
		}
		if out == nil {
			return nil
		}
		return out
	case map[string]any:
		if email, _ := v["email"].(string); strings.HasPrefix(email, "ti-") {
			return nil
		}
		if v["account"] != nil && v["expires"] != nil { // a token
			return nil
		}
		_, binding := v["members"]
		for key, e := range v {
			if e = prune(e); e == nil {
				delete(v, key)
			} else {
				v[key] = e
			}
		}
		if _, still := v["members"]; len(v) == 0 || binding && !still {
			return nil
		}
	}
	return v
}

// walk calls f for every value below v that is no object or list.
func walk(v any, path []string, f func(path []string, v any)) {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			walk(e, append(path[:len(path):len(path)], key), f)
		}
	case []any:
		for i, e := range v {
			walk(e, append(path[:len(path):len(path)], fmt.Sprint(i)), f)
		}
	default:
		f(path, v)
	}
}

// at returns what stands at path.
func at(v any, path []string) any {
	for _, key := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		}
	}
	return v
}

func TestModel(t *testing.T) {
	t.Parallel()
	if *modelSeed != 0 {
		synctest.Test(t, func(t *testing.T) {
			if err := newHistory(newMachine(t, nil), *modelSeed, t.Logf).play(); err != nil {
				t.Error(err)
			}
		})
		return
	}
	const shares = 4
	var played atomic.Int64
	t.Run("histories", func(t *testing.T) {
		for share := range shares {
			t.Run(fmt.Sprint(share), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newMachine(t, nil)
					for seed := share + 1; seed <= *modelHistories; seed += shares {
						var told []string
						var mu sync.Mutex
						h := newHistory(m, uint64(seed), func(format string, args ...any) {
							mu.Lock()
							defer mu.Unlock()
							told = append(told, fmt.Sprintf(format, args...))
						})
						if err := h.play(); err != nil {
							t.Fatalf("-model.seed=%d: %v\nafter\n%s", seed, err, strings.Join(told, "\n"))
						}
						played.Add(1)
					}
				})
			})
		}
	})
	t.Logf("%d histories", played.Load())
}
