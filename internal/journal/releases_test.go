package journal_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/journal"
)

var update = flag.Bool("update", false, "write what is read of the journals of releases")

// Every release has kept a folder of journals here: of a run that is up with a token, and of one that was down after a
// key. What was read of them then is read of them now, and they can be gone on with. A field may be added to what is
// read; what an older release has written means what it meant.
func TestJournalsOfReleases(t *testing.T) {
	t.Parallel()
	releases, err := filepath.Glob("testdata/releases/v*")
	if err != nil || len(releases) == 0 {
		t.Fatalf("there are no journals of releases: %v", err)
	}
	for _, release := range releases {
		t.Run(filepath.Base(release), func(t *testing.T) {
			t.Parallel()
			state := private(t, release)
			d := openDir(t, state, nil)
			store := journal.Seal(d, func() ([]byte, error) { return os.ReadFile(filepath.Join(state, "journals.key")) })
			runs, err := d.List()
			if err != nil || len(runs) < 2 {
				t.Fatalf("there are %d runs: %v", len(runs), err)
			}
			for _, id := range runs {
				run, err := store.Read(id)
				if err != nil {
					t.Fatal(err)
				}
				if !run.Verified {
					t.Errorf("the seals of %s are not those of its key any more", id)
				}
				read, err := json.MarshalIndent(struct {
					State journal.State
					Left  []string
					Run   *journal.Run
				}{run.State(), run.Left(), run}, "", "\t")
				if err != nil {
					t.Fatal(err)
				}
				golden := filepath.Join(release, string(id)+".json")
				if *update {
					if err := os.WriteFile(golden, append(read, '\n'), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				kept, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				var want, got any
				if err := json.Unmarshal(kept, &want); err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(read, &got); err != nil {
					t.Fatal(err)
				}
				within(t, golden, want, got)
				if run.Live() {
					goesOn(t, store, run)
				}
			}
		})
	}
}

// goesOn takes the first step of a teardown of a run that an older release has begun.
func goesOn(t *testing.T, store journal.Store, run *journal.Run) {
	t.Helper()
	j, err := store.Open(t.Context(), run.ID(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Append(journal.DownBegan{}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := store.Read(run.ID())
	if err != nil || again.State() != journal.Ending || !again.Verified {
		t.Errorf("after the first step of a teardown, the run is %+v: %v", again, err)
	}
}

// within reports what of want is not in got: a field that is gone, or that means something else.
func within(t *testing.T, at string, want, got any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		fields, _ := got.(map[string]any)
		for name, value := range want {
			field, ok := fields[name]
			if !ok {
				t.Errorf("%s: %s is not read any more", at, name)
			}
			within(t, at+": "+name, value, field)
		}
	case []any:
		list, _ := got.([]any)
		if len(list) != len(want) {
			t.Errorf("%s: there are %d, and were %d", at, len(list), len(want))
			return
		}
		for i := range want {
			within(t, at, want[i], list[i])
		}
	default:
		if want != got {
			t.Errorf("%s: it is %v, and was %v", at, got, want)
		}
	}
}

// private copies a kept state folder to where nobody else can read it: git keeps no such modes, and journals that others
// could write to are refused.
func private(t *testing.T, release string) string {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	for _, pattern := range []string{"journals.key", "runs/*.jsonl"} {
		files, err := filepath.Glob(filepath.Join(release, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no %s: %v", release, pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(state, filepath.Dir(pattern), filepath.Base(file))
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return state
}
