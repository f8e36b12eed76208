package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
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
)

const (
	tableDocument = "../../docs/delivery.md"
	tableBegin    = "<!-- the table of clients: make clients WRITE=1 -->\n"
	tableEnd      = "<!-- its end -->\n"
	probes        = "testdata/clients/probes"
)

// columns are the ways in which a sandbox gets its access.
var columns = []struct{ name, deliver string }{
	{"key", "key"},
	{"token", "token"},
	{"metadata", "metadata"},
	{"metadata, under `run`", ""}, // the manifest does not say: that is the default there
	{"the file without a secret, alone", "metadata"},
}

const (
	byToken = 1
	byRun   = 3
	byFile  = 4
)

// failsClosed is what those clients get of a bare token that cannot take one.
const failsClosed = "this run has an access token (CLOUDSDK_AUTH_ACCESS_TOKEN_FILE) and no application default credentials"

// TestClientTable has each client read something that the task grants and something that
// it does not, in the environment that a sandbox gets, with each kind of delivery; and
// both again after down, with all that the sandbox had. The clients find the credential
// themselves. A login of the operator's that works, and may do everything, lies where
// they look for one: who falls back on it is found out by what it is let do.
//
// In docs/delivery.md is what came of it.
func TestClientTable(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	if runAlone(t) {
		return
	}
	s := newStage(t)
	k := newKit(t, s)
	rows := slices.DeleteFunc(slices.Clone(k.clients()), func(c client) bool { return !*tableAll && !c.quick })
	cells := make([][]cell, len(rows))
	for i := range rows {
		cells[i] = make([]cell, len(columns))
	}
	// A client is a process that keeps a core busy, but for what waits for a server that
	// is gone.
	slots := make(chan struct{}, 2*runtime.NumCPU())
	var all sync.WaitGroup
	for column := range columns {
		box := s.sandbox(t, k, column)
		all.Go(func() {
			var first sync.WaitGroup
			for i, c := range rows {
				first.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					cells[i][column].begin(t.Context(), k, box, c)
				})
			}
			first.Wait()
			if err := box.down(); err != nil {
				t.Error(err)
				return
			}
			var second sync.WaitGroup
			for i := range rows {
				second.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					cells[i][column].end(t.Context())
				})
			}
			second.Wait()
		})
	}
	all.Wait()

	var report strings.Builder
	report.WriteString(table(rows, cells) + "\n")
	failed, notRun := 0, 0
	for i, c := range rows {
		for column, cell := range cells[i] {
			what := fmt.Sprintf("%s, %s", c.name, columns[column].name)
			switch {
			case cell.missing != "":
				notRun++
			case cell.failed != "":
				failed++
				fmt.Fprintf(&report, "%s: FAILED: %s\n", what, cell.failed)
				t.Errorf("%s: %s", what, cell.failed)
			default:
				fmt.Fprintf(&report, "%s: not granted: %s; after down: %s\n", what, cell.refused, cell.after)
			}
		}
	}
	fmt.Fprintf(&report, "%d cells, %d failed, %d not run\n", len(rows)*len(columns), failed, notRun)
	t.Logf("\n%s", &report)
	if *tableFile != "" {
		must(t, os.WriteFile(*tableFile, []byte(report.String()), 0o600))
	}
	k.document(t, rows, cells)
}

// cell is one client with one kind of delivery.
type cell struct {
	missing string // why it was not run
	failed  string
	refused string // what came of what is not granted
	after   string // what came of both after down
	client  client
	column  int
	asker   asker
}

func (c *cell) begin(ctx context.Context, k *kit, box *sandbox, of client) {
	c.client, c.column = of, box.column
	if c.missing = of.missing; c.missing != "" {
		return
	}
	var err error
	if c.asker, err = of.start(ctx, k, box); err != nil {
		c.failed = err.Error()
		return
	}
	granted, ok := c.asker.ask(ctx, of.granted, 3*waitLimit)
	other, otherOK := c.asker.ask(ctx, of.other, 3*waitLimit)
	c.refused = cause(other)
	refused := "403"
	if c.client.unfit(c.column) != "" {
		if refused = "fails closed"; box.column != byToken {
			refused = "will not have the file"
		}
		ok = !ok && cause(granted) == refused
	} else {
		ok = ok && strings.Contains(granted, of.proof)
	}
	switch {
	case !ok:
		c.failed = "what is granted: " + granted
	case otherOK || c.refused != refused:
		c.failed = "what is not granted: " + other
	}
}

func (c *cell) end(ctx context.Context) {
	if c.missing != "" || c.failed != "" || c.asker == nil {
		return
	}
	var causes []string
	for _, what := range []string{c.client.granted, c.client.other} {
		if what == c.client.other && !*tableAll {
			break // gcloud waits a quarter of a minute for a server that is gone
		}
		said, ok := c.asker.ask(ctx, what, time.Minute)
		why := cause(said)
		if ok || why == "" || why == "403" || why == stillTrying && !c.client.retries {
			c.failed = "after down: " + said
			return
		}
		causes = append(causes, why)
		if why == stillTrying {
			break // a session has ended with it
		}
	}
	slices.Sort(causes)
	c.after = strings.Join(slices.Compact(causes), ", ")
	if err := c.asker.close(); err != nil {
		c.failed = "ending: " + err.Error()
	}
}

// String is what stands in the table.
func (c *cell) String() string {
	switch {
	case c.missing != "":
		return "not run: " + c.missing
	case c.failed != "":
		return "FAILED"
	case c.client.unfit(c.column) != "":
		return c.client.unfit(c.column)
	}
	return "works"
}

// stillTrying is the cause of nothing at all: clients of Google Cloud Storage in Go try on
// as long as they are let, if nothing answers where tokens are.
const stillTrying = "still trying after a minute"

// cause returns what a refusal came from; "" is something else than a refusal.
func cause(said string) string {
	said = strings.Join(strings.Fields(said), " ") // bq breaks lines
	for _, c := range causes {
		if c.text.MatchString(said) {
			return c.name
		}
	}
	return ""
}

// A number is a word of its own: ports and names of accounts can have a 403 in them.
var causes = []struct {
	name string
	text *regexp.Regexp
}{
	{"fails closed", regexp.MustCompile(regexp.QuoteMeta(failsClosed))},
	{"will not have the file", regexp.MustCompile("The provided token URL is invalid")},
	{"invalid_grant", regexp.MustCompile("invalid_grant")},
	{stillTrying, regexp.MustCompile(stillTrying)},
	{"403", regexp.MustCompile(`\b403\b|PERMISSION_DENIED|Access Denied`)},
	{"401", regexp.MustCompile(`\b401\b|UNAUTHENTICATED|Authorization error`)},
	{"no server", regexp.MustCompile("onnection refused|ECONNREFUSED|metadata server|etadata service|subject token")},
}

// sandbox is a run, and the environment that it gives.
type sandbox struct {
	column int
	vars   map[string]string
	down   func() error
}

// sandbox brings up a run.
func (s *stage) sandbox(t *testing.T, k *kit, column int) *sandbox {
	t.Helper()
	c := columns[column]
	dir := s.folder("column", fmt.Sprint(column))
	text := s.read(k.manifest)
	if c.deliver != "" {
		text += fmt.Sprintf("deliver = %q\n", c.deliver)
	}
	manifest := filepath.Join(dir, "task.toml")
	must(t, os.WriteFile(manifest, []byte(text), 0o600))
	box := &sandbox{column: column}
	// What a sandbox starts from is an operator's shell.
	trapped := maps.Clone(s.vars)
	maps.Copy(trapped, map[string]string{"HOME": k.home, "GOOGLE_APPLICATION_CREDENTIALS": k.login, "CLOUDSDK_CONFIG": filepath.Dir(k.login)})

	var down func() error
	if column == byRun {
		cmd := exec.Command("taskiam", "run", "--quiet", manifest, "--", "sh", "-c", `env -0 && echo && cat`)
		cmd.Env, cmd.Dir = environ(trapped), dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdin, err := cmd.StdinPipe()
		must(t, err)
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		env, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatalf("taskiam run: %v\n%s", err, stderr.Bytes())
		}
		box.vars = variables(env)
		down = func() error {
			if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
				return fmt.Errorf("taskiam run: %w\n%s", err, stderr.Bytes())
			}
			return nil
		}
	} else {
		run := s.up(manifest)
		for name := range trapped {
			if strings.HasPrefix(name, "TASKIAM_") || strings.HasPrefix(name, "XDG_") {
				delete(trapped, name)
			}
		}
		o := s.run(command{args: []string{"sh", "-c", `. "$1/env" && env -0`, "sh", run.Delivery}, vars: trapped})
		if o.code != 0 {
			t.Fatalf("taking the environment: %s", o.stderr)
		}
		box.vars = variables(o.stdout)
		down = func() error {
			cmd := exec.Command("taskiam", "down", "--quiet", run.Run)
			cmd.Env, cmd.Dir = s.environ(), s.dir
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("taskiam down: %w\n%s", err, out)
			}
			return nil
		}
	}
	if column == byFile {
		for _, name := range []string{"GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP", "METADATA_SERVER_DETECTION"} {
			delete(box.vars, name)
		}
		box.vars["CLOUDSDK_CORE_CHECK_GCE_METADATA"] = "false"
		box.vars["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"] = box.vars["GOOGLE_APPLICATION_CREDENTIALS"]
	}
	box.down = func() error {
		// A sandbox can keep a copy of all that it was given.
		delivery, kept := box.vars["TASKIAM_DELIVERY"], filepath.Join(dir, "kept")
		if out, err := exec.Command("cp", "-a", delivery, kept).CombinedOutput(); err != nil {
			return fmt.Errorf("keeping the delivery: %w: %s", err, out)
		}
		if err := down(); err != nil {
			return err
		}
		if _, err := os.Lstat(delivery); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("down left %s: %w", delivery, err)
		}
		if err := os.MkdirAll(filepath.Dir(delivery), 0o700); err != nil {
			return err
		}
		return os.Rename(kept, delivery)
	}
	return box
}

// variables reads what env -0 prints.
func variables(text string) map[string]string {
	vars := map[string]string{}
	for v := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\x00") {
		if name, value, some := strings.Cut(v, "="); some {
			vars[name] = value
		}
	}
	return vars
}

// asker is a client at work in a sandbox.
type asker interface {
	// ask has it ask for something, and returns what it said, and whether it got that. If
	// it is at it for longer than it may, it is ended, and that is what it said.
	ask(ctx context.Context, what string, within time.Duration) (said string, ok bool)
	close() error
}

// tool is a client that is a process for each call: its command is a script for sh, and
// what is asked for its argument.
type tool struct {
	script, dir string
	vars        map[string]string
}

func (c tool) ask(ctx context.Context, what string, within time.Duration) (string, bool) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", c.script, "sh", what)
	cmd.Dir, cmd.Env, cmd.WaitDelay = c.dir, environ(c.vars), time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return string(out) + stillTrying, false
	}
	return string(out), err == nil
}

func (tool) close() error { return nil }

// session is a client that is one process for all calls, and so keeps its token: it
// reads what is asked for in lines, and answers each with one.
type session struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *bytes.Buffer
	killed bool
}

func newSession(vars map[string]string, args ...string) (*session, error) {
	s := &session{cmd: exec.Command(args[0], args[1:]...), stderr: &bytes.Buffer{}}
	s.cmd.Env, s.cmd.Stderr = environ(vars), s.stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	return s, s.cmd.Start()
}

func (s *session) ask(_ context.Context, what string, within time.Duration) (string, bool) {
	stuck := time.AfterFunc(within, func() { _ = s.cmd.Process.Kill() })
	_, err := io.WriteString(s.in, what+"\n")
	line, reading := s.out.ReadString('\n')
	if !stuck.Stop() {
		s.killed = true
		return stillTrying, false
	}
	if err = errors.Join(err, reading); err != nil {
		return fmt.Sprintf("%v\n%s%s", err, line, s.stderr), false
	}
	return line, strings.HasPrefix(line, "200 ")
}

func (s *session) close() error {
	if err := errors.Join(s.in.Close(), s.cmd.Wait()); err != nil && !s.killed {
		return fmt.Errorf("%w\n%s", err, s.stderr)
	}
	return nil
}

// table is the table in Markdown.
func table(rows []client, cells [][]cell) string {
	var b strings.Builder
	b.WriteString("| client")
	for _, c := range columns {
		b.WriteString(" | " + c.name)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---", len(columns)) + "|\n")
	for i, c := range rows {
		b.WriteString("| " + c.name)
		for column := range columns {
			b.WriteString(" | " + cells[i][column].String())
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// document compares the table in the document with what was found, as far as it was run,
// or writes it.
func (k *kit) document(t *testing.T, rows []client, cells [][]cell) {
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
	documented := map[string]string{}
	for line := range strings.Lines(old) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		documented[name] = line
	}
	for i, c := range rows {
		if c.missing != "" {
			t.Logf("%s: not run: %s", c.name, c.missing)
			continue
		}
		if got, _ := strings.CutPrefix(table(rows[i:i+1], cells[i:i+1]), table(nil, nil)); got != documented[c.name] {
			t.Errorf("%s says\n%s and found was\n%s", tableDocument, documented[c.name], got)
		}
	}
	if *tableAll && len(documented) != len(rows)+2 {
		t.Errorf("the table in %s has %d clients, and not %d", tableDocument, len(documented)-2, len(rows))
	}
}
