package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskiam/taskiam/emulator"
)

const (
	loadBindings = 1000 // in the policy of the project
	loadCallers  = 20   // one conditional binding each, and one that they share
	loadClients  = 16   // connections that are busy at a time
	loadCalls    = 100_000
	soakCalls    = 1_000_000
)

// load is an emulator that gets many small calls, and what they ask for.
type load struct {
	addr     string
	operator string
	client   http.RoundTripper
}

// callKind is one kind of call of the mix. Of four calls two get an object, one tests
// permissions and one reads the policy.
type callKind int

const (
	getObject callKind = iota
	testPermissions
	getPolicy
	callKinds
)

var kindNames = [callKinds]string{"get an object of 1 KiB", "testIamPermissions of 5", "getIamPolicy"}

func kindOf(n int64) callKind {
	return [4]callKind{getObject, testPermissions, getObject, getPolicy}[n%4]
}

// benchEmulator prints how many authenticated calls a second the emulator answers over
// loopback, with the client in the same process, and how long they take. With soak it
// prints what a million of them leave in memory.
func benchEmulator(ctx context.Context, out io.Writer, soak bool) error {
	server, err := emulator.New(emulator.Config{Seed: []byte(loadSeed())})
	if err != nil {
		return err
	}
	defer server.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, listener) }()
	defer func() { stop(); <-served }()

	_, token := server.Operator()
	// A policy of a thousand bindings is read in a few pieces, not in dozens.
	transport := &http.Transport{MaxIdleConnsPerHost: loadClients, DisableCompression: true, ReadBufferSize: 128 << 10}
	defer transport.CloseIdleConnections()
	l := &load{addr: listener.Addr().String(), operator: token, client: transport}
	if err := l.bind(ctx); err != nil {
		return err
	}
	calls := int64(loadCalls)
	if soak {
		calls = soakCalls
	}
	if _, err := l.run(ctx, loadCalls/10); err != nil { // connections, caches
		return err
	}
	before := liveMemory()
	if err := l.measure(ctx, out, calls); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nLive memory: %.1f MiB before, %.1f MiB after.\n", before, liveMemory())
	return nil
}

// measure makes that many calls, and prints how many went through in a second and how
// long they took.
func (l *load) measure(ctx context.Context, out io.Writer, calls int64) error {
	begun, busy := time.Now(), processorTime()
	took, err := l.run(ctx, calls)
	if err != nil {
		return err
	}
	wall := time.Since(begun)
	busy = processorTime() - busy

	fmt.Fprintf(out, "The emulator, called over loopback HTTP/1.1 by %d clients in the same process (GOMAXPROCS %d): "+
		"half\n", loadClients, runtime.GOMAXPROCS(0))
	fmt.Fprintf(out, "object gets, a quarter testIamPermissions, a quarter getIamPolicy, against a project policy of\n")
	fmt.Fprintf(out, "%d bindings, a tenth of them conditional.\n\n", loadBindings)
	fmt.Fprintf(out, "| call | calls | calls/s | p50 | p90 | p99 | max |\n|---|---:|---:|---:|---:|---:|---:|\n")
	var all []time.Duration
	row := func(name string, d []time.Duration) {
		slices.Sort(d)
		at := func(p float64) time.Duration { return d[int(p*float64(len(d)-1))].Round(time.Microsecond) }
		fmt.Fprintf(out, "| %s | %d | %.0f | %s | %s | %s | %s |\n", name, len(d), float64(len(d))/wall.Seconds(),
			at(.5), at(.9), at(.99), at(1))
	}
	for kind, d := range took {
		all = append(all, d...)
		row(kindNames[kind], d)
	}
	row("all", all)
	if busy > 0 {
		fmt.Fprintf(out, "\nProcessor time, client included: %s a call; what else the machine does is not in it.\n",
			(busy / time.Duration(calls)).Round(time.Microsecond))
	}
	return nil
}

// liveMemory is what is reachable in the process, in MiB.
func liveMemory() float64 {
	runtime.GC()
	runtime.GC() // a second time, for what finalizers and pools released in the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// loadSeed is a company of one project whose policy is yet to be filled.
func loadSeed() string {
	var b strings.Builder
	b.WriteString("[operator]\nmember = \"user:operator@bench.example\"\n")
	for i := range loadCallers {
		fmt.Fprintf(&b, "[[principal]]\nmember = \"user:caller%d@bench.example\"\ntoken = \"ya29.bench-%d\"\n", i, i)
	}
	b.WriteString("[[project]]\nid = \"bench-load\"\nnumber = \"1\"\n")
	b.WriteString("[[project.binding]]\nrole = \"roles/owner\"\nmembers = [\"user:operator@bench.example\"]\n")
	b.WriteString("[[bucket]]\nproject = \"bench-load\"\nname = \"bench-load\"\n")
	fmt.Fprintf(&b, "[[bucket.object]]\nname = \"one.txt\"\ncontent = %q\n", strings.Repeat("x", 1024))
	return b.String()
}

type loadBinding struct {
	Role      string            `json:"role"`
	Members   []string          `json:"members"`
	Condition map[string]string `json:"condition,omitempty"`
}

// bind fills the project's policy. A tenth of the bindings are conditional; those let the
// callers read objects.
func (l *load) bind(ctx context.Context) error {
	var roles struct {
		Roles []struct{ Name string } `json:"roles"`
	}
	if err := l.ask(ctx, http.MethodGet, "iam.googleapis.com", "/v1/roles?pageSize=1000", "", &roles); err != nil {
		return err
	}
	bindings := []loadBinding{{Role: "roles/owner", Members: []string{"user:operator@bench.example"}}}
	browsers := loadBinding{Role: "roles/browser"}
	for i := range loadCallers {
		browsers.Members = append(browsers.Members, fmt.Sprintf("user:caller%d@bench.example", i))
	}
	bindings = append(bindings, browsers)
	conditional := loadBindings / 10
	for i := range conditional {
		bindings = append(bindings, loadBinding{
			Role: "roles/storage.objectViewer", Members: []string{fmt.Sprintf("user:caller%d@bench.example", i)},
			Condition: map[string]string{
				"title": fmt.Sprintf("until %d", i),
				"expression": fmt.Sprintf(`request.time < timestamp("2999-01-01T00:00:%02dZ") && `+
					`resource.name.startsWith("projects/_/buckets/bench-load")`,
					i%60) + strings.Repeat(" ", i/60),
			},
		})
	}
	for _, r := range roles.Roles {
		if len(bindings) == loadBindings {
			break
		}
		if slices.ContainsFunc(bindings, func(b loadBinding) bool { return b.Role == r.Name }) ||
			strings.HasPrefix(r.Name, "roles/storage.legacy") {
			continue
		}
		bindings = append(bindings,
			loadBinding{Role: r.Name, Members: []string{fmt.Sprintf("group:team%d@bench.example", len(bindings)%200)}})
	}
	if len(bindings) != loadBindings {
		return fmt.Errorf("the emulator has roles for %d bindings, not for %d", len(bindings), loadBindings)
	}
	policy, err := json.Marshal(map[string]any{"policy": map[string]any{"version": 3, "bindings": bindings}})
	if err != nil {
		return err
	}
	return l.ask(ctx, http.MethodPost, "cloudresourcemanager.googleapis.com", "/v1/projects/bench-load:setIamPolicy",
		string(policy), nil)
}

// ask makes one call as the operator and decodes the answer.
func (l *load) ask(ctx context.Context, method, host, path, body string, into any) error {
	answer, err := l.send(ctx, method, host, path, body, l.operator)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s%s: %s: %s", method, host, path, answer.Status, raw)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

func (l *load) send(ctx context.Context, method, host, path, body, token string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+l.addr+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Host = host
	r.Header.Set("Authorization", "Bearer "+token)
	return l.client.RoundTrip(r)
}

// run makes that many calls and returns how long they took, by kind.
func (l *load) run(ctx context.Context, calls int64) ([callKinds][]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu   sync.Mutex
		took [callKinds][]time.Duration
		next atomic.Int64
		wg   sync.WaitGroup
	)
	for range loadClients {
		wg.Go(func() {
			var mine [callKinds][]time.Duration
			for n := next.Add(1) - 1; n < calls && ctx.Err() == nil; n = next.Add(1) - 1 {
				kind, begun := kindOf(n), time.Now()
				if err := l.call(ctx, kind, int(n%loadCallers)); err != nil {
					cancel(err)
					return
				}
				mine[kind] = append(mine[kind], time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			for kind := range took {
				took[kind] = append(took[kind], mine[kind]...)
			}
		})
	}
	wg.Wait()
	return took, context.Cause(ctx)
}

// call makes one call as one of the callers. That it is allowed shows in the answer.
func (l *load) call(ctx context.Context, kind callKind, caller int) error {
	const resources = "cloudresourcemanager.googleapis.com"
	token := fmt.Sprintf("ya29.bench-%d", caller)
	var answer *http.Response
	var err error
	least := int64(1024)
	switch kind {
	case getObject:
		answer, err = l.send(ctx, http.MethodGet, "storage.googleapis.com",
			"/storage/v1/b/bench-load/o/one.txt?alt=media", "", token)
	case testPermissions:
		answer, err = l.send(ctx, http.MethodPost, resources, "/v1/projects/bench-load:testIamPermissions",
			`{"permissions":["resourcemanager.projects.get","storage.objects.get","storage.objects.create",`+
				`"pubsub.topics.publish","resourcemanager.projects.getIamPolicy"]}`, token)
		least = int64(len(`{"permissions":["resourcemanager.projects.get"`))
	default:
		answer, err = l.send(ctx, http.MethodPost, resources, "/v1/projects/bench-load:getIamPolicy",
			`{"options":{"requestedPolicyVersion":3}}`, token)
		least = loadBindings * 50
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || n < least {
		return fmt.Errorf("%s as caller %d: %s, %d bytes", kindNames[kind], caller, answer.Status, n)
	}
	return nil
}
