package credentials_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/credentials"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/secret"
)

const run = grants.RunID("0123456789abcde")

var expires = time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)

func newDelivery(t *testing.T, dir string, kind grants.DeliveryKind) delivery.Delivery {
	t.Helper()
	d := delivery.Delivery{Dir: dir, Run: run, Task: "nightly-report", Account: account, Expires: expires, Kind: kind}
	switch k := delivery.Of(kind); {
	case k.Upkeep == delivery.Serve:
		d.Metadata, d.External = "127.0.0.1:4711", `{"type":"external_account"}`
	case !k.MakesKey:
		d.Token.Value = secret.New("ya29.the-runs-token\n")
	default:
		d.Key = keyFile(t)
	}
	return d
}

func deliver(t *testing.T, dir string, kind grants.DeliveryKind) delivery.Delivery {
	t.Helper()
	d := newDelivery(t, dir, kind)
	if err := delivered(d); err != nil {
		t.Fatal(err)
	}
	return d
}

// delivered writes a delivery and lets go of its folder.
func delivered(d delivery.Delivery) error {
	folder, err := credentials.Deliver(d)
	if err != nil {
		return err
	}
	return folder.Close()
}

// removed removes a delivery of which nothing but its path is known.
func removed(dir string, run grants.RunID) error {
	_, err := credentials.Remove(dir, run, "")
	return err
}

// kinds are the names of all of them.
var kinds = func() (names []grants.DeliveryKind) {
	for _, k := range delivery.Kinds() {
		names = append(names, k.Name)
	}
	return names
}()

// paths returns everything that a delivery consists of, the folder first.
func paths(d delivery.Delivery) []string {
	out := []string{d.Dir}
	for _, name := range []string{"gcloud", "env.json", "README.txt", "env"} {
		out = append(out, filepath.Join(d.Dir, name))
	}
	for _, f := range d.Files() {
		out = append(out, filepath.Join(d.Dir, f.Name))
	}
	return out
}

// replaceToken puts a newer token into a delivery.
func replaceToken(d delivery.Delivery, text string) error {
	d.Token.Value = secret.New(text)
	return credentials.ReplaceToken(d)
}

// tree returns what is under dir: for each file its text, for each folder "/", for
// each link "-> target".
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		switch {
		case e.IsDir():
			out[name] = "/"
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			out[name] = "-> " + target
			return err
		default:
			b, err := os.ReadFile(path)
			out[name] = string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestDeliveryIsPrivateWhateverTheUmask(t *testing.T) {
	// Not parallel: the umask is the process's.
	for _, umask := range []int{0, 0o027, 0o277} {
		for _, kind := range kinds {
			dir := filepath.Join(t.TempDir(), "state", "d")
			if umask == 0o277 {
				if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil { // parents are not ours to repair
					t.Fatal(err)
				}
			}
			old := syscall.Umask(umask)
			err := delivered(newDelivery(t, dir, kind))
			syscall.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			for path := range tree(t, dir) {
				info, err := os.Lstat(filepath.Join(dir, path))
				if err != nil {
					t.Fatal(err)
				}
				want := fs.FileMode(0o600)
				if info.IsDir() {
					want = 0o700
				}
				if got := info.Mode().Perm(); got != want {
					t.Errorf("umask %04o: %s of a %s has mode %04o, want %04o", umask, path, kind, got, want)
				}
			}
			if info, err := os.Stat(filepath.Dir(dir)); err != nil || umask != 0o277 && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("the folder made around it has mode %v, %v", info.Mode(), err)
			}
		}
	}
}

func TestWhatIsDelivered(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		d := deliver(t, filepath.Join(t.TempDir(), "d"), kind)
		got := tree(t, d.Dir)
		var names, want []string
		for name := range got {
			names = append(names, filepath.Join(d.Dir, name))
		}
		want = paths(d)
		slices.Sort(names)
		slices.Sort(want)
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s: announced and delivered:\n%s", kind, diff)
		}
		if kind == delivery.Token && got["token"] != "ya29.the-runs-token" {
			t.Errorf("token file: %q", got["token"])
		}
		if kind == delivery.Key && got["key.json"] != keyFile(t).Reveal() {
			t.Error("the key file is not the one that was given")
		}
		// The credential is in the files alone that are marked as secret.
		secrets := map[string]bool{}
		for _, f := range d.Files() {
			secrets[f.Name] = f.Secret
		}
		for name, text := range got {
			if !secrets[name] && (strings.Contains(text, "the-runs-token") || strings.Contains(text, "PRIVATE KEY")) {
				t.Errorf("%s: the credential is in %s too", kind, name)
			}
		}
		lines := strings.Split(strings.TrimSuffix(got["README.txt"], "\n"), "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], account.Email) || !strings.Contains(lines[2], "2026-03-01T13:00:00Z") {
			t.Errorf("README.txt:\n%s", got["README.txt"])
		}
		var env struct {
			Schema, Run, Task, Account, Project string
			Expires                             time.Time
			Env                                 map[string]string
		}
		if err := json.Unmarshal([]byte(got["env.json"]), &env); err != nil {
			t.Fatal(err)
		}
		if env.Schema != "taskiam.env/v1" || env.Run != string(run) || !env.Expires.Equal(expires) || env.Env["CLOUDSDK_CONFIG"] != d.Dir+"/gcloud" {
			t.Errorf("env.json: %+v", env)
		}
		if err := removed(d.Dir, run); err != nil || exists(d.Dir) {
			t.Errorf("removing it: %v", err)
		}
		if err := removed(d.Dir, run); err != nil {
			t.Errorf("removing it again: %v", err)
		}
	}
}

func TestDeliverRefusesWhatIsNotAnEmptyFolderOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, want string
		make       func(dir string) error
	}{
		{"a folder with something in it", `it has "mine"`, func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "mine"), []byte("x"), 0o600))
		}},
		{"a file", "is not a folder", func(dir string) error { return os.WriteFile(dir, []byte("x"), 0o600) }},
		{"a link to an empty folder", "is a symbolic link", func(dir string) error {
			return errors.Join(os.Mkdir(dir+".real", 0o700), os.Symlink(dir+".real", dir))
		}},
		{"a link to nothing", "is a symbolic link", func(dir string) error { return os.Symlink(dir+".none", dir) }},
	} {
		for _, kind := range kinds {
			parent := t.TempDir()
			dir := filepath.Join(parent, "d")
			if err := test.make(dir); err != nil {
				t.Fatal(err)
			}
			before := tree(t, parent)
			err := delivered(newDelivery(t, dir, kind))
			if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %q", test.name, err, test.want)
			}
			if diff := cmp.Diff(before, tree(t, parent)); diff != "" {
				t.Errorf("%s was changed:\n%s", test.name, diff)
			}
		}
	}

	d := newDelivery(t, "relative", delivery.Key)
	if err := delivered(d); !fault.Is(err, fault.Usage) || exists("relative") {
		t.Errorf("a relative path: %v", err)
	}
	d = newDelivery(t, filepath.Join(t.TempDir(), "d"), delivery.Token)
	d.Token = grants.Token{}
	if err := delivered(d); err == nil || exists(d.Dir) {
		t.Errorf("no token: %v", err)
	}
	d = newDelivery(t, filepath.Join(t.TempDir(), "two\nlines"), delivery.Token)
	if err := delivered(d); !fault.Is(err, fault.Usage) || exists(d.Dir) {
		t.Errorf("a path that env --format dotenv could not write: %v", err)
	}
}

func TestDeliverTakesAnEmptyFolderAndClosesIt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	deliver(t, dir, delivery.Token)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestAFolderOfAnotherUsersIsNeitherFilledNorEmptied(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a folder that is another user's")
	}
	dir := filepath.Join(t.TempDir(), "d")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"filled":  delivered(newDelivery(t, dir, delivery.Token)),
		"emptied": removed(dir, run),
	} {
		if err == nil || !strings.Contains(err.Error(), "it belongs to user 65534") {
			t.Errorf("it was %s: %v", name, err)
		}
	}
	if diff := cmp.Diff(map[string]string{"": "/"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestRemoveTakesNothingThatIsNotTheRuns(t *testing.T) {
	t.Parallel()
	other := grants.RunID("vvvvvvvvvvvvvvv")
	for _, test := range []struct {
		name, want string
		make       func(t *testing.T, dir string)
	}{
		{"another run's delivery", "it is not the delivery of run", func(t *testing.T, dir string) {
			d := newDelivery(t, dir, delivery.Key)
			d.Run = other
			if err := delivered(d); err != nil {
				t.Fatal(err)
			}
		}},
		{"somebody's folder", "it is not the delivery of run", func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("x"), 0o600))
		}},
		{"somebody's folder with an env.json", "it is not the delivery of run", func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "env.json"), []byte(`{"run":"`+run+`"}`), 0o600))
		}},
		{"a link to the run's delivery", "is a symbolic link", func(t *testing.T, dir string) {
			deliver(t, dir+".real", delivery.Token)
			must(t, os.Symlink(dir+".real", dir))
		}},
		{"a file", "is not a folder", func(t *testing.T, dir string) { must(t, os.WriteFile(dir, []byte("x"), 0o600)) }},
		{"a folder whose marker is a link to the run's", "it is not the delivery of run", func(t *testing.T, dir string) {
			deliver(t, dir+".real", delivery.Token)
			must(t, os.Mkdir(dir, 0o700), os.Symlink(dir+".real/env.json", filepath.Join(dir, "env.json")))
		}},
		{"a folder whose marker is a pipe", "it is not the delivery of run", func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir, 0o700), syscall.Mkfifo(filepath.Join(dir, "env.json"), 0o600))
		}},
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "d")
		test.make(t, dir)
		before := names(t, parent)
		for verb, act := range map[string]func() error{
			"removed":  func() error { return removed(dir, run) },
			"rewrote":  func() error { return replaceToken(newDelivery(t, dir, delivery.Token), "x") },
			"was read": func() error { _, err := credentials.ReadKey(delivery.Delivery{Dir: dir, Run: run}); return err },
		} {
			if err := act(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s %s: %v, want %q", test.name, verb, err, test.want)
			}
		}
		if diff := cmp.Diff(before, names(t, parent)); diff != "" {
			t.Errorf("%s was changed:\n%s", test.name, diff)
		}
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		out = append(out, path)
		return err
	}))
	return out
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestRemoveDoesNotFollowLinksOut(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.MkdirAll(filepath.Join(outside, "deep"), 0o700), os.WriteFile(filepath.Join(outside, "deep", "precious"), []byte("x"), 0o600))
	before := tree(t, outside)

	d := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Key)
	in := func(name string) string { return filepath.Join(d.Dir, name) }
	must(t,
		os.RemoveAll(in("gcloud")), os.Symlink(outside, in("gcloud")),
		os.Remove(in("key.json")), os.Symlink(filepath.Join(outside, "deep", "precious"), in("key.json")),
		os.MkdirAll(in("made/by/the/command"), 0o700), os.Symlink("../../../../outside", in("made/by/out")),
		os.WriteFile(in("made/copy-of-the-key"), []byte("x"), 0o600),
	)
	if err := removed(d.Dir, run); err != nil || exists(d.Dir) {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(before, tree(t, outside)); diff != "" {
		t.Errorf("what the links pointed to was changed:\n%s", diff)
	}
}

func TestReplaceTokenDoesNotWriteThroughALink(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "precious")
	must(t, os.WriteFile(outside, []byte("x"), 0o600))
	d := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Token)
	must(t, os.Remove(delivery.TokenPath(d.Dir)), os.Symlink(outside, delivery.TokenPath(d.Dir)),
		os.Symlink(outside, filepath.Join(d.Dir, "."+string(run)+".token")))
	must(t, replaceToken(d, "second"))
	if b, err := os.ReadFile(outside); err != nil || string(b) != "x" {
		t.Errorf("the token went through the link: %q, %v", b, err)
	}
	if got := tree(t, d.Dir)["token"]; got != "second" {
		t.Errorf("token: %q", got)
	}
}

// A renewed delivery says the new end, and has the new key where there is one. What else
// is in it stays, and nothing is written through a link.
func TestRenew(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		d := deliver(t, filepath.Join(t.TempDir(), "d"), kind)
		before := tree(t, d.Dir)
		outside := filepath.Join(t.TempDir(), "precious")
		must(t, os.WriteFile(outside, []byte("x"), 0o600), os.Remove(filepath.Join(d.Dir, "README.txt")),
			os.Symlink(outside, filepath.Join(d.Dir, "README.txt")))
		d.Expires = d.Expires.Add(3 * time.Hour)
		d.Token = grants.Token{}
		want := d.Key.Reveal()
		if kind == delivery.Key {
			want = `{"private_key_id":"second"}`
			d.Key = secret.New(want)
		}
		must(t, credentials.Renew(d))
		after := tree(t, d.Dir)
		end := d.Expires.UTC().Format(time.RFC3339)
		for name, text := range after {
			switch name {
			case "env.json", "README.txt":
				if !strings.Contains(text, end) || strings.Contains(before[name], end) {
					t.Errorf("%s: %s says\n%s", kind, name, text)
				}
			case "key.json":
				if text != want {
					t.Errorf("%s: the key is %q", kind, text)
				}
			default:
				if text != before[name] {
					t.Errorf("%s: %s has changed", kind, name)
				}
			}
		}
		if len(after) != len(before) {
			t.Errorf("%s: %d files, there were %d", kind, len(after), len(before))
		}
		if b, err := os.ReadFile(outside); err != nil || string(b) != "x" {
			t.Errorf("%s: it was written through a link: %q, %v", kind, b, err)
		}
		d.Run = "0s6qieqib30dbn0"
		if err := credentials.Renew(d); err == nil {
			t.Errorf("%s: another run's delivery was renewed", kind)
		}
	}
}

// TestRemoveFinishesWhatWasBegun removes a delivery that was cut off at any point of
// being written or removed.
func TestRemoveFinishesWhatWasBegun(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		all := paths(newDelivery(t, "/d", kind))[1:]
		for n := range len(all) + 1 {
			d := deliver(t, filepath.Join(t.TempDir(), "d"), kind)
			// The marker is written first and removed last: what is left has it, or is empty.
			var rest []string
			for _, p := range paths(d)[1:] {
				if filepath.Base(p) != "env.json" {
					rest = append(rest, p)
				}
			}
			rest = append(rest, filepath.Join(d.Dir, "env.json"))
			for _, p := range rest[:n] {
				must(t, os.RemoveAll(p))
			}
			must(t, os.WriteFile(filepath.Join(d.Dir, "."+string(run)+".env.json"), []byte("{"), 0o600))
			if err := removed(d.Dir, run); err != nil || exists(d.Dir) {
				t.Errorf("%s without %q: %v", kind, rest[:n], err)
			}
		}
	}
}

func TestACommandThatSpoilsOneMarkerDoesNotKeepTheDelivery(t *testing.T) {
	t.Parallel()
	for _, spoilt := range []string{"env.json", "README.txt"} {
		d := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Key)
		must(t, os.WriteFile(filepath.Join(d.Dir, spoilt), []byte("?"), 0o600))
		if err := removed(d.Dir, run); err != nil || exists(d.Dir) {
			t.Errorf("without %s: %v", spoilt, err)
		}
	}
	d := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Key)
	must(t, os.Remove(filepath.Join(d.Dir, "env.json")), os.Remove(filepath.Join(d.Dir, "README.txt")))
	if err := removed(d.Dir, run); err == nil || !exists(delivery.KeyPath(d.Dir)) {
		t.Errorf("without any marker it could be anybody's: %v", err)
	}
}

func TestATokenIsReplacedInOneStep(t *testing.T) {
	t.Parallel()
	d := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Token)
	held, err := os.Open(d.Dir) // as a sandbox that mounted the folder has it
	must(t, err)
	defer held.Close()
	long := map[string]bool{"ya29.the-runs-token": true}
	var tokens []string
	for i := range 20 {
		tokens = append(tokens, strings.Repeat(string(rune('a'+i)), 4096))
		long[tokens[i]] = true
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			b, err := os.ReadFile(delivery.TokenPath(d.Dir))
			if err != nil || !long[string(b)] {
				t.Errorf("a reader saw %d bytes, %v", len(b), err)
				return
			}
		}
	})
	for _, token := range tokens {
		must(t, replaceToken(d, token+"\n"))
	}
	close(stop)
	readers.Wait()
	if info, err := os.Stat(delivery.TokenPath(d.Dir)); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 4096 {
		t.Errorf("%v, %v", info, err)
	}
	left, err := held.Readdirnames(-1)
	must(t, err)
	if slices.ContainsFunc(left, func(n string) bool { return strings.HasPrefix(n, ".") }) {
		t.Errorf("left behind: %q", left)
	}
}

// At the end of a run its key gives way to a file with which clients fail and say that the run has expired; all else
// stays as it is, and what is there can be removed.
func TestExpire(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		d := deliver(t, filepath.Join(t.TempDir(), "d"), kind)
		before := contents(t, d)
		if err := credentials.Expire(d); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		after := contents(t, d)
		for _, name := range map[grants.DeliveryKind][]string{delivery.Key: {"key.json"}, delivery.Token: {"token", "no-credentials.json"}}[kind] {
			const says = "run 0123456789abcde expired at 2026-03-01 13:00:00 UTC: trying again or logging in does not help; "
			now := after[name]
			if !strings.Contains(now, says) || strings.Contains(now, "private_key") || strings.Contains(now, "ya29.") ||
				name == "token" == json.Valid([]byte(now)) || name == "token" && strings.ContainsAny(now, "\r\n") {
				t.Errorf("%s is\n%s", name, now)
			}
			delete(before, name)
			delete(after, name)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: what else has changed (-before +after):\n%s", kind, diff)
		}
		if err := removed(d.Dir, d.Run); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := credentials.Expire(d); delivery.Of(kind).Over != nil && err == nil {
			t.Error("a delivery that is gone is filled again")
		}
	}
}

// contents returns what is in the files of a delivery.
func contents(t *testing.T, d delivery.Delivery) map[string]string {
	t.Helper()
	files, err := os.ReadDir(d.Dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		if f.Type().IsRegular() {
			b, err := os.ReadFile(filepath.Join(d.Dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			out[f.Name()] = string(b)
		}
	}
	return out
}

func TestReadKey(t *testing.T) {
	t.Parallel()
	d := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Key)
	key, err := credentials.ReadKey(d)
	if err != nil || key.Reveal() != d.Key.Reveal() {
		t.Errorf("%v", err)
	}
	outside := filepath.Join(t.TempDir(), "key.json")
	must(t, os.Rename(delivery.KeyPath(d.Dir), outside), os.Symlink(outside, delivery.KeyPath(d.Dir)))
	if _, err := credentials.ReadKey(d); err == nil {
		t.Error("it followed a link to another key")
	}
	token := deliver(t, filepath.Join(t.TempDir(), "d"), delivery.Token)
	if _, err := credentials.ReadKey(token); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a delivery without a key: %v", err)
	}
}

// TestADeliveryThatFailsHalfwayLeavesNothing runs this test binary again with a limit
// on the size of files, so that the credential, which comes last, does not fit.
func TestADeliveryThatFailsHalfwayLeavesNothing(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("CREDENTIALS_TEST_DIR"); dir != "" {
		d := newDelivery(t, dir, delivery.Token)
		d.Token.Value = secret.New(strings.Repeat("x", 1<<20))
		if err := delivered(d); !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("the token does not fit: %v", err)
		}
		return
	}
	dir := filepath.Join(t.TempDir(), "d")
	// In blocks of 512 or 1024 bytes, as the shell pleases; both are enough for the rest.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `trap '' XFSZ; ulimit -f 64; exec "$0" -test.run='^TestADeliveryThatFailsHalfwayLeavesNothing$' -test.v`, os.Args[0])
	cmd.Env = append(os.Environ(), "CREDENTIALS_TEST_DIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	if exists(dir) {
		t.Errorf("left: %q", names(t, dir))
	}
}
