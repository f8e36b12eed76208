package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	tableAll   = flag.Bool("clients.all", false, "try all clients of the table, and not only the quick ones")
	tableFile  = flag.String("clients.table", "", "write the table of clients to this `file`")
	tableWrite = flag.Bool("clients.write", false, "put the table of clients into "+tableDocument)
	tableOnly  = flag.String("clients.only", "", "try only the clients whose names match this `pattern`")
)

const (
	tableDocument = "../../docs/delivery.md"
	tableBegin    = "<!-- the table of clients: make clients WRITE=1 -->\n"
	tableEnd      = "<!-- its end -->\n"
	probes        = "testdata/clients/probes"
)

// The kinds of delivery in the table, and where clients are run.
const (
	byKey      = "key"
	byToken    = "token"
	byMetadata = "metadata"
	byFile     = "the file without a secret, alone" // not another delivery: metadata, without its server's variables

	inPlain    = "plain"    // in the environment of a run that is up
	inIsolated = "isolated" // taskiam run --isolate
	inNoNet    = "nonet"    // taskiam run --isolate=nonet
)

var (
	deliveries = []string{byKey, byToken, byMetadata, byFile}
	modes      = []string{inPlain, inIsolated, inNoNet}
)

// column is a way in which a sandbox gets its access.
type column struct {
	deliver, mode string
	quick         bool
}

var columns = []column{
	{byKey, inPlain, true}, {byKey, inIsolated, false}, {byKey, inNoNet, false},
	{byToken, inPlain, true}, {byToken, inIsolated, false}, {byToken, inNoNet, false},
	{byMetadata, inPlain, true}, {byMetadata, inIsolated, true}, {byMetadata, inNoNet, false},
	{byFile, inPlain, true},
}

func (c column) String() string { return c.deliver + ", " + c.mode }

// failsClosed is what those clients get of a bare token that cannot take one.
const failsClosed = "this run has an access token (CLOUDSDK_AUTH_ACCESS_TOKEN_FILE) and no application default credentials"

// TestClientTable has each client read something that the task grants and something that it does not, in the
// environment that a sandbox gets, with each kind of delivery and in each kind of sandbox; what is granted again after
// the run was renewed and the servers were started anew; and both after down, with all that the sandbox had. The clients
// find the credential themselves. A login of the operator's that works, and may do everything, lies where they look for
// one: who falls back on it is found out by what it is let do.
//
// In docs/delivery.md is what came of it.
func TestClientTable(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	if runAlone(t) {
		return
	}
	s := newStage(t, "--data", filepath.Join(t.TempDir(), "emulator"))
	k := newKit(t, s)
	only := regexp.MustCompile(*tableOnly)
	rows := slices.DeleteFunc(slices.Clone(k.clients()), func(c client) bool {
		return !*tableAll && !c.quick || !only.MatchString(c.name)
	})
	var cells []*cell
	var boxes []*sandbox
	for _, c := range columns {
		if !*tableAll && !c.quick || c.mode != inPlain && noSandbox() != "" {
			continue
		}
		box := s.sandbox(t, k, c)
		boxes = append(boxes, box)
		for _, row := range rows {
			cells = append(cells, &cell{client: row, column: c, box: box})
		}
	}
	// The slow ones first.
	slices.SortStableFunc(cells, func(a, b *cell) int {
		return slices.IndexFunc(rows, a.is) - slices.IndexFunc(rows, b.is)
	})
	begun := time.Now()
	each(cells, func(c *cell) { c.begin(k) })
	t.Logf("asked for what is granted, and what is not: %s", time.Since(begun).Round(time.Second))
	s.anew(t, boxes)
	each(cells, func(c *cell) { c.again() })
	t.Logf("and again after a renewal, with servers that were started anew: %s", time.Since(begun).Round(time.Second))
	for _, box := range boxes {
		box.end(t, s)
	}
	each(cells, func(c *cell) { c.end() })
	t.Logf("and after down: %s", time.Since(begun).Round(time.Second))
	for _, box := range boxes {
		if err := box.agent.end(); err != nil {
			t.Errorf("%s: %v", box.column, err)
		}
	}

	report, failed := report(rows, cells)
	for _, c := range cells {
		if c.failed != "" {
			t.Errorf("%s, %s: %s", c.client.name, c.column, c.failed)
		}
	}
	t.Logf("\n%s", report)
	if *tableFile != "" {
		must(t, os.WriteFile(*tableFile, []byte(report), 0o600))
	}
	if failed == 0 && *tableOnly == "" {
		document(t, rows, cells)
	}
}

// each does something with all cells, as many at a time as the machine has something to do with: a client is a process
// that keeps a core busy, but for what waits for a server that is gone.
func each(cells []*cell, do func(*cell)) {
	slots := make(chan struct{}, 4*runtime.NumCPU())
	var all sync.WaitGroup
	for _, c := range cells {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			do(c)
		})
	}
	all.Wait()
}

// cell is one client with one kind of delivery, in one kind of sandbox.
type cell struct {
	client  client
	column  column
	box     *sandbox
	order   order // how the client is started
	failed  string
	refused string // what came of what is not granted
	after   string // what came of both after down
}

func (c *cell) is(of client) bool { return c.client.name == of.name }

// skipped reports whether there is nothing to try any more.
func (c *cell) skipped() bool { return c.client.missing != "" || c.failed != "" }

// unfit says why what is granted is not had in this way; "" is that it is.
func (c *cell) unfit() string {
	if c.client.unfit == nil {
		return ""
	}
	return c.client.unfit(c.column)
}

// other is what is asked for that is not granted; "" if there is no such thing.
func (c *cell) other() string {
	if c.client.identity && c.column.deliver == byKey {
		return "" // who has a key makes identity tokens for anybody
	}
	return c.client.other
}

func (c *cell) ask(what string, within time.Duration) (said, kind string) {
	said, ok := c.box.agent.do(order{Op: "ask", Name: c.client.name, What: what, Within: within})
	if ok {
		return said, "ok"
	}
	return said, kindOf(said)
}

// restart starts a client again, which reads its credential then.
func (c *cell) restart() {
	if said, ok := c.box.agent.do(order{Op: "close", Name: c.client.name}); !ok {
		c.failed = "ending: " + said
	} else if said, ok := c.box.agent.do(c.order); !ok {
		c.failed = said
	}
}

func (c *cell) begin(k *kit) {
	if c.skipped() {
		return
	}
	c.order = c.client.start(k, c.box)
	c.order.Op, c.order.Name = "start", c.client.name
	if said, ok := c.box.agent.do(c.order); !ok {
		c.failed = said
		return
	}
	granted, kind := c.ask(c.client.granted, 3*waitLimit)
	switch {
	case c.unfit() != "":
		// Nothing comes of it, for a reason of the client's own: it has gone to Google as nobody.
		if kind == "ok" || kind == "denied" || kind == stillTrying {
			c.failed = "what it should not get: " + granted
		}
	case kind != "ok" || !c.proved(granted):
		c.failed = "what is granted: " + kind + ": " + granted
	}
	if c.failed != "" || c.unfit() != "" || c.other() == "" {
		return
	}
	said, kind := c.ask(c.other(), 3*waitLimit)
	c.refused = kind
	want := "denied"
	if c.client.identity {
		want = "absent"
	}
	if kind != want {
		c.failed = "what is not granted: " + kind + ": " + said
	}
}

// proved reports whether an answer has in it what was asked for.
func (c *cell) proved(said string) bool {
	if !c.client.identity {
		return strings.Contains(said, c.client.proof)
	}
	token := claimsOf(said)
	return token.Aud == c.client.granted && token.Email == c.box.account
}

// claims are those of an identity token: for whom, whose, and when it was made.
type claims struct {
	Aud, Email string
	Iat        int64
}

// claimsOf returns the claims of the identity token in a text; none if it has none.
func claimsOf(said string) (c claims) {
	parts := strings.Split(jwt.FindString(said), ".")
	if len(parts) != 3 {
		return claims{}
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &c) != nil {
		return claims{}
	}
	return c
}

// cached is an identity token that gcloud made for itself while it could, and prints if it
// can make no other, whoever that was for. It names gcloud and nobody else.
const cached = "its own, from before"

// isCached reports whether an answer is such a token.
func (c *cell) isCached(said string) bool {
	token := claimsOf(said)
	return c.client.identity && token.Aud == gcloudItself && token.Iat != 0 && token.Iat <= c.box.ended.Unix()
}

// gcloudItself is who gcloud's own identity tokens are for: its client id.
const gcloudItself = "32555940559.apps.googleusercontent.com"

var jwt = regexp.MustCompile(`eyJ[-\w]+\.[-\w]+\.[-\w]+`)

func (c *cell) again() {
	if c.skipped() || c.unfit() != "" {
		return
	}
	if c.column.deliver == byKey {
		c.restart() // the new key is in the place of the old one, which is gone
	}
	said, kind := c.ask(c.client.granted, 3*waitLimit)
	for tries := 0; kind == "unreachable" && tries < 3; tries++ { // a connection that was open to the server before
		said, kind = c.ask(c.client.granted, 3*waitLimit)
	}
	if kind != "ok" || !c.proved(said) {
		c.failed = "after a renewal and new servers: " + kind + ": " + said
	}
}

func (c *cell) end() {
	if c.skipped() {
		return
	}
	if c.client.identity && c.unfit() == "" {
		c.restart() // it has kept nothing, and reads its credential for each of them
	}
	var kinds []string
	for _, what := range []string{c.client.granted, c.other()} {
		if what == "" || c.unfit() != "" || what == c.client.other && !*tableAll {
			break // gcloud waits a quarter of a minute for a server that is gone
		}
		said, kind := c.ask(what, time.Minute)
		if kind == "ok" && c.isCached(said) {
			kind = cached
		}
		ends := []string{"unauthenticated", "invalid_grant", "unreachable", "over", cached}
		if c.client.identity {
			// The server is there while its sandbox is; Java says the same of every answer that is no token.
			ends = append(ends, "absent")
		}
		if !slices.Contains(ends, kind) && (kind != stillTrying || !c.client.retries) {
			c.failed = "after down: " + kind + ": " + said
			return
		}
		kinds = append(kinds, kind)
		if kind == stillTrying {
			break // a session has ended with it
		}
	}
	slices.Sort(kinds)
	c.after = strings.Join(slices.Compact(kinds), ", ")
	if said, ok := c.box.agent.do(order{Op: "close", Name: c.client.name}); !ok {
		c.failed = "ending: " + said
	}
}

// String is what stands in the table.
func (c *cell) String() string {
	switch {
	case c.client.missing != "":
		return "not run: " + c.client.missing
	case c.failed != "":
		return "FAILED"
	case c.unfit() != "":
		return c.unfit()
	}
	return "works"
}

// stillTrying is the cause of nothing at all: clients of Google Cloud Storage in Go try on
// as long as they are let, if nothing answers where tokens are.
const stillTrying = "still trying after a minute"

// kindOf returns what a refusal is. The programs of the table say it in their first word, by the type and code of the
// error; of what others say the words are looked at in which they put a status, a reason or a permission, never a
// number.
func kindOf(said string) string {
	first, _, _ := strings.Cut(said, " ")
	switch {
	case strings.Contains(said, "has ended, and there are no more tokens"),
		strings.Contains(said, "Forbidden error was returned while attempting to retrieve an access token"): // Node, of the same answer
		return "over" // the metadata server says so
	case slices.Contains([]string{"denied", "unauthenticated", "invalid_grant", "unreachable", "absent"}, first) && !strings.Contains(said, failsClosed):
		return first
	}
	said = strings.Join(strings.Fields(said), " ") // bq breaks lines
	for _, k := range kinds {
		if k.text.MatchString(said) {
			return k.name
		}
	}
	return "failed"
}

var kinds = []struct {
	name string
	text *regexp.Regexp
}{
	{"closed", regexp.MustCompile(regexp.QuoteMeta(failsClosed) + "|The provided token URL is invalid|invalid TokenURL provided")},
	{"absent", regexp.MustCompile("no identity tokens for this audience|No identity token can be obtained")},
	{"invalid_grant", regexp.MustCompile("invalid_grant")},
	{stillTrying, regexp.MustCompile(stillTrying)},
	{"denied", regexp.MustCompile(`PERMISSION_DENIED|does not have [a-z]+\.[.A-Za-z]+ access|Permission '?[a-z]+\.[.A-Za-z]+'? denied`)},
	{"unauthenticated", regexp.MustCompile("UNAUTHENTICATED|nvalid authentication credentials|Invalid Credentials|authError|Authorization error")},
	{"unreachable", regexp.MustCompile("(?i)connection refused|connection reset|ECONNREFUSED|metadata server|metadata service|subject token|couldn't connect to server|token.*: EOF")},
	// Without a network a port in the sandbox leads out: it is there when the server is not.
	{"unreachable", regexp.MustCompile("closed connection without response|Empty reply from server|socket hang up")},
	// Java looks for a server before anything else, and does not say that there was one.
	{"unreachable", regexp.MustCompile("default credentials were not found")},
}

// sandbox is a run, and an agent in it.
type sandbox struct {
	column
	agent   *agentLine
	vars    map[string]string // what its environment has of the emulator
	run     string
	account string
	dir     string    // the delivery
	ended   time.Time // when down was begun
}

// noSandbox says why there are no sandboxes here.
var noSandbox = sync.OnceValue(func() string {
	if runtime.GOOS != "linux" {
		return "isolation takes Linux"
	}
	if out, err := exec.Command("bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("bubblewrap makes no sandbox here: %v %s", err, out)
	}
	return ""
})

// sandbox brings up a run.
func (s *stage) sandbox(t *testing.T, k *kit, c column) *sandbox {
	t.Helper()
	dir := s.folder("column", strings.ReplaceAll(c.String(), " ", "-"))
	deliver := c.deliver
	if deliver == byFile {
		deliver = byMetadata
	}
	manifest := filepath.Join(dir, "task.toml")
	must(t, os.WriteFile(manifest, []byte(s.read(k.manifest)+fmt.Sprintf("deliver = %q\n", deliver)), 0o600))
	// What a sandbox starts from is an operator's shell.
	trapped := maps.Clone(s.vars)
	maps.Copy(trapped, map[string]string{"HOME": k.home, "GOOGLE_APPLICATION_CREDENTIALS": k.login, "CLOUDSDK_CONFIG": filepath.Dir(k.login)})
	box := &sandbox{column: c}
	var cmd *exec.Cmd
	if c.mode == inPlain {
		run := s.up(manifest)
		box.run, box.account, box.dir = run.Run, run.Account, run.Delivery
		for name := range trapped {
			if strings.HasPrefix(name, "TASKIAM_") || strings.HasPrefix(name, "XDG_") {
				delete(trapped, name)
			}
		}
		script := `. "$1/env" && exec clientagent`
		if c.deliver == byFile {
			script = `. "$1/env" && unset GCE_METADATA_HOST GCE_METADATA_ROOT GCE_METADATA_IP METADATA_SERVER_DETECTION &&
				export CLOUDSDK_CORE_CHECK_GCE_METADATA=false CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=$GOOGLE_APPLICATION_CREDENTIALS && exec clientagent`
		}
		cmd = exec.Command("sh", "-c", script, "sh", run.Delivery)
	} else {
		how := map[string]string{inIsolated: "--isolate", inNoNet: "--isolate=nonet"}[c.mode]
		cmd = exec.Command("taskiam", slices.Concat([]string{"run", "--quiet", how}, k.shown, []string{"--env", "GORACE", manifest, "--", "clientagent"})...)
	}
	cmd.Env, cmd.Dir = environ(trapped), dir
	var err error
	box.agent, err = startAgent(cmd)
	must(t, err)
	out, ok := box.agent.do(order{Op: "start", Name: "env", Script: "env -0"})
	if ok {
		out, ok = box.agent.do(order{Op: "ask", Name: "env", Within: waitLimit})
	}
	if !ok {
		t.Fatalf("%s: %s\n%s", c, out, box.agent.stderr.Bytes())
	}
	box.vars = variables(out)
	box.run, box.account, box.dir = box.vars["TASKIAM_RUN"], box.vars["CLOUDSDK_CORE_ACCOUNT"], box.vars["TASKIAM_DELIVERY"]
	return box
}

// end takes the run down. The sandbox lives on, with a copy of its delivery.
func (b *sandbox) end(t *testing.T, s *stage) {
	t.Helper()
	if said, ok := b.agent.do(order{Op: "keep"}); !ok {
		t.Errorf("%s: %s", b.column, said)
	}
	b.ended = time.Now()
	s.ok("down", "--quiet", b.run)
	if _, err := os.Lstat(b.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: down left %s: %v", b.column, b.dir, err)
	}
}

// anew renews all runs, and starts the emulator and the servers of the runs again.
func (s *stage) anew(t *testing.T, boxes []*sandbox) {
	t.Helper()
	for _, b := range boxes {
		s.ok("renew", "--quiet", "--ttl", "90m", b.run)
	}
	s.restart()
	for _, b := range boxes {
		if b.mode != inPlain || b.deliver != byMetadata && b.deliver != byFile {
			continue // those who wait for the sandbox are the others' servers
		}
		servers := 0
		processes(func(p process) bool {
			if strings.Contains(p.command, " serve ") && strings.Contains(p.command, b.run) {
				servers++
				must(t, syscall.Kill(p.pid, syscall.SIGKILL))
			}
			return false
		})
		if servers != 1 {
			t.Errorf("%s has %d servers", b.column, servers)
		}
		var given struct{ Env map[string]string }
		must(t, json.Unmarshal([]byte(s.read(filepath.Join(b.dir, "env.json"))), &given))
		cmd := exec.Command("taskiam", "serve", "--quiet", b.run)
		cmd.Env, cmd.Dir = s.environ(), s.dir
		must(t, cmd.Start())
		t.Cleanup(func() { // down ends it
			stuck := time.AfterFunc(waitLimit, func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait()
			if !stuck.Stop() {
				t.Errorf("%s: down left the server of %s", b.column, b.run)
			}
		})
		listening(t, given.Env["GCE_METADATA_HOST"])
	}
}

// listening waits until a server listens at an address.
func listening(t *testing.T, address string) {
	t.Helper()
	deadline := time.After(waitLimit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

// report is the table, and what came of each cell.
func report(rows []client, cells []*cell) (text string, failed int) {
	var b strings.Builder
	b.WriteString(table(rows, cells) + "\n")
	notRun := 0
	for _, c := range cells {
		what := fmt.Sprintf("%s, %s", c.client.name, c.column)
		switch {
		case c.client.missing != "":
			notRun++
		case c.failed != "":
			failed++
			fmt.Fprintf(&b, "%s: FAILED: %s\n", what, c.failed)
		case c.unfit() != "":
			fmt.Fprintf(&b, "%s: %s\n", what, c.unfit())
		default:
			fmt.Fprintf(&b, "%s: not granted: %s; after down: %s\n", what, c.refused, c.after)
		}
	}
	fmt.Fprintf(&b, "%d cells, %d failed, %d not run\n", len(cells), failed, notRun)
	return b.String(), failed
}

// table is the table in Markdown.
func table(rows []client, cells []*cell) string {
	var b strings.Builder
	b.WriteString("| client | " + strings.Join(deliveries, " | ") + " |\n|---" + strings.Repeat("|---", len(deliveries)) + "|\n")
	for _, row := range rows {
		b.WriteString("| " + row.name)
		for _, d := range deliveries {
			b.WriteString(" | " + together(found(row, d, cells)))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// found returns what came of a client with a kind of delivery, by where it was run.
func found(row client, deliver string, cells []*cell) map[string]string {
	out := map[string]string{}
	for _, c := range cells {
		if c.is(row) && c.column.deliver == deliver {
			out[c.column.mode] = c.String()
		}
	}
	return out
}

// together writes what came of a client where it was run: once, if that is the same everywhere.
func together(by map[string]string) string {
	var where []string
	said := map[string][]string{}
	for _, mode := range modes {
		text, run := by[mode]
		if !run {
			continue
		}
		if said[text] == nil {
			where = append(where, text)
		}
		said[text] = append(said[text], mode)
	}
	if len(where) == 1 {
		return where[0]
	}
	for i, text := range where {
		where[i] = strings.Join(said[text], ", ") + ": " + text
	}
	return strings.Join(where, "; ")
}

// apart reads what together wrote.
func apart(text string) map[string]string {
	out := map[string]string{}
	for part := range strings.SplitSeq(text, "; ") {
		where, what, _ := strings.Cut(part, ": ")
		named := strings.Split(where, ", ")
		if !slices.Contains(modes, named[0]) {
			named, what = modes, text
		}
		for _, mode := range named {
			out[mode] = what
		}
	}
	return out
}

// document compares the table in the document with what was found, as far as it was run,
// or writes it.
func document(t *testing.T, rows []client, cells []*cell) {
	t.Helper()
	b, err := os.ReadFile(tableDocument)
	must(t, err)
	before, rest, _ := strings.Cut(string(b), tableBegin)
	old, after, found := strings.Cut(rest, tableEnd)
	if !found {
		t.Fatalf("%s has no table of clients", tableDocument)
	}
	if *tableWrite {
		if !*tableAll {
			t.Fatal("-clients.write takes -clients.all: the table is of all clients")
		}
		must(t, os.WriteFile(tableDocument, []byte(before+tableBegin+table(rows, cells)+tableEnd+after), 0o644))
		return
	}
	documented := documentedTable(old)
	for _, c := range cells {
		if c.client.missing != "" {
			t.Logf("%s: not run: %s", c.client.name, c.client.missing)
			continue
		}
		row := documented[c.client.name]
		if row == nil {
			t.Errorf("%s does not have %s", tableDocument, c.client.name)
			continue
		}
		if said := apart(row[slices.Index(deliveries, c.column.deliver)])[c.column.mode]; said != c.String() {
			t.Errorf("%s, %s: %s says %q, and found was %q", c.client.name, c.column, tableDocument, said, c)
		}
	}
	if *tableAll && len(documented) != len(rows) {
		t.Errorf("the table in %s has %d clients, and not %d", tableDocument, len(documented), len(rows))
	}
}

// documentedTable reads the table of a document: the cells of each client.
func documentedTable(text string) map[string][]string {
	out := map[string][]string{}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) == 1+len(deliveries) && cells[0] != "client" && !strings.HasPrefix(cells[0], "-") {
			out[cells[0]] = cells[1:]
		}
	}
	return out
}
