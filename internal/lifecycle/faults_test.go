package lifecycle_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/racetest"
)

// The table of faults: every call of a flow goes wrong in every way, then the user
// does what a user would do, and everything is as before. Where the cloud refuses for
// good, each error on the way names all that is left, and the run is taken down once
// the cloud relents.

var (
	faultsTable = flag.String("faults.table", "", "play every kind of credential, and write the table to this `file`")
	faultsAll   = flag.Bool("faults.all", racetest.Whole(), "play every cell, and not one in three")
	faultsMatch = flag.String("faults.match", "", "only the cells whose name contains this")
)

// trouble is one way in which a call goes wrong.
type trouble struct {
	name  string
	short string
	// fault is what the emulator does to the call, and, if Count is 0, to every later
	// one of the same method on the same resource.
	fault emulator.Fault
	// conflict is answered with the code that the service has for it.
	conflict bool
	// lossy drops what others have, where they have something under a condition.
	lossy bool
	// killed and late end the process before or after the call; with power, the machine.
	killed, late, power bool
	// expired makes the operator's login expire at the call.
	expired bool
}

// lasting reports whether the trouble goes on until it is lifted.
func (tr trouble) lasting() bool { return tr.fault.Do != "" && tr.fault.Count == 0 || tr.expired }

func (tr trouble) deadly() bool { return tr.killed || tr.late }

var troubles = []trouble{
	{name: "killed before", short: "KB", killed: true},
	{name: "killed after", short: "KA", late: true},
	{name: "power lost before", short: "PB", killed: true, power: true},
	{name: "power lost after", short: "PA", late: true, power: true},
	{name: "answer lost", short: "L", fault: emulator.Fault{Do: emulator.FaultReset, After: true, Count: 1}},
	{name: "conflict", short: "C", conflict: true, fault: emulator.Fault{Do: emulator.FaultAnswer, Count: 1}},
	{name: "conflict for good", short: "C*", conflict: true, fault: emulator.Fault{Do: emulator.FaultAnswer}},
	{name: "429 once", short: "429", fault: emulator.Fault{Do: emulator.FaultAnswer, Code: 429, Count: 1}},
	{name: "500 once", short: "500", fault: emulator.Fault{Do: emulator.FaultAnswer, Code: 500, Count: 1}},
	{name: "503 once", short: "503", fault: emulator.Fault{Do: emulator.FaultAnswer, Code: 503, Count: 1}},
	{name: "429 for good", short: "429*", fault: emulator.Fault{Do: emulator.FaultAnswer, Code: 429}},
	{name: "429 for a day", short: "429d", fault: emulator.Fault{
		Do: emulator.FaultAnswer, Code: 429, RetryAfter: emulator.Delay{Min: 86401 * time.Second},
	}},
	{name: "500 for good", short: "500*", fault: emulator.Fault{Do: emulator.FaultAnswer, Code: 500}},
	{name: "503 for good", short: "503*", fault: emulator.Fault{Do: emulator.FaultAnswer, Code: 503}},
	{name: "403 for good", short: "403*", fault: emulator.Fault{Do: emulator.FaultAnswer, Code: 403}},
	{name: "400 for good", short: "400*", fault: emulator.Fault{Do: emulator.FaultAnswer, Code: 400}},
	{name: "hang once", short: "H", fault: emulator.Fault{Do: emulator.FaultHang, Count: 1}},
	{name: "hang for good", short: "H*", fault: emulator.Fault{Do: emulator.FaultHang}},
	{name: "login expired", short: "401*", expired: true},
	{name: "neighbours' conditions dropped", short: "ND", lossy: true, fault: emulator.Fault{
		Do: emulator.FaultLossy, Spare: "taskiam", Count: 1,
	}},
}

// strike makes the trouble happen to the call r, and to what comes later.
func (tr trouble) strike(m *machine, method string) func(r *http.Request) func() {
	return func(r *http.Request) func() {
		if tr.killed {
			m.die()
		}
		if tr.expired {
			m.mu.Lock()
			m.expired = true
			m.mu.Unlock()
		}
		if f := tr.fault; f.Do != "" {
			f.Method, f.Resource = method, r.URL.Path
			if tr.conflict {
				f.Code = http.StatusConflict
				if host := r.Host; strings.HasPrefix(host, "storage.") || strings.HasPrefix(host, "bigquery.") {
					f.Code = http.StatusPreconditionFailed
				}
			}
			if _, err := m.server.AddFault(f); err != nil {
				m.t.Error(err)
			}
		}
		if tr.late {
			return m.die
		}
		return func() {}
	}
}

// fresh reports whether the flow needs a cloud in which nothing was done: a custom role
// that was made once can never be made again.
func (f flow) fresh() bool { return f.custom && !f.deleted }

// setRole deletes the custom role, for the flow that takes it back.
func (f flow) setRole(m *machine) {
	if !f.deleted {
		return
	}
	cloud, ctx := m.engine().Cloud, m.t.Context()
	r, err := cloud.Role(ctx, theRole.Name)
	if fault.Is(err, fault.NotFound) {
		r, err = cloud.CreateRole(ctx, theRole)
	}
	if err == nil && !r.Deleted {
		err = cloud.DeleteRole(ctx, r.Name, r.Etag)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// step is a call of an undisturbed flow.
type step struct {
	point
	method string
}

// steps returns the calls of an undisturbed flow.
func (f flow) steps(t *testing.T, source string) (out []step) {
	synctest.Test(t, func(t *testing.T) {
		log := &logged{methods: map[string]string{}}
		m := newMachine(t, log)
		m.recording = true
		var run grants.RunID
		if f.prepare != nil {
			run = f.prepare(m, source)
		}
		f.setRole(m)
		m.watch(point{}, nil)
		if err := f.run(m, source, run); err != nil && !errors.Is(err, errDelivery) {
			t.Fatal(err)
		}
		from := 0
		if f.from != nil {
			from = f.from(m)
		}
		for _, p := range m.calls[from:] {
			if f.skip != "" && strings.Contains(p.call, f.skip) || f.custom && !strings.Contains(p.call, "/roles") {
				continue
			}
			out = append(out, step{p, log.method(p.call)})
		}
	})
	slices.SortFunc(out, func(a, b step) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// writes reports whether the call changes something in the cloud.
func (s step) writes() bool {
	for _, end := range []string{":setIamPolicy", ":disable", "/serviceAccounts", "/keys:upload", "/roles", ":undelete"} {
		if strings.HasSuffix(s.call, end) && strings.HasPrefix(s.call, "POST ") {
			return true
		}
	}
	verb, _, _ := strings.Cut(s.call, " ")
	return verb == "PUT" || verb == "PATCH" || verb == "DELETE"
}

// conditioned reports whether a neighbour has something under a condition in the policy that the call writes.
func (s step) conditioned() bool {
	for _, c := range conditioned {
		if s.writes() && strings.HasSuffix(s.call, c.write) {
			return true
		}
	}
	return false
}

// cell is one box of the table.
type cell struct {
	flow    flow
	kind    string
	source  string
	step    step
	trouble trouble
}

func (c cell) String() string {
	return fmt.Sprintf("%s (%s), %s, %s", c.flow.name, c.kind, c.step, c.trouble.name)
}

// outcome is how a cell ended.
type outcome struct {
	// named says that an error on the way named what was left, while the trouble lasted;
	// blind, that it said that it could not look.
	named, blind bool
	// unexplained is what must not be; nil for a cell that is as it should be.
	unexplained error
}

func (o outcome) String() string {
	switch {
	case o.unexplained != nil:
		return "!"
	case o.blind:
		return "b"
	case o.named:
		return "n"
	default:
		return "."
	}
}

// errNotReached is why a cell has no outcome. The look for a new account goes on beside the rest and is left out if
// all of that is done before it: which comes first is chance where no call takes any time.
var errNotReached = errors.New("the call was not reached")

// play plays a cell through to its end.
func (c cell) play(m *machine) (o outcome) {
	m.clear()
	m.server.SetLag(emulator.Lag{})
	unexplained := func(format string, args ...any) outcome {
		return outcome{unexplained: fmt.Errorf(format, args...)}
	}
	var run grants.RunID
	if c.flow.prepare != nil {
		run = c.flow.prepare(m, c.source)
	}
	c.flow.setRole(m)
	m.watch(c.step.point, c.trouble.strike(m, c.step.method))
	err := c.flow.run(m, c.source, run)
	if !m.reached {
		return unexplained("%w: %v", errNotReached, err)
	}
	if c.trouble.lossy && (err == nil || !strings.Contains(err.Error(), hours.Member) || !strings.Contains(err.Error(), hours.Condition.Title)) {
		return unexplained("what the service did to a neighbour is not named: %v", err)
	}
	begins := c.flow.prepare == nil // else there is something to take away, whatever happens
	switch {
	case c.trouble.deadly():
		m.restart(c.trouble.power)
		if begins && len(m.live()) == 0 {
			if left := m.changed(); left != nil {
				return unexplained("no journal knows of\n%s", strings.Join(left, "\n"))
			}
			if err := c.flow.run(m, c.source, run); err != nil {
				return unexplained("nothing was begun, but a second try says: %w", err)
			}
		}
	case err == nil || fault.Is(err, fault.NotReady):
	case (begins || c.trouble.lossy) && !fault.Is(err, fault.Incomplete): // it says that nothing is left
		if left := m.changed(); left != nil {
			return unexplained("it says only %w\nbut there is\n%s", err, strings.Join(left, "\n"))
		}
	default:
		if err := o.told(m, err); err != nil {
			return unexplained("%w", err)
		}
	}
	if !c.trouble.lasting() && (o.named || o.blind) {
		return unexplained("the trouble had passed, and yet: %w", err)
	}
	// The user takes it away, while the trouble lasts, and once more when it is over.
	for _, over := range []bool{!c.trouble.lasting(), true} {
		if over {
			m.lift()
		}
		for _, err := range c.flow.again(m) {
			if over {
				return unexplained("once it is over: %w", err)
			}
			if err := o.told(m, err); err != nil {
				return unexplained("%w", err)
			}
		}
	}
	if left := m.changed(); left != nil {
		return unexplained("there is\n%s", strings.Join(left, "\n"))
	}
	return o
}

// told takes down how an error tells what is left, and returns an error if it does not.
func (o *outcome) told(m *machine, err error) error {
	there := m.changed()
	if wrong := overnamed(there, err); wrong != nil {
		return wrong
	}
	switch wrong := m.unnamed(there, err); {
	case wrong == nil:
		o.named = true
		return nil
	case saysBlind(err):
		o.blind = true
		return nil
	default:
		return wrong
	}
}

// unnamed returns an error if the error that a user saw does not name something that
// is there.
func (m *machine) unnamed(there []string, err error) error {
	runs := m.runs()
	text := err.Error()
	for _, left := range there {
		var names []string
		for _, run := range runs {
			names = append(names, string(run.id))
			if strings.HasPrefix(left, "accounts[") {
				names = []string{"the account " + run.email}
				break
			}
			for _, on := range run.resources {
				if last := lastPart(on); strings.Contains(left, last) {
					names = []string{"bindings of " + run.email, last}
				}
			}
		}
		for _, name := range names {
			if !strings.Contains(text, name) {
				return fmt.Errorf("there is\n%s\nwhich is not named (%s) by: %w", left, name, err)
			}
		}
	}
	return nil
}

// overnamed returns an error if the error that a user saw names as left what is not
// there, and does not say perhaps.
func overnamed(there []string, err error) error {
	for line := range strings.Lines(err.Error()) {
		what, ok := strings.CutPrefix(strings.TrimSpace(line), "left: ")
		if !ok || strings.HasPrefix(what, "perhaps ") {
			continue
		}
		sign := "accounts[" // also of a key, which goes with its account
		if strings.HasPrefix(what, "bindings of ") {
			what, _, _ = strings.Cut(what, ",")
			sign = lastPart(what)
		} else if dir, ok := strings.CutPrefix(what, "the delivery in "); ok {
			sign = dir
		} else if pid, ok := strings.CutPrefix(what, "the process "); ok {
			sign = "process " + pid + " "
		}
		if !slices.ContainsFunc(there, func(left string) bool { return strings.Contains(left, sign) }) {
			return fmt.Errorf("it names %q, which is not there, in: %w\nthere is\n%s", what, err, strings.Join(there, "\n"))
		}
	}
	return nil
}

// lastPart returns the end of a resource's name, which is the same in all of its forms.
func lastPart(name string) string { return name[strings.LastIndexAny(name, "/:. ")+1:] }

func TestFaults(t *testing.T) {
	t.Parallel()
	kinds := []string{"key"}
	if *faultsTable != "" {
		kinds = append(kinds, "token", "metadata")
	}
	var cells []cell
	n, every := 0, 7
	if racetest.Enabled() {
		every = 23
	}
	for _, kind := range kinds {
		for _, f := range flows {
			source := f.source(kind)
			for _, s := range f.steps(t, source) {
				for _, tr := range troubles {
					c := cell{f, kind, source, s, tr}
					if tr.conflict && !s.writes() {
						continue // nothing that it could conflict with
					}
					if tr.lossy && !s.conditioned() {
						continue // nothing that could be dropped
					}
					if !strings.Contains(c.String(), *faultsMatch) {
						continue
					}
					// All of them take minutes with the race detector; make check plays them without
					// it. Neither number divides the number of troubles, so that each is played.
					if *faultsAll || *faultsTable != "" || *faultsMatch != "" || n%every == 0 {
						cells = append(cells, c)
					}
					n++
				}
			}
		}
	}
	if len(cells) < 2000/every && *faultsMatch == "" {
		t.Errorf("only %d cells", len(cells))
	}
	outcomes := make([]outcome, len(cells))
	// An emulator for a share of the cells: making one costs more than a cell.
	const shares = 4
	t.Run("cells", func(t *testing.T) {
		for share := range shares {
			t.Run(fmt.Sprint(share), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newMachine(t, nil)
					for i := share; i < len(cells); i += shares {
						if cells[i].flow.fresh() {
							m = newMachine(t, nil)
						}
						outcomes[i] = cells[i].play(m)
						for range 3 {
							if !errors.Is(outcomes[i].unexplained, errNotReached) {
								break
							}
							m = newMachine(t, nil)
							outcomes[i] = cells[i].play(m)
						}
						if err := outcomes[i].unexplained; err != nil {
							t.Errorf("%s: %v", cells[i], err)
							m = newMachine(t, nil)
						}
					}
				})
			})
		}
	})
	var table strings.Builder
	drawTable(&table, cells, outcomes)
	if *faultsTable != "" {
		if err := os.WriteFile(*faultsTable, []byte(table.String()), 0o600); err != nil {
			t.Error(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(table.String()), "\n")
	t.Log(lines[len(lines)-1])
}

// drawTable draws a line for each call and a column for each trouble.
func drawTable(out io.Writer, cells []cell, outcomes []outcome) {
	w := tabwriter.NewWriter(out, 0, 8, 1, ' ', 0)
	for _, tr := range troubles {
		fmt.Fprintf(out, "%-5s %s\n", tr.short, tr.name)
	}
	fmt.Fprint(out, ".     as before\n-     not possible\nn     what is left was named; as before once the trouble was over\nb     it could not look, and said so; as before once the trouble was over\n!     unexplained\n")
	results := map[string]outcome{}
	unexplained := 0
	for i, c := range cells {
		results[c.String()] = outcomes[i]
		if outcomes[i].unexplained != nil {
			unexplained++
		}
	}
	head, row := "", ""
	for _, c := range cells {
		if next := c.flow.name + " (" + c.kind + ")"; next != head {
			head = next
			fmt.Fprintf(w, "\n%s\t", head)
			for _, tr := range troubles {
				fmt.Fprintf(w, "%s\t", tr.short)
			}
			fmt.Fprintln(w)
		}
		if next := head + c.step.String(); next != row {
			row = next
			fmt.Fprintf(w, "%s\t", c.step)
			for _, tr := range troubles {
				c.trouble = tr
				box := "-"
				if o, ok := results[c.String()]; ok {
					box = o.String()
				}
				fmt.Fprintf(w, "%s\t", box)
			}
			fmt.Fprintln(w)
		}
	}
	_ = w.Flush()
	fmt.Fprintf(out, "\n%d cells, %d unexplained\n", len(cells), unexplained)
}
