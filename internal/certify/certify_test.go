package certify

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskiam/taskiam/emulator"
	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/internal/app"
	"github.com/taskiam/taskiam/internal/fault"
)

const (
	project  = "empty-project-7"
	number   = "301234567890"
	operator = "olivia@example.com"
)

// seed is a company whose operator may do everything, and a project with nothing in it.
const seed = `
[operator]
member = "user:` + operator + `"

[organization]
number = "200000000002"
domain = "example.com"

[[organization.binding]]
role    = "roles/owner"
members = ["user:` + operator + `"]

[[organization.binding]]
role    = "roles/iam.securityAdmin"
members = ["user:` + operator + `"]

[[project]]
id            = "` + project + `"
number        = "` + number + `"
parent        = "organizations/200000000002"
account_quota = 45
`

// noUploads has an organization policy against uploaded keys.
var noUploads = strings.Replace(seed, "account_quota", "constraints   = [\"iam.disableServiceAccountKeyUpload\"]\naccount_quota", 1)

// bench is an emulator, and a certification that is about to begin in it.
type bench struct {
	*emulator.Server
	cfg Config
}

func newBench(t *testing.T, seed string, doubts *emulator.Doubts, only ...string) *bench {
	t.Helper()
	dir := t.TempDir()
	env := map[string]string{app.EnvStateHome: filepath.Join(dir, "state"), app.EnvCacheHome: filepath.Join(dir, "cache")}
	a := &app.App{
		World: app.World{
			Getenv:  func(name string) string { return env[name] },
			Environ: func() []string { return nil }, Setenv: func(string, string) error { return nil },
			Now: time.Now, Random: rand.Reader,
		},
		Warn: func(string, ...any) {},
	}
	home, err := a.EmulatorHome()
	if err != nil {
		t.Fatal(err)
	}
	server, err := emulator.New(emulator.Config{Seed: []byte(seed), Doubts: doubts, Dir: home.Dir})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, listener) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, server.Close()); err != nil {
			t.Error(err)
		}
	})
	env[app.EnvEmulatorHost] = listener.Addr().String()
	env[app.EnvEmulatorToken], env[app.EnvEmulatorCA] = home.TokenFile(), home.CAFile()
	return &bench{server, Config{App: a, Project: project, Only: only, Wait: func(ctx context.Context, d time.Duration) error {
		server.Advance(d)
		return ctx.Err()
	}}}
}

// state is everything in the emulator that a certification could change.
func (b *bench) state(t *testing.T) string {
	t.Helper()
	s, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}

func (b *bench) certify(t *testing.T) (*Report, error) {
	t.Helper()
	s, err := Look(t.Context(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s.Certify(t.Context())
}

func (r *Report) finding(name string) Finding {
	for _, f := range r.Doubts {
		if f.Switch == name {
			return f
		}
	}
	return Finding{}
}

// With every doubt as the emulator has it, every probe says so, and nothing is left or betrayed.
func TestCertify(t *testing.T) {
	t.Parallel()
	b := newBench(t, seed, nil)
	before := b.state(t)
	r, err := b.certify(t)
	if err != nil {
		t.Error(err)
	}
	if after := b.state(t); after != before {
		t.Errorf("the project is not as before:\n%s\nwas:\n%s", after, before)
	}
	for _, s := range r.Run {
		if !s.OK {
			t.Errorf("%s: %s", s.What, s.Saw)
		}
	}
	if len(r.Run) != 3 || len(r.Doubts) != len(doubts) || len(r.Left) > 0 {
		t.Errorf("%d steps, %d doubts of %d, left: %q", len(r.Run), len(r.Doubts), len(doubts), r.Left)
	}
	for _, f := range r.Doubts {
		want := sideDefault
		if f.try == nil || f.Switch == "upload_refusal_bare" { // nothing refuses an upload here
			want = sideUntried
		}
		if f.Side != want || f.Saw == "" || f.Set != "" {
			t.Errorf("%s: %s (%s, set %q), want %s", f.Switch, f.Side, f.Saw, f.Set, want)
		}
	}
	checkWritten(t, r)
}

// checkWritten writes a report and looks for what must not be in it.
func checkWritten(t *testing.T, r *Report) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "report")
	written, err := r.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	never := regexp.MustCompile(`ya29|PRIVATE KEY|BEGIN|eyJ|[0-9]{12}|[0-9a-f]{40}|` + project + `|` + operator)
	for _, path := range written {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if m := never.FindString(string(raw)); m != "" {
			t.Errorf("%s holds %q:\n%s", path, m, raw)
		}
	}
	known, err := evidence.Read(filepath.Join(dir, "evidence"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range known {
		if known[i].Grade != "D" {
			t.Errorf("%s: what an emulator answered has grade %s", known[i].ID, known[i].Grade)
		}
		_, rest, _ := strings.Cut(known[i].ID, "/")
		known[i].ID, known[i].Recorded = "certified/"+rest, ""
	}
	files, err := evidence.Files(known)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		path := filepath.Join(golden, name)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what a certification of the emulator records (-update; %v):\n%s", path, err, want)
		}
	}
}

// golden is the evidence of a certification of the emulator. The emulator replays it.
const golden = "../../emulator/testdata/certified"

var update = flag.Bool("update", false, "write the evidence in "+golden+" anew")

// Each probe can fail: with its switch thrown it says the other side.
func TestCertifyFindsEachSwitch(t *testing.T) {
	t.Parallel()
	for _, d := range doubts {
		if d.try == nil {
			continue
		}
		t.Run(d.Switch, func(t *testing.T) {
			t.Parallel()
			company, set := seed, d.Switch+" = true"
			var thrown emulator.Doubts
			switch f := field(&thrown, d.Switch); f.Kind() {
			case reflect.Bool:
				f.SetBool(true)
			default:
				f.SetInt(7)
				set = d.Switch + " = 10" // the first look that sees it
			}
			if d.Switch == "upload_refusal_bare" {
				company = noUploads
			}
			b := newBench(t, company, &thrown, d.Switch)
			before := b.state(t)
			r, err := b.certify(t)
			if f := r.finding(d.Switch); err != nil || f.Side != sideSwitch || f.Set != set {
				t.Errorf("%s (%s), set %q: %v", f.Side, f.Saw, f.Set, err)
			}
			if after := b.state(t); after != before {
				t.Errorf("the project is not as before:\n%s\nwas:\n%s", after, before)
			}
		})
	}
	t.Run("an upload that is refused", func(t *testing.T) {
		t.Parallel()
		r, err := newBench(t, noUploads, nil, "upload_refusal_bare").certify(t)
		if f := r.finding("upload_refusal_bare"); err != nil || f.Side != sideDefault {
			t.Errorf("%s (%s): %v", f.Side, f.Saw, err)
		}
	})
}

// field is the field of a switch.
func field(d *emulator.Doubts, name string) reflect.Value {
	v := reflect.ValueOf(d).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("toml") == name {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// There is a line for each switch, tried or with the reason why not.
func TestEveryDoubtIsHere(t *testing.T) {
	t.Parallel()
	var here, there []string
	for _, d := range doubts {
		here = append(here, d.Switch)
		if (d.try == nil) == (d.Why == "") || d.Question == "" {
			t.Errorf("%s is neither tried nor left alone for a reason: %+v", d.Switch, d)
		}
	}
	of := reflect.TypeFor[emulator.Doubts]()
	for i := range of.NumField() {
		there = append(there, of.Field(i).Tag.Get("toml"))
	}
	slices.Sort(here)
	slices.Sort(there)
	if !slices.Equal(here, there) {
		t.Errorf("here %q, in the emulator %q", here, there)
	}
}

// What is there could be hurt: a project that is not empty is refused, and not changed.
func TestRefusesAProjectThatIsNotEmpty(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{
		"service account build-farm": "\n[[service_account]]\nproject = \"" + project + "\"\nid = \"build-farm\"\n",
		"bucket reports":             "\n[[bucket]]\nname = \"reports\"\nproject = \"" + project + "\"\nlocation = \"US\"\n",
		"topic news":                 "\n[[topic]]\nproject = \"" + project + "\"\nname = \"news\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, seed+more, nil)
			before := b.state(t)
			_, err := Look(t.Context(), b.cfg)
			if !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), name) {
				t.Errorf("%v, want a refusal for %s", err, name)
			}
			if b.state(t) != before {
				t.Error("it was changed")
			}
		})
	}
	weak := newBench(t, strings.ReplaceAll(seed, "roles/iam.securityAdmin", "roles/iam.securityReviewer"), nil)
	if _, err := Look(t.Context(), weak.cfg); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "storage.buckets.setIamPolicy") {
		t.Errorf("an operator who could not empty a bucket: %v", err)
	}
	b := newBench(t, seed, nil, "no_such_doubt")
	if _, err := Look(t.Context(), b.cfg); !fault.Is(err, fault.Usage) {
		t.Errorf("a doubt that is not there: %v", err)
	}
}

// Whoever interrupts it finds the project as it was.
func TestInterruptedLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, seed, nil)
	before := b.state(t)
	s, err := Look(t.Context(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.cfg.Say = func(format string, args ...any) {
		if len(args) > 0 && args[0] == "key_limit_exhausted" {
			cancel()
		}
	}
	r, err := s.Certify(ctx)
	if err == nil || fault.Is(err, fault.Incomplete) {
		t.Errorf("interrupted: %v", err)
	}
	if f := r.finding("alias_resolved"); f.Side != sideOpen {
		t.Errorf("what was not begun is %s", f.Side)
	}
	if after := b.state(t); after != before {
		t.Errorf("the project is not as before:\n%s", after)
	}
}

// What cannot be taken away is named, and the next certification takes it away first.
func TestWhatIsLeftIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t, seed, nil, "legacy_role_conditions")
	before := b.state(t)
	name, err := b.AddFault(emulator.Fault{Method: "storage.buckets.delete", Do: emulator.FaultAnswer, Code: 403})
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.certify(t)
	if !fault.Is(err, fault.Incomplete) || len(r.Left) != 1 || !strings.HasPrefix(r.Left[0], "bucket taskiam-certify-") {
		t.Errorf("left %q: %v", r.Left, err)
	}
	if len(fault.Hints(err)) == 0 {
		t.Error("nobody says what to do about it")
	}
	b.RemoveFault(name)
	s, err := Look(t.Context(), b.cfg)
	if err != nil || len(s.Old) != 1 {
		t.Fatalf("the next one finds %q: %v", s.Old, err)
	}
	if _, err := s.Certify(t.Context()); err != nil {
		t.Error(err)
	}
	if after := b.state(t); after != before {
		t.Errorf("the project is not as before:\n%s", after)
	}
}

// What did not go at the first try goes at the next, and is then not left.
func TestTakesAwayOnceMore(t *testing.T) {
	t.Parallel()
	b := newBench(t, seed, nil, "legacy_role_conditions")
	before := b.state(t)
	if _, err := b.AddFault(emulator.Fault{Method: "storage.buckets.delete", Do: emulator.FaultAnswer, Code: 403, Count: 1}); err != nil {
		t.Fatal(err)
	}
	r, err := b.certify(t)
	if err != nil || len(r.Left) > 0 {
		t.Errorf("left %q: %v", r.Left, err)
	}
	if after := b.state(t); after != before {
		t.Errorf("the project is not as before:\n%s", after)
	}
}

// An error in a probe is no verdict.
func TestAnErrorDecidesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, seed, nil, "role_patch_partial")
	if _, err := b.AddFault(emulator.Fault{Method: "iam.projects.roles.patch", Do: emulator.FaultAnswer, Code: 403}); err != nil {
		t.Fatal(err)
	}
	r, err := b.certify(t)
	if f := r.finding("role_patch_partial"); err == nil || f.Side != sideOpen {
		t.Errorf("%s: %v", f.Side, err)
	}
	if f := r.finding("role_patch_partial"); !strings.Contains(f.Saw, "changing the title of a custom role: PATCH") || !strings.Contains(f.Saw, "403") {
		t.Errorf("it does not say what was done and answered: %s", f.Saw)
	}
}

// Nothing is written that has a name of the project or a secret in it.
func TestNothingIsBetrayed(t *testing.T) {
	t.Parallel()
	for name, saw := range map[string]string{
		"a token": "the answer was ya29.abc", "a key": "-----BEGIN PRIVATE KEY-----", "a JWT": "eyJhbGciOiJSUzI1NiJ9",
	} {
		r := &Report{Doubts: []Finding{{Saw: saw}}, names: map[string]string{project: "{project}"}}
		dir := filepath.Join(t.TempDir(), "report")
		if written, err := r.Write(dir); err == nil || len(written) > 0 {
			t.Errorf("%s: wrote %q", name, written)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s: a folder is there: %v", name, err)
		}
	}
	r := &Report{Left: []string{"bucket b of " + project + " and " + number}, names: map[string]string{project: "{project}", number: "{project-number}"}}
	dir := filepath.Join(t.TempDir(), "report")
	written, err := r.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(written[0])
	if err != nil || !strings.Contains(string(raw), "bucket b of {project} and {project-number}") {
		t.Errorf("%s, %v", raw, err)
	}
}
