package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestClients drives the emulator with Google's own clients, as they are installed
// on this machine, at the hand of the scripts in testdata/clients. Nothing of theirs
// is replaced, so what they are made to believe is what a user's would be.
//
// The libraries for Node come from a registry, and so are there only if make clients
// has fetched them.
//
// It runs where only the loopback device is up, if that is allowed: a call that
// means to leave the machine fails there, and so does the script.
func TestClients(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	if runAlone(t) {
		return
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "clients"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv(nodeVariable, os.Getenv(nodeVariable))
			return setup(env)
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "node-libraries":
				return os.Getenv(nodeVariable) != "", nil
			case "all-clients":
				return *tableAll, nil
			default:
				return false, fmt.Errorf("there is no condition %q", name)
			}
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"emulator": startEmulator,
			"setenv":   setenv,
			"see":      see,
		},
	})
}

const (
	// nodeLibraries is the folder of the package.json that make clients installs.
	nodeLibraries = "testdata/clients/node"
	// goClients and goRclone are the folders of the modules that make clients builds.
	goClients = "testdata/clients/go"
	goRclone  = "testdata/clients/rclone"
	// nodeVariable names the folder in which it did that.
	nodeVariable = "TASKIAM_TEST_NODE"
)

// aloneVariable is set in the process that [runAlone] starts.
const aloneVariable = "TASKIAM_TEST_ALONE"

// runAlone runs the test a second time, in a process that sees no network but the
// loopback device, and takes over how that ends. It reports false in that process,
// and where there can be none: then the test runs as it is.
func runAlone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneVariable) != "" {
		if err := loopbackUp(); err != nil {
			t.Fatal(err)
		}
		return false
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := "^" + t.Name() + "$"
	if _, scripts, some := strings.Cut(flag.Lookup("test.run").Value.String(), "/"); some {
		run += "/" + scripts
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run="+run, "-test.v")
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") {
			cmd.Args = append(cmd.Args, fmt.Sprintf("-%s=%s", f.Name, f.Value))
		}
	})
	cmd.Env = append(os.Environ(), aloneVariable+"=1")
	if deadline, ok := t.Deadline(); ok {
		// It is to say itself what it hung on.
		cmd.Args = append(cmd.Args, "-test.timeout="+max(time.Until(deadline)-5*time.Second, time.Second).String())
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := startAlone(cmd); err != nil {
		t.Logf("the network stays in reach, because it cannot be shut out here: %v", err)
		return false
	}
	err = cmd.Wait()
	t.Logf("with the loopback device alone:\n%s", out.String())
	if err != nil {
		t.Errorf("the scripts ended with: %v", err)
	}
	return true
}

// TestAlone proves what TestClients relies on: there is no way out.
func TestAlone(t *testing.T) {
	t.Parallel()
	if runAlone(t) {
		return
	}
	if os.Getenv(aloneVariable) == "" {
		t.Skip("a network namespace cannot be had here")
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			t.Errorf("%s is up", i.Name)
		}
	}
	// Of the addresses for documentation none is anybody's (RFC 5737).
	conn, err := new(net.Dialer).DialContext(t.Context(), "udp", "192.0.2.1:53")
	if err == nil {
		_ = conn.Close()
		t.Error("there is a route to the world outside")
	}
}

// see CMD... runs a command of a client, whether it succeeds or not, and appends what
// was asked and answered to the file transcript. What differs from run to run is
// masked there, and numbered: the same value has the same number all over a script.
func see(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: see CMD...")
	}
	err := ts.Exec(args[0], args[1:]...)
	exit, failed := errors.AsType[*exec.ExitError](err)
	if err != nil && !failed {
		ts.Fatalf("%s: %v", args[0], err)
	}
	var b strings.Builder
	b.WriteString("$ " + strings.Join(args, " ") + "\n")
	b.WriteString(ts.ReadFile("stdout"))
	endLine(&b)
	b.WriteString(settled(ts.ReadFile("stderr")))
	if failed {
		fmt.Fprintf(&b, "[exit %d]\n", exit.ExitCode())
	}
	raw := ts.MkAbs("transcript.raw")
	f, err := os.OpenFile(raw, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = f.WriteString(b.String())
	ts.Check(errors.Join(err, f.Close()))
	all := strings.ReplaceAll(ts.ReadFile(raw), ts.Getenv("WORK"), "$WORK")
	ts.Check(os.WriteFile(ts.MkAbs("transcript"), []byte(masked(all)), 0o600))
}

// settled takes out of what a client says what depends on how fast it was: dots and
// blank lines that show progress, and what each of its threads says again.
func settled(text string) string {
	var b strings.Builder
	last := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if strings.Trim(line, ".") == "" || line == last {
			continue
		}
		b.WriteString(line + "\n")
		last = line
	}
	return b.String()
}

func endLine(b *strings.Builder) {
	if s := b.String(); !strings.HasSuffix(s, "\n") {
		b.WriteString("\n")
	}
}

// masks are what differs from run to run in what clients print.
var masks = []struct {
	name    string
	pattern *regexp.Regexp
}{
	{"token", regexp.MustCompile(`ya29\.[-\w.]+`)},
	{"jwt", regexp.MustCompile(`eyJ[-\w]+\.[-\w]+\.[-\w]+`)},
	{"key", regexp.MustCompile(`\b[0-9a-f]{40}\b`)},
	{"uuid", regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`)},
	{"id", regexp.MustCompile(`\b[0-9]{21}\b`)},
	{"run", regexp.MustCompile(`\bti-nightly-rep-[0-9a-v]{15}\b`)},
	{"etag", regexp.MustCompile(`\bBw[-\w+/]{9}=`)},
	{"emulator", regexp.MustCompile(`\b127\.0\.0\.1:[0-9]+`)},
	// The far ends of time are the script's own, or Google's for never.
	{"time", regexp.MustCompile(`\b20[0-8][0-9]-[0-9]{2}-[0-9]{2}T[0-9:.]+Z?`)},
	{"", regexp.MustCompile(`(?m)[ \t\r]+$`)},
	{"", regexp.MustCompile(`\x1b\[[0-9;]*m`)},
}

// masked replaces what differs from run to run by its name. Ids and keys are counted,
// so that a transcript shows which are the same.
func masked(text string) string {
	for _, m := range masks {
		numbers := map[string]int{}
		text = m.pattern.ReplaceAllStringFunc(text, func(found string) string {
			switch m.name {
			case "":
				return ""
			case "id", "key", "run", "uuid":
				if numbers[found] == 0 {
					numbers[found] = len(numbers) + 1
				}
				return fmt.Sprintf("<%s %d>", m.name, numbers[found])
			}
			return "<" + m.name + ">"
		})
	}
	return text
}

func TestSettled(t *testing.T) {
	t.Parallel()
	const text = "WARNING: as another.\nWARNING: as another.\nCopying a to b\n  \n\n..\nCopying c to d\n.\nWARNING: as another.\n"
	const want = "WARNING: as another.\nCopying a to b\nCopying c to d\nWARNING: as another.\n"
	if got := settled(text); got != want {
		t.Errorf("settled(%q) = %q, want %q", text, got, want)
	}
}

func TestMasked(t *testing.T) {
	t.Parallel()
	const two = "123456789012345678901 234567890123456789012 123456789012345678901"
	for text, want := range map[string]string{
		two:                                   "<id 1> <id 2> <id 1>",
		"etag: BwZhBuugvdQ=\netag: ACAB \n":   "etag: <etag>\netag: ACAB\n",
		"2026-11-24T14:56:36Z":                "<time>",
		"9999-12-31T23:59:59Z 2099-01-01T00Z": "9999-12-31T23:59:59Z 2099-01-01T00Z",
		"GET 127.0.0.1:8790/v1":               "GET <emulator>/v1",
	} {
		if got := masked(text); got != want {
			t.Errorf("masked(%q) = %q, want %q", text, got, want)
		}
	}
}
