package cli

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/ci"
	"github.com/taskiam/taskiam/internal/command"
	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/manifest"
	"github.com/taskiam/taskiam/internal/view"
)

// testEnv is a world without files, clock and signals; what is written to it is in
// the buffers.
func testEnv(vars map[string]string) (e *Env, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	e = &Env{
		Stdin: strings.NewReader(""), Stdout: view.NewStream(stdout), Stderr: view.NewStream(stderr),
		World: app.World{
			Getenv:  func(name string) string { return vars[name] },
			Environ: func() []string { return nil },
			Now:     func() time.Time { return time.Unix(1_800_000_000, 0) },
		},
	}
	e.interrupts = newInterrupts(e, func(error) {})
	return e, stdout, stderr
}

// parsed returns what parse makes of a command line, without running the command.
func parsed[O any](t *testing.T, vars map[string]string, line string, parse func(*cli.Context, func(string) string) (O, error)) (O, error) {
	t.Helper()
	e, _, _ := testEnv(vars)
	app := newApp(e)
	var got O
	var err error
	called := false
	capture := func(c *cli.Context) error {
		called = true
		got, err = parse(c, e.Getenv)
		return nil
	}
	args := append([]string{"taskiam"}, strings.Fields(line)...)
	cmd := app.Command(args[1])
	if len(args) > 2 && cmd.Command(args[2]) != nil {
		cmd = cmd.Command(args[2])
	}
	cmd.Action = capture
	if runErr := app.RunContext(context.Background(), command.Arrange(app, args)); runErr != nil {
		return got, runErr
	}
	if !called {
		t.Fatalf("%q did not reach its command", line)
	}
	return got, err
}

// simply lets parsed test what needs no environment.
func simply[O any](parse func(*cli.Context) (O, error)) func(*cli.Context, func(string) string) (O, error) {
	return func(c *cli.Context, _ func(string) string) (O, error) { return parse(c) }
}

type parseCase[O any] struct {
	line string
	vars map[string]string
	want O
	err  string // part of the message; "" for success
}

func testParse[O any](t *testing.T, parse func(*cli.Context, func(string) string) (O, error), cases []parseCase[O]) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			got, err := parsed(t, c.vars, c.line, parse)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got error %v, want one with %q", err, c.err)
				}
				if !fault.Is(err, fault.Usage) && codeOf(err) != exitRunFailed {
					t.Errorf("a wrong command line is of kind %s", fault.KindOf(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

var buildkiteJob = map[string]string{"CI": "true", "BUILDKITE": "true"}

func TestParseUp(t *testing.T) {
	t.Parallel()
	defaults := func(o upOptions) upOptions {
		if o.readyTimeout == 0 {
			o.readyTimeout = defaultReadyTimeout
		}
		return o
	}
	testParse(t, parseUp, []parseCase[upOptions]{
		{line: "up t.toml", want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml"}})},
		{line: "up t.toml --json --reuse", want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml"}, json: true, reuse: true})},
		{line: "up --out d t.toml -q", want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml"}, out: "d", quiet: true})},
		{line: "up --ready-timeout 1m t.toml", want: upOptions{taskOptions: taskOptions{file: "t.toml"}, readyTimeout: time.Minute}},
		{
			line: "up t.toml --ttl 2m --deliver key,token", vars: map[string]string{envTTL: "3m", envProject: "acme-env"},
			want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml", given: manifest.Settings{
				Project: "acme-env", TTL: 2 * time.Minute, Deliver: []grants.DeliveryKind{"key", "token"},
			}}}),
		},
		{line: "up t.toml --project X", err: "--project: "},
		{line: "up t.toml --ttl=", err: "--ttl: "},
		{line: "up t.toml --max-ttl 1h --ttl 2h", err: "the maximum is 1h"},
		{line: "up t.toml", vars: map[string]string{envTTL: "soon"}, err: "$TASKIAM_TTL: "},
		{line: "up -- -t.toml", want: defaults(upOptions{taskOptions: taskOptions{file: "-t.toml"}})},
		{line: "up t.toml --max-ttl=3h --operator-member user:a@b.c",
			want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml", maxTTL: 3 * time.Hour, member: "user:a@b.c"}})},
		{line: "up t.toml", vars: map[string]string{envMaxTTL: "24h", app.EnvOperatorMember: "user:a@b.c"},
			want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml", maxTTL: 24 * time.Hour, member: "user:a@b.c"}})},
		{line: "up t.toml --max-ttl 2h", vars: map[string]string{envMaxTTL: "24h"},
			want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml", maxTTL: 2 * time.Hour}})},
		{line: "up --no-wait t.toml", want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml"}, noWait: true})},
		{line: "up --no-wait --ready-timeout 1m t.toml", err: "--no-wait and --ready-timeout exclude"},
		{line: "up t.toml --ci", vars: buildkiteJob, want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml", job: &ci.Job{System: ci.Buildkite}}})},
		{line: "up --ci t.toml", vars: buildkiteJob, want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml", job: &ci.Job{System: ci.Buildkite}}})},
		{line: "up --ci gitlab t.toml --dotenv d", want: defaults(upOptions{dotenv: "d", taskOptions: taskOptions{file: "t.toml", job: &ci.Job{System: ci.GitLab}}})},
		{line: "up t.toml --ci=generic", want: defaults(upOptions{taskOptions: taskOptions{file: "t.toml", job: &ci.Job{System: ci.Generic}}})},
		{line: "up --ci t.toml", err: "--ci=generic"},
		{line: "up --ci=jenkins t.toml", err: `not "jenkins"`},
		{line: "up --ci github t.toml", err: "$GITHUB_ENV"},
		{line: "up --ci gitlab --json t.toml", err: "--ci and --json exclude"},
		{line: "up --ci gitlab --reuse t.toml", err: "--ci and --reuse exclude"},
		{line: "up --dotenv d t.toml", err: "--dotenv needs --ci"},
		{line: "up", err: "the manifest is missing"},
		{line: "up a b", err: "one manifest, not 2"},
		{line: "up --nope t.toml", err: "there is no flag --nope"},
		{line: "up t.toml -z", err: "there is no flag -z"},
		{line: "up --ready-timeout -1s t.toml", err: "negative"},
		{line: "up --max-ttl 0s t.toml", err: "must be positive"},
		{line: "up --out", err: "--out needs a value: --out DIR"},
	})
}

func TestParseRun(t *testing.T) {
	t.Parallel()
	options := func(command ...string) runOptions {
		return runOptions{taskOptions: taskOptions{file: "t.toml"}, readyTimeout: defaultReadyTimeout, killAfter: defaultKillAfter, command: command}
	}
	quiet := options("cmd")
	quiet.quiet, quiet.startUnready, quiet.killAfter = true, true, time.Second
	apart, offline := options("cmd"), options("cmd")
	apart.isolate = isolateOptions{how: isolateNet, ro: []string{"a", "b,c"}, rw: []string{"d"}}
	apart.isolate.shown.Environ = credentials.Passed{Names: []string{"KEY"}, Set: []string{"A=x,y=z", "B="}}
	apart.isolate.shown.Logins = []string{"l,m", "n"}
	offline.isolate.how = isolateNoNet
	open := options("cmd")
	open.isolate.shown.Environ.All = true
	testParse(t, parseRun, []parseCase[runOptions]{
		{line: "run t.toml -- cmd", want: options("cmd")},
		{line: "run t.toml -- cmd -q --json -- x", want: options("cmd", "-q", "--json", "--", "x")},
		{line: "run t.toml -- cmd --help", want: options("cmd", "--help")},
		{line: "run t.toml -q --start-unready --kill-after 1s -- cmd", want: quiet},
		{line: "run -q t.toml --start-unready --kill-after 1s -- cmd", want: quiet},
		{line: "run t.toml --inherit-env -- cmd", want: open},
		{line: "run --isolate t.toml --ro a --ro b,c --rw d --show-login l,m --show-login n --env KEY --env A=x,y=z --env B= -- cmd", vars: map[string]string{"KEY": "x"}, want: apart},
		{line: "run t.toml --isolate=nonet -- cmd", want: offline},
		{line: "run t.toml --isolate=false -- cmd", want: options("cmd")},
		{line: "run t.toml --isolate nonet -- cmd", want: offline},
		{line: "run --isolate nonet t.toml -- cmd", want: offline},
		{line: "run t.toml --isolate=most -- cmd", err: "--isolate=nonet"},
		{line: "run t.toml --ro a -- cmd", err: "with --isolate only"},
		{line: "run t.toml --show-login a -- cmd", err: "with --isolate only"},
		{line: "run t.toml --env =x -- cmd", err: "takes the name of a variable"},
		{line: "run t.toml --env KEY -- cmd", err: "not set"},
		{line: "run t.toml --env X=ya29.x -- cmd", err: "never gets"},
		{line: "run t.toml --isolate --env GH_TOKEN -- cmd", vars: map[string]string{"GH_TOKEN": "x"}, err: "never gets"},
		{line: "run t.toml --uid -1 -- cmd", err: "--uid"},
		{line: "run t.toml --uid 0 -- cmd", err: "not root's"},
		{line: "run t.toml --uid 00 -- cmd", err: "not root's"},
		{line: "run --isolate t.toml --uid 0 -- cmd", err: "not root's"},
		{line: "run t.toml", want: options()},
		{line: "run", err: "the manifest is missing"},
		{line: "run t.toml cmd", err: "after --"},
		{line: "run -- cmd", err: "the manifest is missing"},
		{line: "run t.toml --", err: "no command after --"},
		{line: "run a b -- cmd", err: "one manifest, not 2"},
		{line: "run --json t.toml -- cmd", err: "there is no flag --json"},
		{line: "run --kill-after -1s t.toml -- cmd", err: "negative"},
		{line: "run t.toml -- cmd", vars: map[string]string{app.EnvRun: "r"}, err: "inside run r,"},
	})
}

func TestParseOthers(t *testing.T) {
	t.Parallel()
	testParse(t, parseDown, []parseCase[downOptions]{
		{line: "down", want: downOptions{words: []string{}, wait: downWait}},
		{line: "down a b --json", want: downOptions{words: []string{"a", "b"}, wait: downWait, json: true}},
		{line: "down --all --wait 0s", want: downOptions{words: []string{}, all: true}},
		{line: "down --all a", err: "--all cannot"},
		{line: "down --wait -1s", err: "negative"},
		{line: "down --account e --project p", want: downOptions{words: []string{}, wait: downWait, account: "e", project: "p"}},
		{line: "down --account e", err: "need each other"},
		{line: "down --account e --project p r", err: "--account cannot"},
		{line: "down --resource gs://acme-reports", err: "is for --account"},
		{line: "down --ci", vars: buildkiteJob, want: downOptions{words: []string{}, wait: downWait, job: &ci.Job{System: ci.Buildkite}}},
		{line: "down --ci circleci", want: downOptions{words: []string{}, wait: downWait, job: &ci.Job{System: ci.CircleCI}}},
		{line: "down --ci", err: "--ci=generic"},
		{line: "down --ci r", vars: buildkiteJob, err: "takes the id of a run"},
		{line: "down --ci 0123456789abcde", vars: buildkiteJob, want: downOptions{
			words: []string{"0123456789abcde"}, wait: downWait, job: &ci.Job{System: ci.Buildkite}, run: "0123456789abcde"}},
		{line: "down --ci --all", vars: buildkiteJob, want: downOptions{
			words: []string{}, all: true, wait: downWait, job: &ci.Job{System: ci.Buildkite}}},
		{line: "down --ci --dotenv f", vars: buildkiteJob, want: downOptions{
			words: []string{}, wait: downWait, job: &ci.Job{System: ci.Buildkite}, dotenv: "f"}},
		{line: "down --ci --all --dotenv f", vars: buildkiteJob, err: "takes one run, or --all, or --dotenv"},
		{line: "down --ci --all 0123456789abcde", vars: buildkiteJob, err: "takes one run, or --all, or --dotenv"},
		{line: "down --ci --json", vars: buildkiteJob, err: "finds the account itself"},
		{line: "down --dotenv f", err: "--dotenv needs --ci"},
		{line: "down --account e --project p --resource x", err: "--resource"},
	})
	testParse(t, simply(parseSweep), []parseCase[sweepOptions]{
		{line: "sweep", want: sweepOptions{files: []string{}, olderThan: time.Hour}},
		{line: "sweep --project a --project b t.toml -n --json", want: sweepOptions{
			projects: []string{"a", "b"}, files: []string{"t.toml"}, olderThan: time.Hour, dryRun: true, json: true}},
		{line: "sweep --older-than 0s -q", want: sweepOptions{files: []string{}, quiet: true}},
		{line: "sweep --older-than -1s", err: "negative"},
		{line: "sweep --resource nonsense", err: "--resource"},
	})
	testParse(t, simply(parseReceipt), []parseCase[receiptOptions]{
		{line: "receipt r --json", want: receiptOptions{word: "r", json: true}},
		{line: "receipt", err: "the run is missing"},
		{line: "receipt a b", err: "one run, not 2"},
	})
	testParse(t, parseEnv, []parseCase[envOptions]{
		{line: "env", want: envOptions{format: "shell"}},
		{line: "env r -f json", want: envOptions{word: "r", format: "json"}},
		{line: "env --unset", vars: map[string]string{app.EnvRun: "r"}, want: envOptions{word: "r", format: "shell", unset: true}},
		{line: "env --unset", err: "not inside a run"},
		{line: "env --unset r -f json", err: "shell, fish or powershell"},
		{line: "env a b", err: "one run, not 2"},
		{line: "env -f yaml", err: "dotenv or json"},
	})
	testParse(t, simply(parseEmulator), []parseCase[emulatorOptions]{
		{line: "emulator", want: emulatorOptions{addr: "127.0.0.1:8790"}},
		{line: "emulator --addr [::1]:0 --rtt 50ms --log -", want: emulatorOptions{addr: "[::1]:0", rtt: 50 * time.Millisecond, log: "-"}},
		{line: "emulator --addr localhost:1 --seed s --data d", want: emulatorOptions{addr: "localhost:1", seed: "s", data: "d"}},
		{line: "emulator --addr :8790", err: "only on loopback"},
		{line: "emulator --addr 192.0.2.1:1", err: "only on loopback"},
		{line: "emulator --addr 127.0.0.1", err: "HOST:PORT"},
		{line: "emulator --rtt -1s", err: "negative"},
		{line: "emulator --addr 0.0.0.0:1 --allow-remote", want: emulatorOptions{addr: "0.0.0.0:1", remote: true}},
		{
			line: `emulator --lag grant=1m --lag key=1s..2s --lag seed=7 --quota google --quota iam_writes=3 --fault {"do":"reset","nth":2,"after":true}`,
			want: emulatorOptions{addr: "127.0.0.1:8790", trouble: emulatorTrouble{
				lag:    emulator.Lag{Seed: 7, Grant: emulator.Delay{Min: time.Minute}, Key: emulator.Delay{Min: time.Second, Max: 2 * time.Second}},
				quotas: emulator.Quotas{IAMWrites: 3, BucketUpdates: 1, DatasetUpdates: 5},
				faults: []emulator.Fault{{Do: emulator.FaultReset, Nth: 2, After: true}},
			}},
		},
		{line: "emulator --lag soon=1s", err: "setting lag soon"},
		{line: "emulator --quota iam_writes", err: "no number of calls"},
		{line: `emulator --fault {"do":"explode"}`, err: "there is no fault"},
		{line: `emulator --fault {"doo":"reset"}`, err: "reading the fault"},
	})
	testParse(t, simply(parseEmulatorAdvance), []parseCase[emulatorAdvanceOptions]{
		{line: "emulator advance 90m", want: emulatorAdvanceOptions{by: 90 * time.Minute, wait: 3 * time.Second}},
		{line: "emulator advance", err: "duration is missing"},
		{line: "emulator advance soon", err: "not a duration"},
		{line: "emulator advance -- -5m", err: "not a duration"},
	})
	testParse(t, simply(parseInit), []parseCase[initOptions]{
		{line: "init", want: initOptions{file: "task.toml"}},
		{line: "init a.toml --name n --project my-p-1", want: initOptions{file: "a.toml", name: "n", project: "my-p-1"}},
		{line: "init a b", err: "one file"},
		{line: "init --project X", err: "--project"},
	})
	testParse(t, parsePlan, []parseCase[planOptions]{
		{line: "plan t.toml --json", want: planOptions{taskOptions: taskOptions{file: "t.toml"}, json: true}},
		{line: "plan", err: "the manifest is missing"},
	})
	testParse(t, simply(parseStatus), []parseCase[statusOptions]{
		{line: "ls -a", want: statusOptions{words: []string{}, all: true}},
		{line: "status a --json", want: statusOptions{words: []string{"a"}, json: true}},
	})
	testParse(t, simply(parseToken), []parseCase[tokenOptions]{
		{line: "token r --show", want: tokenOptions{word: "r", show: true}},
		{line: "token a b", err: "one run"},
	})
	testParse(t, simply(parseCompletion), []parseCase[completionOptions]{
		{line: "completion zsh", want: completionOptions{shell: "zsh"}},
		{line: "completion", err: "bash, zsh or fish"},
		{line: "completion csh", err: "bash, zsh or fish"},
	})
}

func TestParseEmulatorEnv(t *testing.T) {
	t.Parallel()
	testParse(t, simply(parseEmulatorEnv), []parseCase[emulatorEnvOptions]{
		{line: "emulator env", want: emulatorEnvOptions{client: "taskiam", wait: 3 * time.Second}},
		{line: "emulator env --for gcloud --wait 0s", want: emulatorEnvOptions{client: "gcloud"}},
		{line: "emulator env --for SDK", err: "taskiam, gcloud, sdk or proxy"},
		{line: "emulator env x", err: "no argument"},
	})
}

func TestArrange(t *testing.T) {
	t.Parallel()
	e, _, _ := testEnv(nil)
	app := newApp(e)
	for line, want := range map[string]string{
		"taskiam":                          "taskiam",
		"taskiam up":                       "taskiam up",
		"taskiam nope --x":                 "taskiam nope --x",
		"taskiam up f --json":              "taskiam up --json -- f",
		"taskiam up --out d f":             "taskiam up --out d -- f",
		"taskiam up f --out d":             "taskiam up --out d -- f",
		"taskiam up f --out=d":             "taskiam up --out=d -- f",
		"taskiam up f --nope x":            "taskiam up --nope -- f x",
		"taskiam up -":                     "taskiam up -- -",
		"taskiam up --out":                 "taskiam up --out",
		"taskiam run f -q -- c -q":         "taskiam run -q -- f -- c -q",
		"taskiam run -- c":                 "taskiam run -- -- c",
		"taskiam emulator env --wait 1s":   "taskiam emulator env --wait 1s",
		"taskiam emulator --rtt 1ms env":   "taskiam emulator --rtt 1ms -- env",
		"taskiam --help":                   "taskiam help",
		"taskiam -h up":                    "taskiam help",
		"taskiam up --help":                "taskiam help up",
		"taskiam up f -h":                  "taskiam help up",
		"taskiam up --out -h":              "taskiam up --out -h",
		"taskiam emulator env --help":      "taskiam help emulator env",
		"taskiam run f -- c -h":            "taskiam run -- f -- c -h",
		"taskiam __complete up --help":     "taskiam __complete up --help",
		"taskiam __complete run f -- --js": "taskiam __complete run f -- --js",
	} {
		if d := cmp.Diff(strings.Fields(want), command.Arrange(app, strings.Fields(line))); d != "" {
			t.Errorf("%s (-want +got):\n%s", line, d)
		}
	}
}

// TestEveryCommandIsHardened walks the tree: what harden promises has to hold for
// commands that are yet to come.
func TestEveryCommandIsHardened(t *testing.T) {
	t.Parallel()
	e, _, _ := testEnv(nil)
	app := newApp(e)
	seen := 0
	var walk func([]*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, c := range commands {
			seen++
			if c.Action == nil || c.OnUsageError == nil || !c.HideHelp || !c.HideHelpCommand {
				t.Errorf("%s is not hardened", c.HelpName)
			}
			for _, f := range c.Flags {
				if r, ok := f.(cli.RequiredFlag); ok && r.IsRequired() {
					t.Errorf("%s: flag %v is required by the library, which prints help to standard output", c.HelpName, f.Names())
				}
				if doc, ok := f.(cli.DocGenerationFlag); !ok || doc.GetUsage() == "" || len(doc.GetEnvVars()) > 0 {
					t.Errorf("%s: flag %v has no usage text, or reads the environment behind our back", c.HelpName, f.Names())
				} else if u := doc.GetUsage(); strings.HasSuffix(u, ".") {
					t.Errorf("%s: the usage of flag %v ends with a full stop", c.HelpName, f.Names())
				}
			}
			if !c.Hidden && (c.Usage == "" || !strings.Contains(c.UsageText, "taskiam")) {
				t.Errorf("%s has no usage line or no example", c.HelpName)
			}
			walk(c.Subcommands)
		}
	}
	walk(app.Commands)
	if seen < 15 {
		t.Errorf("only %d commands were found", seen)
	}
}

// TestHelpFits: on a terminal of 80 columns no line of help is broken.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	e, _, _ := testEnv(nil)
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		out := &strings.Builder{}
		e.Stdout = view.NewStream(out)
		if err := runHelp(t.Context(), e, newApp(e), path); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("help %s has a line of %d characters: %s", strings.Join(path, " "), n, line)
			}
		}
		for _, c := range visible(commands) {
			walk(append(slices.Clone(path), c.Name), c.Subcommands)
		}
	}
	walk(nil, newApp(e).Commands)
}

func TestHelpPutsTheExampleFirst(t *testing.T) {
	t.Parallel()
	e, stdout, stderr := testEnv(nil)
	app := newApp(e)
	if err := app.RunContext(t.Context(), command.Arrange(app, []string{"taskiam", "up", "--help"})); err != nil {
		t.Fatal(err)
	}
	text := stdout.String()
	order := []string{"taskiam up:", "Example:", "Usage:", "Flags:", "--ready-timeout DURATION", "--help, -h"}
	var at []int
	for _, s := range order {
		at = append(at, strings.Index(text, s))
	}
	if slices.Contains(at, -1) || !slices.IsSorted(at) {
		t.Errorf("help does not have %q in this order:\n%s", order, text)
	}
	if stderr.Len() > 0 {
		t.Errorf("help talks on standard error: %s", stderr)
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	e, _, _ := testEnv(nil)
	app := newApp(e)
	runs := func() [][2]string { return [][2]string{{"r1", "run of t"}, {"r2", "run of t"}, {"t", "task"}} }
	for line, want := range map[string][]string{
		"em":                   {"emulator"},
		"emulator s":           {"status", "snapshot", "stop"},
		"status --al":          {"--all"},
		"down r":               {"r1", "r2", fileCandidates},
		"down --all r":         {"r1", "r2", fileCandidates},
		"env --format d":       {"direnv", "dotenv"},
		"env -f po":            {"powershell"},
		"emulator env --for g": {"gcloud"},
		"run --isolate":        {"--isolate", "--isolate=nonet"},
		"up --ci=git":          {"--ci=github", "--ci=gitlab"},
		"down t":               {"t", fileCandidates},
		"up --out d":           {fileCandidates},
		"plan x":               {fileCandidates},
		"run f -- x":           {fileCandidates},
		"completion f":         {"fish"},
		"help comp":            {"completion"},
		"version x":            nil,
		"version x y":          nil,
		"token --show --json":  {"--json"},
	} {
		var got []string
		for _, c := range candidates(app, runs, strings.Fields(line)) {
			word, _, _ := strings.Cut(c, "\t")
			got = append(got, word)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", line, d)
		}
	}
	if got := candidates(app, runs, nil); len(got) < 10 {
		t.Errorf("nothing typed has the candidates %q", got)
	}
}
