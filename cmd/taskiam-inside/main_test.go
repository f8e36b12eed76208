package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// update rewrites the golden files inside the scripts.
var update = flag.Bool("update", false, "rewrite golden files in the scripts")

// everyArchitecture builds the program for the other architecture as well, which compiles the standard library first.
var everyArchitecture = flag.Bool("size.all", false, "build for every architecture that there are releases for")

// waitLimit bounds every wait; a busy machine may need some of it.
const waitLimit = time.Minute

// TestMain makes the test binary be the program, as it is installed, and the two ends that it connects.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"taskiam": main, "say": say})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"code": code, "listening": listening},
	})
}

// code N CMD... runs CMD, which must end with the exit code N.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N CMD...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// listening SOCKET... opens sockets that answer whoever has said all that it has to say, until the script ends.
func listening(ts *testscript.TestScript, neg bool, args []string) {
	for _, path := range args {
		l, err := net.Listen("unix", ts.MkAbs(path))
		ts.Check(err)
		ts.Defer(func() { _ = l.Close() })
		go answerAll(l)
	}
}

// answerAll answers only after the end of what was said: it tells whether half-closed connections get through.
func answerAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if b, err := io.ReadAll(c); err == nil {
				_, _ = c.Write(append([]byte("heard "), b...))
			}
		}()
	}
}

// say WORDS says something at the address in TASKIAM_CONNECT, or in ADDRESS, and prints the answer.
func say() {
	address := os.Getenv("TASKIAM_CONNECT")
	if to := os.Getenv("ADDRESS"); to != "" {
		address = to
	}
	heard, err := sayTo(address, strings.Join(os.Args[1:], " "))
	fmt.Println(heard)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func sayTo(address, words string) (string, error) {
	c, err := net.DialTimeout("tcp", address, waitLimit)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, words); err != nil {
		return "", err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// built returns the program as it is released, for an architecture.
func built(t *testing.T, arch string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "taskiam")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags=-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// maxSize is what the program may weigh: it is copied into every sandbox.
const maxSize = 6_000_000

// TestSize: the program is small. The release check has it built for every architecture.
func TestSize(t *testing.T) {
	t.Parallel()
	archs := []string{runtime.GOARCH}
	if *everyArchitecture {
		archs = []string{"amd64", "arm64"}
	}
	for _, arch := range archs {
		info, err := os.Stat(built(t, arch))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("linux/%s: %d bytes", arch, info.Size())
		if info.Size() > maxSize {
			t.Errorf("linux/%s has %d bytes, more than %d", arch, info.Size(), maxSize)
		}
	}
}

// TestInASandboxWithoutANetwork: the file needs nothing of the system that it runs on, and a socket from outside is
// reached through a port of the sandbox's own loopback.
func TestInASandboxWithoutANetwork(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("bwrap", "--unshare-user", "--unshare-net", "--ro-bind", "/", "/", "true").CombinedOutput(); err != nil {
		t.Skipf("bubblewrap makes no sandbox here: %v %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := socketPath(t)
	dir := filepath.Dir(path)
	answering(t, path)
	// Nothing is there but two programs, and the C library that this one needs if it was built with -race: no shell, no
	// /etc, no /proc. Neither can write where the socket is.
	cmd := exec.Command("bwrap", "--unshare-all", "--die-with-parent", "--clearenv",
		"--ro-bind-try", "/lib", "/lib", "--ro-bind-try", "/lib64", "/lib64", "--ro-bind-try", "/usr/lib", "/usr/lib",
		"--ro-bind", built(t, runtime.GOARCH), "/taskiam", "--ro-bind", self, "/say", "--ro-bind", dir, "/run",
		"/taskiam", "connect", "--listen", "127.0.0.1:8080", "/run/s", "--", "/say", "in the box")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || string(out) != "heard in the box\n" {
		t.Errorf("got %q, %v, %s", out, err, &stderr)
	}
}

// connect starts the program, which ends with the test, and returns what it prints.
func connect(t *testing.T, stderr io.Writer, name string, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewReader(out)
}

func line(t *testing.T, from *bufio.Reader) string {
	t.Helper()
	text, err := from.ReadString('\n')
	if err != nil {
		t.Fatalf("%q, %v", text, err)
	}
	return strings.TrimSpace(text)
}

// socketPath is short enough for a socket, wherever tests have their files.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "inside")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func answering(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go answerAll(l)
	return l
}

func TestSignalsAreTheCommands(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	answering(t, path)
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		cmd, out := connect(t, t.Output(), "taskiam", "connect", path, "--",
			"sh", "-c", `trap 'kill $!; exit 9' TERM HUP; sleep 60 & echo ready; wait; exit 1`)
		if got := line(t, out); got != "ready" {
			t.Fatal(got)
		}
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 9 {
			t.Errorf("after %s it ended with %v, not as the command did", s, err)
		}
	}
}

// TestItEndsWithWhatStartedIt: nothing is left of a sandbox's processes if the one that wanted the connection is gone.
func TestItEndsWithWhatStartedIt(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	answering(t, path)
	shell, out := connect(t, os.Stderr, "sh", "-c", `taskiam connect "$0" & echo $!; wait`, path)
	first, second := line(t, out), line(t, out) // the address says that it listens
	pid, err := strconv.Atoi(first)
	if err != nil {
		pid, err = strconv.Atoi(second)
	}
	if err != nil {
		t.Fatal(err)
	}
	server, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// It has the pipe for as long as it lives.
	ended := make(chan error, 1)
	go func() { _, err := io.ReadAll(out); ended <- err }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(waitLimit):
		t.Error("it is still there")
		_ = server.Kill()
	}
}

// TestAServerMayBeStartedAnew: the socket is looked up for each connection. While nobody answers there, that is said
// once, and not as often as somebody tries.
func TestAServerMayBeStartedAnew(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	server := answering(t, path)
	var stderr bytes.Buffer
	cmd, out := connect(t, &stderr, "taskiam", "connect", path)
	address := line(t, out)
	for range 2 {
		if got, err := sayTo(address, "x"); err != nil || got != "heard x" {
			t.Errorf("got %q, %v", got, err)
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got, _ := sayTo(address, "x"); got != "" { // the connection may be reset
				t.Errorf("got %q from nobody", got)
			}
		}
		server = answering(t, path)
	}
	if got, err := sayTo(address, "x"); err != nil || got != "heard x" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted it ended with %v", err)
	}
	if n := strings.Count(stderr.String(), "warning: nobody answers at the socket"); n != 2 {
		t.Errorf("it was said %d times that nobody answered, not twice: %s", n, &stderr)
	}
}

// TestItImportsLittle: what this program links is copied into every sandbox, and is what a reader has to trust there.
func TestItImportsLittle(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "-tags", "urfave_cli_no_docs", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	few := []string{"github.com/urfave/cli/v2", "github.com/xrash/smetrics", "golang.org/x/sys/", "vendor/"}
	own := []string{"child", "command", "fault", "inside", "relay", "spelling", "visible", "wait"}
	for pkg := range strings.FieldsSeq(string(out)) {
		name, ours := strings.CutPrefix(pkg, "github.com/taskiam/taskiam/internal/")
		switch {
		case ours && !slices.Contains(own, name):
			t.Errorf("it imports internal/%s", name)
		case ours, pkg == "github.com/taskiam/taskiam/cmd/taskiam-inside", !strings.Contains(strings.Split(pkg, "/")[0], "."):
		case !slices.ContainsFunc(few, func(p string) bool { return strings.HasPrefix(pkg, p) }):
			t.Errorf("it imports %s", pkg)
		}
		if pkg == "net/http" {
			t.Error("it imports net/http, which makes it three million bytes larger")
		}
	}
}
