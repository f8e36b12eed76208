package lifecycle_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/racetest"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
)

// The model check: random histories of everything that users, machines, neighbours and
// Google may do, and after every step what must hold at any time.

var (
	modelSeed      = flag.Uint64("model.seed", 0, "play only the history of this `seed`, until it fails, and tell it")
	modelHistories = flag.Int("model.histories", histories(), "how many histories to play")
)

// histories is how many are played where no flag says it.
func histories() int {
	if racetest.Whole() {
		return 2000
	}
	return 30
}

// history is one history at play, in a bubble and on an emulator of its own. All that
// is left to chance comes from its seed, how long each call travels included, and with
// that the order of calls that are made side by side; but not how long a retry waits.
type history struct {
	t        *testing.T
	seed     uint64
	random   *mathrand.Rand
	machines []*machine // the one that most is done on, and another

	neighbour *gcp.Client
	present   map[int]bool // which of the neighbours' bindings are there
	runs      []*played
	lookAlike string // the email of an account that is nearly a run's

	before []byte // the emulator's state at the beginning
	others []byte // what others had then

	written atomic.Bool // whether anything was, since everything was looked at

	mu      sync.Mutex // guards what follows
	told    []string
	wrong   []error
	lasting map[*machine]lastingFault
	calls   map[string]int // by their names
}

// lastingFault is what calls of one path meet until it is lifted.
type lastingFault struct {
	path  string
	fault emulator.Fault
}

// played is a run of the history.
type played struct {
	model  *modelManifest
	plan   grants.Plan
	on     *machine
	ends   span        // when, by everybody's clock
	tester *gcp.Client // as what was delivered; nil if nothing was

	rising  bool   // its up is at work
	dated   bool   // its id tells when it began
	proved  []bool // for each grant, whether up said that it works
	touched bool   // somebody is, or was, to take it away
	byHand  bool   // a neighbour deleted its account
	lost    bool   // and the machine with its journal is lost
	down    bool   // it was said to be all gone
	dead    bool   // and its credential was seen to be good for nothing
}

// span is when something is, as far as that is known.
type span struct{ earliest, latest time.Time }

const (
	modelTTL = time.Hour
	// mayDiffer is what an up may take until it has dated the run, and be wrong by then.
	mayDiffer = 2 * time.Minute
)

// modelKey is short, since signing with a long one would cost more than all else.
var modelKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	return key
})

// ordered is a random sequence for several goroutines.
type ordered struct {
	mu     sync.Mutex
	source *mathrand.ChaCha8
}

func (o *ordered) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.source.Read(p)
}

var _ io.Reader = (*ordered)(nil)

// watched notices calls that may have written.
type watched struct {
	wire    http.RoundTripper
	written *atomic.Bool
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	_, verb, _ := strings.Cut(r.URL.Path, ":")
	if r.Method != http.MethodGet && verb != "testIamPermissions" && verb != "getIamPolicy" {
		w.written.Store(true)
	}
	return w.wire.RoundTrip(r)
}

func newHistory(t *testing.T, seed uint64) *history {
	t.Helper()
	m := newMachine(t, nil)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	h := &history{
		t: t, seed: seed, random: mathrand.New(mathrand.NewPCG(seed, 2)),
		present: map[int]bool{}, lasting: map[*machine]lastingFault{}, calls: map[string]int{},
	}
	m.key, m.random, m.wire = modelKey, &ordered{source: mathrand.NewChaCha8(key)}, watched{m.wire, &h.written}
	h.machines = []*machine{m, m.elsewhere()}
	client, err := gcp.New(gcp.Config{
		Transport: m.wire, EmulatorHost: "emulator.test:80", Credential: gcp.EmulatorLogin(secret.New(m.token)), UserAgent: "neighbour",
	})
	if err != nil {
		t.Fatal(err)
	}
	h.neighbour = client
	// An account whose id is that of a run, but without the mark: nobody may touch it.
	alike, err := client.CreateAccount(t.Context(), modelProject, grants.AccountID("model", grants.NewRunID(time.Now(), [5]byte{})), "by hand", "")
	if err != nil {
		t.Fatal(err)
	}
	h.lookAlike = alike.Email
	h.write(neighbours[0].resource, func(doc policy.Document) {
		doc.Add(policy.Binding{Role: neighbours[0].binding.Role, Member: alike.Member()})
	})
	h.before = m.snapshot()
	for _, m := range h.machines {
		m.before = h.before
	}
	return h
}

func (h *history) tell(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, time.Now().UTC().Format("02 15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// say keeps what does not hold.
func (h *history) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, fmt.Errorf(format, args...))
}

// note takes something down about a run, which several may do at the same time.
func (h *history) note(what func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	what()
}

func (h *history) ends(run *played) (ends span) {
	h.note(func() { ends = run.ends })
	return ends
}

// play plays the whole history. It returns what does not hold, if anything.
func (h *history) play() error {
	for range 4 + h.random.IntN(5) {
		h.step()
		if err := errors.Join(append(h.wrong, h.holds())...); err != nil {
			return err
		}
	}
	return h.quiet()
}

func (h *history) chance(in int) bool { return h.random.IntN(in) == 0 }

func pick[T any](h *history, from ...T) T { return from[h.random.IntN(len(from))] }

// anyMachine is mostly the one that has the journals.
func (h *history) anyMachine() *machine {
	return pick(h, h.machines[0], h.machines[0], h.machines[0], h.machines[1])
}

func (h *history) step() {
	switch n := h.random.IntN(20); {
	case n < 11:
		actions := []action{h.action()}
		if h.chance(3) {
			actions = append(actions, h.action())
		}
		h.act(actions)
	case n < 12:
		h.toggle(h.random.IntN(len(neighbours)))
	case n < 13:
		h.deleteByHand(h.random.IntN(1 + len(h.runs)))
	case n < 16:
		d := pick(h, time.Minute, 12*time.Minute, 50*time.Minute, 3*time.Hour)
		d += time.Duration(h.random.Int64N(int64(d)))
		h.tell("%s pass", d)
		time.Sleep(d)
	case n < 17:
		m := h.anyMachine()
		ahead := pick(h, 0, time.Minute, -time.Minute, 3*time.Hour, -3*time.Hour, 25*time.Hour, -25*time.Hour)
		h.tell("the clock of machine %d is ahead by %s", slices.Index(h.machines, m), ahead)
		h.setClock(m, ahead)
	case n < 18:
		h.lift()
		if h.chance(4) {
			h.lose(h.anyMachine())
		}
	default:
		h.setLag()
	}
}

func (h *history) setClock(m *machine, ahead time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead = ahead
}

func (h *history) setLag() {
	lag := emulator.Lag{Seed: h.random.Uint64()}
	for _, d := range []*emulator.Delay{&lag.AccountRead, &lag.AccountBind, &lag.AccountMint, &lag.Key, &lag.Grant, &lag.Revoke} {
		if h.chance(3) {
			d.Min = time.Duration(h.random.IntN(90)) * time.Second
		}
	}
	if h.chance(2) {
		lag.Search = emulator.Delay{Max: 20 * time.Minute}
	}
	h.tell("the lag is %+v", lag)
	h.machines[0].server.SetLag(lag)
}

// lift ends lasting faults, and renews the operator's login.
func (h *history) lift() {
	h.tell("faults are lifted")
	h.mu.Lock()
	clear(h.lasting)
	h.mu.Unlock()
	for _, m := range h.machines {
		m.lift()
	}
}

// lose is a machine that is lost, with all that it knew; whoever has it next begins anew.
func (h *history) lose(m *machine) {
	mine := func(run *played) bool { return run.on == m && !run.down }
	if slices.ContainsFunc(h.runs, func(run *played) bool { return mine(run) && run.byHand }) {
		return // what such an account leaves unbounded only its journal can tell to be ours
	}
	h.tell("machine %d is lost", slices.Index(h.machines, m))
	for _, run := range h.runs {
		run.lost = run.lost || mine(run)
	}
	m.clear()
}

// action is something that a user does on a machine.
type action struct {
	what string
	on   *machine
	do   func()
}

func (h *history) action() action {
	switch n := h.random.IntN(20); {
	case n < 9 || len(h.runs) == 0:
		return h.up()
	case n < 13:
		m := h.anyMachine()
		if live := m.live(); len(live) > 0 {
			return h.takeDown(m, live[h.random.IntN(len(live))].ID())
		}
		return h.up()
	case n < 15:
		return h.downAccount(h.anyMachine(), h.runs[h.random.IntN(len(h.runs))])
	default:
		return h.sweep(pick(h, h.machines...), lifecycle.SweepOptions{
			Projects: []string{modelProject}, OlderThan: pick(h, 0, grace), DryRun: h.chance(6), Resources: pick(h, nil, modelResources()),
		})
	}
}

// act has users do things at the same time, disturbed.
func (h *history) act(actions []action) {
	var on []*machine
	power := map[*machine]bool{}
	for _, a := range actions {
		if !slices.Contains(on, a.on) {
			on = append(on, a.on)
			power[a.on] = h.disturb(a.on)
		}
	}
	var wg sync.WaitGroup
	for _, a := range actions {
		late := time.Duration(h.random.Int64N(int64(2 * time.Second)))
		wg.Go(func() {
			time.Sleep(late)
			h.tell("machine %d: %s", slices.Index(h.machines, a.on), a.what)
			a.do()
		})
	}
	wg.Wait()
	for _, m := range on {
		m.watch(point{}, nil)
		if !h.alive(m) {
			m.restart(power[m])
		}
	}
	for _, run := range h.runs {
		run.rising = false
	}
	if h.chance(2) {
		h.lift()
	}
}

func (h *history) alive(m *machine) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.dead
}

// dropsConditions meets the first write from some call on of a policy in which neighbours have conditions.
var dropsConditions = emulator.Fault{Do: emulator.FaultLossy, Spare: "taskiam", Count: 1}

// modelFaults are what a call may meet; without a count, every later call of its path.
var modelFaults = []emulator.Fault{
	{Do: emulator.FaultReset, After: true, Count: 1},
	{Do: emulator.FaultAnswer, Code: http.StatusConflict, Count: 1},
	{Do: emulator.FaultAnswer, Code: http.StatusTooManyRequests, Count: 1},
	{Do: emulator.FaultAnswer, Code: http.StatusServiceUnavailable, Count: 1},
	{Do: emulator.FaultAnswer, Code: http.StatusInternalServerError, After: true, Count: 1},
	{Do: emulator.FaultHang, Count: 1},
	dropsConditions,
	dropsConditions,
	{Do: emulator.FaultAnswer, Code: http.StatusForbidden},
	{Do: emulator.FaultAnswer, Code: http.StatusForbidden},
	{Do: emulator.FaultAnswer, Code: http.StatusBadRequest},
	{Do: emulator.FaultAnswer, Code: http.StatusServiceUnavailable},
}

// disturb has calls of a machine take their time, and something happen at one of them:
// a neighbour at work, a fault, or the end of the process. It reports whether the power
// goes with that.
func (h *history) disturb(m *machine) (power bool) {
	at := 1 + h.random.IntN(30)
	kind := h.random.IntN(9)
	late := h.chance(2)
	power = h.chance(2)
	which, victim := h.random.IntN(len(neighbours)), h.random.IntN(1+len(h.runs))
	trouble := pick(h, modelFaults...)
	var n atomic.Int64
	var dropping atomic.Bool
	m.mu.Lock()
	defer m.mu.Unlock()
	m.each = func(_ int, r *http.Request) func() {
		h.travel(r)
		after := func() {}
		name := callName(r)
		if n.Add(1) == int64(at) && h.alive(m) {
			switch kind {
			case 0, 1:
				h.tell("  at %s", name)
				h.toggle(which)
			case 2:
				h.tell("  at %s", name)
				h.deleteByHand(victim)
			case 3, 4, 5:
				h.tell("  at %s: %+v", name, trouble)
				if trouble == dropsConditions {
					dropping.Store(true)
					break
				}
				if trouble.Count == 0 {
					h.mu.Lock()
					h.lasting[m] = lastingFault{r.URL.Path, trouble}
					h.mu.Unlock()
					break
				}
				after = h.inject(m, r, trouble)
			case 6:
				h.tell("  at %s the login expires", name)
				m.mu.Lock()
				m.expired = true
				m.mu.Unlock()
			case 7:
				h.tell("  at %s it is killed (after it: %t, with the power: %t)", name, late, power)
				if late {
					return m.die
				}
				m.die()
				return after
			}
		}
		h.mu.Lock()
		lasting, is := h.lasting[m]
		h.mu.Unlock()
		// What cannot be put back is no mistake: it is dropped only where everything else goes well.
		if !is && m.loggedIn() && writesConditions(name) && dropping.CompareAndSwap(true, false) {
			h.tell("  %s drops conditions", name)
			after = h.inject(m, r, dropsConditions)
		}
		if is && lasting.path == r.URL.Path {
			after = h.inject(m, r, lasting.fault)
		}
		return after
	}
	return power
}

// writesConditions reports whether a call writes a policy in which a neighbour has something under a condition.
func writesConditions(call string) bool { return step{point: point{call: call}}.conditioned() }

func (m *machine) loggedIn() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.expired
}

// inject has the emulator do this to the one call r, and not to others' of that path.
func (h *history) inject(m *machine, r *http.Request, f emulator.Fault) (after func()) {
	f.Resource, f.Count = r.URL.Path, 1
	name, err := m.server.AddFault(f)
	if err != nil {
		h.t.Error(err)
	}
	return func() { m.server.RemoveFault(name) }
}

// travel is the way of a call to the cloud. No two calls take the same time for it, so
// that time alone says which of those that are on their way is the next.
func (h *history) travel(r *http.Request) {
	name := callName(r)
	h.mu.Lock()
	h.calls[name]++
	nth := h.calls[name]
	h.mu.Unlock()
	sum := fnv.New64a()
	fmt.Fprint(sum, h.seed, name, nth)
	timer := time.NewTimer(time.Duration(1 + sum.Sum64()%uint64(300*time.Millisecond)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

func (h *history) up() action {
	m := h.anyMachine()
	e := m.engine()
	model := &modelManifests[h.random.IntN(len(modelManifests))]
	run := &played{model: model, plan: m.plan(e, model.source), on: m, rising: true, dated: time.Until(m.now()).Abs() <= time.Minute}
	run.ends = span{time.Now().Add(modelTTL - mayDiffer), time.Now().Add(modelTTL + mayDiffer)}
	h.runs = append(h.runs, run)
	options := m.options(run.plan)
	options.NoWait = h.chance(6)
	return action{fmt.Sprintf("up %s: %s", run.plan.Run, model.name), m, func() {
		result, err := e.Up(h.t.Context(), run.plan, options)
		h.tell("  up %s: %v", run.plan.Run, err)
		h.arm(run, m.safe.get(options.Dir))
		if result != nil {
			end, ends := result.Plan.Expires, h.ends(run)
			if end.Before(ends.earliest) || end.After(ends.latest) {
				h.say("run %s is to end at %s, and not between %s and %s", run.plan.Run, end, ends.earliest, ends.latest)
			}
			h.note(func() { run.ends = span{end, end} })
			for _, g := range result.Grants {
				run.proved = append(run.proved, g.State == journal.Proved)
			}
		}
		switch {
		case err == nil, !h.alive(m):
		case !fault.Is(err, fault.NotReady, fault.Incomplete):
			h.gone(run) // it was undone
		}
	}}
}

// arm keeps what was delivered, as a task does that ran away with it.
func (h *history) arm(run *played, d delivery.Delivery) {
	switch {
	case !d.Key.IsZero():
		source, err := gcp.KeySource(d.Key)
		if err != nil {
			h.say("reading the key of %s: %w", run.plan.Run, err)
			return
		}
		run.tester = h.neighbour.As(source)
	case !d.Token.Value.IsZero():
		run.tester = h.neighbour.As(gcp.StaticToken(d.Token.Value))
	}
}

func (h *history) takeDown(m *machine, id grants.RunID) action {
	run := h.played(func(run *played) bool { return run.plan.Run == id })
	return action{"down " + string(id), m, func() {
		h.note(func() { run.touched = true })
		err := m.down(id)
		h.tell("  down %s: %v", id, err)
		h.believe(m, run, err, true)
	}}
}

func (h *history) downAccount(m *machine, run *played) action {
	more := pick(h, nil, modelResources())
	return action{fmt.Sprintf("down --account %s, with %d resources", run.plan.Email, len(more)), m, func() {
		h.note(func() { run.touched = true })
		_, err := m.engine().DownAccount(h.t.Context(), modelProject, run.plan.Email, more)
		h.tell("  down --account %s: %v", run.plan.Email, err)
		h.believe(m, run, err, false)
	}}
}

// believe takes a teardown at its word: the run is all gone, unless there is an error,
// or its up was still at work. Without its journal, nothing says of a run whose account a
// neighbour deleted how old it is but its id, and so a search may be believed too early if that lies.
func (h *history) believe(m *machine, run *played, err error, journalled bool) {
	byHand := false
	h.note(func() { byHand = run.byHand })
	if err == nil && h.alive(m) && !run.rising && (journalled || run.dated || !byHand) {
		h.gone(run)
	}
}

// gone is that a run was said to be all gone.
func (h *history) gone(run *played) {
	h.note(func() { run.down = true })
	h.written.Store(true) // it is to be looked at
}

func (h *history) played(is func(*played) bool) *played {
	if i := slices.IndexFunc(h.runs, is); i >= 0 {
		return h.runs[i]
	}
	return nil
}

func (h *history) sweep(m *machine, o lifecycle.SweepOptions) action {
	what := fmt.Sprintf("sweep, older than %s, dry: %t, with %d resources", o.OlderThan, o.DryRun, len(o.Resources))
	return action{what, m, func() {
		for _, run := range h.runs {
			// It may be touched if it is over by the time that the sweep can take.
			if !o.DryRun && time.Until(h.ends(run).earliest.Add(o.OlderThan)) < time.Hour {
				h.note(func() { run.touched = true })
			}
		}
		result, err := m.engine().Sweep(h.t.Context(), o)
		h.tell("  sweep: %v", err)
		if !h.alive(m) || result == nil {
			return
		}
		for _, swept := range result.Projects[0].Runs {
			h.tell("  sweep: %s is %s", swept.Email, swept.State)
			run := h.played(func(run *played) bool { return run.plan.Email == swept.Email })
			switch {
			case run == nil:
				h.say("the sweep has to do with %s, which is not a run's", swept.Email)
			case swept.State == lifecycle.SweptLive, swept.State == lifecycle.SweptBusy:
			case swept.Kind != lifecycle.SweptTombstone && time.Until(h.ends(run).earliest.Add(o.OlderThan)) > 0:
				h.say("the sweep found %s to be over, %s before that", run.plan.Run, time.Until(h.ends(run).earliest.Add(o.OlderThan)))
			case swept.State == lifecycle.SweptGone:
				h.believe(m, run, nil, false)
			}
		}
	}}
}

// toggle lets a neighbour add a binding, or remove it.
func (h *history) toggle(which int) {
	n := neighbours[which]
	n.binding.Member = neighbourMember(which)
	h.mu.Lock()
	h.present[which] = !h.present[which]
	present := h.present[which]
	h.mu.Unlock()
	h.tell("neighbour %d is there: %t", which, present)
	h.write(n.resource, func(doc policy.Document) {
		if present {
			doc.Add(n.binding)
		} else {
			doc.Remove(n.binding)
		}
	})
}

// write has a neighbour change a policy.
func (h *history) write(on string, change func(policy.Document)) {
	name, _, err := resource.Parse(on)
	if err != nil {
		h.t.Fatal(err)
	}
	for {
		doc, err := h.neighbour.ReadPolicy(context.Background(), name)
		if err == nil {
			change(doc)
			_, err = h.neighbour.WritePolicy(context.Background(), name, doc)
		}
		if err == nil {
			return
		}
		if !fault.Is(err, fault.Conflict) {
			h.t.Error(err)
			return
		}
	}
}

// deleteByHand lets a neighbour delete the account of a run, and so leave it in policies.
func (h *history) deleteByHand(which int) {
	if which >= len(h.runs) || h.runs[which].lost {
		return
	}
	run := h.runs[which]
	h.note(func() { run.touched = true })
	err := h.neighbour.DeleteAccount(context.Background(), modelProject, run.plan.Email)
	if err == nil {
		h.note(func() { run.byHand = true })
		h.tell("a neighbour deletes %s", run.plan.Email)
	} else if !fault.Is(err, fault.NotFound) {
		h.t.Error(err)
	}
}

// quiet ends all trouble, has every run end, and compares with before.
func (h *history) quiet() error {
	h.tell("quiet")
	h.lift()
	for _, m := range h.machines {
		h.setClock(m, 0)
	}
	h.machines[0].server.SetLag(emulator.Lag{})
	time.Sleep(30 * time.Minute) // what lags behind arrives
	byHand := h.chance(2)
	for _, m := range h.machines {
		for _, journalled := range m.live() {
			if byHand {
				a := h.takeDown(m, journalled.ID())
				h.tell("%s", a.what)
				if a.do(); !h.played(func(run *played) bool { return run.plan.Run == journalled.ID() }).down {
					return errors.New("all is quiet, and a run cannot be taken down")
				}
			}
		}
	}
	if err := h.holds(); err != nil {
		return err
	}
	over := time.Now()
	for _, run := range h.runs {
		if !run.down && run.ends.latest.After(over) {
			over = run.ends.latest
		}
	}
	time.Sleep(time.Until(over) + time.Second)
	if err := h.holds(); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	if err := h.holds(); err != nil {
		return err
	}
	for _, i := range h.random.Perm(len(h.machines)) {
		m := h.machines[i]
		if _, err := m.engine().Sweep(h.t.Context(), lifecycle.SweepOptions{Projects: []string{modelProject}}); err != nil {
			return fmt.Errorf("all is quiet, and machine %d cannot sweep: %w", i, err)
		}
	}
	for _, run := range h.runs {
		h.gone(run)
	}
	if err := h.holds(); err != nil {
		return err
	}
	for which, there := range h.present {
		if there {
			h.toggle(which)
		}
	}
	for _, m := range h.machines {
		if left := m.changed(); left != nil {
			return fmt.Errorf("all is quiet and swept, and there is\n%s", strings.Join(left, "\n"))
		}
	}
	return nil
}

// tellAll returns the steps of the history.
func (h *history) tellAll() string { return strings.Join(h.told, "\n") }

// knowRoles has every role of the manifests asked for that is asked for but once, so that
// no history depends on the one before it.
func knowRoles(t *testing.T) {
	m := newMachine(t, nil)
	m.key = modelKey
	for _, model := range modelManifests {
		if err := m.up(model.source); err != nil {
			t.Error(err)
		}
	}
}

// replays is how often a history is played to see it fail: how long a retry waits is not
// the seed's to say.
const replays = 50

// replay plays the history of a seed until it fails, and tells it.
func replay(t *testing.T, seed uint64) {
	t.Helper()
	for i := range replays {
		synctest.Test(t, func(t *testing.T) {
			h := newHistory(t, seed)
			err := h.play()
			if err != nil || i == 0 {
				t.Logf("the history of seed %d:\n%s", h.seed, h.tellAll())
			}
			if err != nil {
				t.Error(err)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// keptSeeds are those of histories that once showed a mistake.
var keptSeeds = []uint64{3765, 4016, 5524, 6944, 8019, 9937, 11548, 31436}

func TestModel(t *testing.T) {
	t.Parallel()
	if *modelSeed != 0 {
		synctest.Test(t, knowRoles)
		replay(t, *modelSeed)
		return
	}
	synctest.Test(t, knowRoles)
	const shares = 4
	seeds := slices.Clone(keptSeeds)
	for seed := range *modelHistories {
		seeds = append(seeds, uint64(seed)+1)
	}
	var next, done atomic.Int64
	t.Run("histories", func(t *testing.T) {
		for share := range shares {
			t.Run(fmt.Sprint(share), func(t *testing.T) {
				t.Parallel()
				for i := next.Add(1); i <= int64(len(seeds)) && !t.Failed(); i = next.Add(1) {
					seed := seeds[i-1]
					synctest.Test(t, func(t *testing.T) {
						h := newHistory(t, seed)
						if err := h.play(); err != nil {
							t.Errorf("-model.seed=%d: %v\nafter\n%s", seed, err, h.tellAll())
						}
					})
					done.Add(1)
				}
			})
		}
	})
	t.Logf("%d histories", done.Load())
}
