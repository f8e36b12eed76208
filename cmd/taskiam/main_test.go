package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/taskiam/taskiam/internal/racetest"
	"github.com/taskiam/taskiam/tasks"
)

// update rewrites the golden files inside the scripts.
var update = flag.Bool("update", false, "rewrite golden files in the scripts")

// TestMain makes the test binary be taskiam, so that scripts drive the program as it
// is shipped, each command a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"taskiam": shipped, "adcprobe": adcprobe, "golibraries": goLibraries, "goprobe": goProbe, "clientagent": clientAgent, "dial": dial, "ask": ask, "call": call, "thief": thief, "fetch": fetch})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	// Under nohup every process that is started here would ignore SIGHUP, taskiam and the
	// shells of the scripts included. One that is caught is the default for them.
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup:               setup,
		Condition: func(name string) (bool, error) {
			if name != "race" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			return racetest.Enabled(), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":     code,
			"emulator": startEmulator,
			"setenv":   setenv,
			"waitfile": waitfile,
		},
	})
}

// setup gives each script a home, a state folder and a runtime folder of its own, and
// the sample manifests in tasks/.
func setup(env *testscript.Env) error {
	for name, dir := range map[string]string{
		"HOME":            "home",
		"XDG_STATE_HOME":  "state",
		"XDG_RUNTIME_DIR": "runtime",
	} {
		path := filepath.Join(env.WorkDir, dir)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		env.Setenv(name, path)
	}
	env.Setenv("GORACE", raceOptions)
	return os.CopyFS(filepath.Join(env.WorkDir, "tasks"), tasks.Files)
}

// manyProcesses skips a test that starts so many programs, Google's among them, that looking
// for races takes it minutes, and finds none that the others do not. Their names are in the
// Makefile: make check runs them without.
func manyProcesses(t *testing.T) {
	t.Helper()
	racetest.Skip(t, "it starts many processes")
}

// raceOptions keep a program that is built with -race from sleeping for a second
// before it ends.
const raceOptions = "atexit_sleep_ms=0"

// waitLimit bounds every wait of a script; a busy machine may need some of it.
const waitLimit = time.Minute

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

// startEmulator is emulator [FLAG...]: it starts an emulator in a process of its own, on a free port, and
// points the script at it. It ends with the script. What it says is in emulator.log.
func startEmulator(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: emulator [FLAG...]")
	}
	log, err := os.Create(ts.MkAbs("emulator.log"))
	ts.Check(err)
	path, err := exec.LookPath("taskiam")
	ts.Check(err)
	cmd := exec.Command(path, append([]string{"emulator", "--addr", "127.0.0.1:0"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "XDG_STATE_HOME", "PATH", "TMPDIR", "GORACE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Stderr = log
	ts.Check(cmd.Start())
	ts.Defer(func() {
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait(), log.Close()); err != nil {
			ts.Logf("ending the emulator: %v", err)
		}
	})
	ts.Check(ts.Exec("taskiam", "emulator", "env", "--wait", waitLimit.String()))
	exports(ts, ts.ReadFile("stdout"))
}

// setenv CMD... runs CMD and takes over what its output exports and unsets, as eval
// in a shell would.
func setenv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: setenv CMD...")
	}
	ts.Check(ts.Exec(args[0], args[1:]...))
	exports(ts, ts.ReadFile("stdout"))
}

func exports(ts *testscript.TestScript, shell string) {
	// A shell knows best what it means; it tells by way of its own environment.
	const end = "--\n"
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", shell+"\necho "+end+"env")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH")}
	out, err := cmd.Output()
	ts.Check(err)
	_, env, _ := strings.Cut(string(out), end)
	for line := range strings.Lines(env) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if name != "PATH" && name != "PWD" && name != "SHLVL" && name != "_" {
			ts.Setenv(name, value)
		}
	}
	for line := range strings.Lines(shell) {
		if names, ok := strings.CutPrefix(line, "unset "); ok {
			for name := range strings.FieldsSeq(names) {
				if ts.Getenv(name) != "" && !strings.Contains(env, "\n"+name+"=") {
					ts.Setenv(name, "")
				}
			}
		}
	}
}

// waitfile FILE [TEXT] waits until FILE is there, and has TEXT in it.
func waitfile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: waitfile FILE [TEXT]")
	}
	deadline := time.After(waitLimit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := has(ts.MkAbs(args[0]), args[1:])
		ts.Check(err)
		if found {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%s did not come", strings.Join(args, " with "))
		}
	}
}

func has(path string, texts []string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if len(texts) == 0 {
		return true, nil
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.Contains(lines.Text(), texts[0]) {
			return true, nil
		}
	}
	return false, nil
}

// TestEveryScriptIsRun fails on a script in a folder, or with a name, that
// [TestScripts] and [TestClients] pass over.
func TestEveryScriptIsRun(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir("testdata", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		folder := filepath.ToSlash(filepath.Dir(path))
		scripts := folder == "testdata/script" || folder == "testdata/clients"
		known := folder == nodeLibraries || folder == goClients || folder == goRclone || folder == probes || folder == "testdata/plans"
		if !(scripts && filepath.Ext(path) == ".txtar") && !known {
			return fmt.Errorf("no test runs %s", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
