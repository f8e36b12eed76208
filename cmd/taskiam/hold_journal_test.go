package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// attack is a run that is up, with its journal, among neighbours who are not to be
// touched: the company's, and another run.
type attack struct {
	*stage
	run, neighbour runDocument
	journal        string // its path
	text           string // as taskiam has written it
}

// edit rewrites every record of the journal.
func (a attack) edit(change func(kind string, record map[string]any)) {
	a.t.Helper()
	var out strings.Builder
	for l := range strings.Lines(a.text) {
		var entry map[string]any
		must(a.t, json.Unmarshal([]byte(l), &entry))
		change(entry["kind"].(string), entry["record"].(map[string]any))
		b, err := json.Marshal(entry)
		must(a.t, err)
		out.Write(append(b, '\n'))
	}
	a.put(out.String())
}

// opened rewrites values of the journal's first record.
func (a attack) opened(values ...string) {
	a.t.Helper()
	a.edit(func(kind string, record map[string]any) {
		for i := 0; kind == "opened" && i < len(values); i += 2 {
			record[values[i]] = values[i+1]
		}
	})
}

// replace rewrites the text of the journal.
func (a attack) replace(old, new string) {
	a.t.Helper()
	if !strings.Contains(a.text, old) {
		a.t.Fatalf("the journal has no %q", old)
	}
	a.put(strings.ReplaceAll(a.text, old, new))
}

func (a attack) put(text string) {
	a.t.Helper()
	must(a.t, os.WriteFile(a.journal, []byte(text), 0o600))
}

// uniqueID returns the unique id of an account.
func (s *stage) uniqueID(account string) string {
	s.t.Helper()
	var a struct{ UniqueID string }
	must(s.t, json.Unmarshal([]byte(s.asOperator(request{"GET", "https://iam.googleapis.com/v1/projects/-/serviceAccounts/" + account, ""})), &a))
	return a.UniqueID
}

// lineOf returns where the first record of a kind begins.
func (a attack) lineOf(kind string) int {
	a.t.Helper()
	at := strings.Index(a.text, `"kind":"`+kind+`"`)
	if at < 0 {
		a.t.Fatalf("the journal has no %q", kind)
	}
	return strings.LastIndexByte(a.text[:at], '\n') + 1
}

// besiege brings up a run among neighbours. before is the cloud without it.
func besiege(t *testing.T) (a attack, before string) {
	t.Helper()
	s := newStage(t)
	s.write("home/notes.txt", "what the operator keeps")
	neighbour := s.up("tasks/read-reports.toml")
	before = s.snapshot()
	run := s.up("tasks/demo.toml")
	return attack{s, run, neighbour, s.journal(run.Run), s.read(s.journal(run.Run))}, before
}

// finishes fails the test if down does not come to its end with the journal as
// taskiam has written it.
func (a attack) finishes(before string) {
	a.t.Helper()
	// Of a run that has just come up, down does not believe at once that its account is
	// gone, which it may be by now. This one came up a while ago.
	a.put(stamps.ReplaceAllString(a.text, `"at":"`+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)+`"`))
	if out := a.ok("down", a.run.Run); !strings.Contains(out, "nothing is left") {
		a.t.Errorf("down with the journal as it was:\n%s", out)
	}
	a.sameCloud(before)
	if _, err := os.Stat(a.run.Delivery); !os.IsNotExist(err) {
		a.t.Errorf("the delivery is still there: %v", err)
	}
	a.ok("down", a.neighbour.Run)
}

// stamps are the times of a journal's lines.
var stamps = regexp.MustCompile(`"at":"[^"]+"`)

// TestTamperedJournalIsRefused: from a journal that cannot be the run's, or cannot be
// read, nothing is done at all.
func TestTamperedJournalIsRefused(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	const elsewhere = "0123456789abcde"
	a, before := besiege(t)
	during := a.snapshot()
	for _, tampering := range []struct {
		name string
		how  func(attack)
		word string // what is taken down; "" is the run
		code int
		says string
	}{
		{name: "another account", code: 4, says: "but the account of that run is", how: func(a attack) {
			a.opened("email", farm)
		}},
		{name: "another account everywhere", code: 4, says: "but the account of that run is", how: func(a attack) {
			a.replace(a.run.Account, farm)
		}},
		{name: "a neighbouring run's account", code: 4, says: "but the account of that run is", how: func(a attack) {
			a.replace(a.run.Account, a.neighbour.Account)
		}},
		{name: "another project", code: 4, says: "but the account of that run is", how: func(a attack) {
			a.opened("project", "acme-data")
		}},
		{name: "another cloud", code: 2, says: "is on google", how: func(a attack) {
			a.opened("cloud", "google", "endpoint", "googleapis.com")
		}},
		{name: "another endpoint", code: 2, says: "is on emulator (127.0.0.1:1)", how: func(a attack) {
			a.opened("endpoint", "127.0.0.1:1")
		}},
		{name: "another run in it", code: 1, says: "it is the journal of run", how: func(a attack) {
			a.replace(a.run.Run, a.neighbour.Run)
		}},
		{name: "a copy under another name", word: elsewhere, code: 1, says: "it is the journal of run", how: func(a attack) {
			must(a.t, os.WriteFile(a.stage.journal(elsewhere), []byte(a.text), 0o600))
		}},
		{name: "another name", code: 1, says: "is not a run, and not", how: func(a attack) {
			must(a.t, os.Rename(a.journal, a.stage.journal(elsewhere)))
		}},
		{name: "nothing in it", code: 1, says: "has no record", how: func(a attack) {
			a.put("")
		}},
		{name: "garbage in the middle", code: 1, says: "line 3", how: func(a attack) {
			lines := strings.SplitAfter(a.text, "\n")
			lines[2] = "garbage\n"
			a.put(strings.Join(lines, ""))
		}},
		{name: "an unknown kind", code: 1, says: "unknown kind", how: func(a attack) {
			a.replace(`"kind":"bind intended"`, `"kind":"bind hoped"`)
		}},
		{name: "another version", code: 1, says: "version 2", how: func(a attack) {
			a.replace(`{"v":1,`, `{"v":2,`)
		}},
		{name: "its beginning cut off", code: 1, says: "begins with", how: func(a attack) {
			a.put(a.text[a.lineOf("account intended"):])
		}},
	} {
		word := tampering.word
		if word == "" {
			word = a.run.Run
		}
		tampering.how(a)
		o := a.taskiam("down", word)
		if o.code != tampering.code || !strings.Contains(o.stderr, tampering.says) {
			t.Errorf("%s: down ended with %d, want %d and %q\n%s%s", tampering.name, o.code, tampering.code, tampering.says, o.stdout, o.stderr)
		}
		if diff := cmp.Diff(during, a.snapshot()); diff != "" {
			t.Fatalf("%s: down has touched the cloud:\n%s", tampering.name, diff)
		}
		if _, err := os.Stat(filepath.Join(a.run.Delivery, "key.json")); err != nil {
			t.Fatalf("%s: down has touched the delivery: %v", tampering.name, err)
		}
		a.put(a.text)
		if err := os.Remove(a.stage.journal(elsewhere)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	a.finishes(before)
}

// TestTamperedJournalReachesNobodyElse: a journal that passes for the run's lets down
// do what is the run's own, and no more.
func TestTamperedJournalReachesNobodyElse(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	for _, tampering := range []struct {
		name string
		how  func(attack)
		code int
		says string
	}{
		{name: "another unique id", code: 5, says: "as its journal says", how: func(a attack) {
			a.edit(func(kind string, record map[string]any) {
				if kind == "account created" {
					record["unique_id"] = a.uniqueID(farm)
				}
			})
		}},
		{name: "a neighbour as the member", how: func(a attack) {
			a.edit(func(_ string, record map[string]any) {
				if record["member"] != nil {
					record["member"] = "serviceAccount:" + farm
				}
			})
		}},
		{name: "a neighbour's binding", how: func(a attack) {
			binding, err := json.Marshal(map[string]any{"v": 1, "at": "2026-03-01T12:00:00Z", "kind": "bound", "record": map[string]any{
				"resource": "//cloudresourcemanager.googleapis.com/projects/acme-agents", "role": "roles/owner", "member": "user:olivia@acme.example"}})
			must(a.t, err)
			a.put(a.text + string(binding) + "\n")
		}},
		{name: "a neighbouring run's key", how: func(a attack) {
			a.edit(func(kind string, record map[string]any) {
				if kind == "key created" {
					record["key_id"] = a.signer(a.neighbour).ID
				}
			})
		}},
		{name: "a neighbouring run's delivery", code: 5, says: "the delivery in", how: func(a attack) {
			a.replace(a.run.Delivery, a.neighbour.Delivery)
		}},
		{name: "the home folder as the delivery", code: 5, says: "the delivery in", how: func(a attack) {
			a.replace(a.run.Delivery, a.vars["HOME"])
		}},
		{name: "all but its first line cut off", how: func(a attack) {
			a.put(a.text[:a.lineOf("account intended")])
		}},
		{name: "its end cut off", how: func(a attack) {
			a.put(a.text[:a.lineOf("account created")+30])
		}},
	} {
		t.Run(strings.ReplaceAll(tampering.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			a, before := besiege(t)
			home := tree(t, a.vars["HOME"])
			tampering.how(a)
			o := a.taskiam("down", a.run.Run)
			if o.code != tampering.code || !strings.Contains(o.stdout+o.stderr, tampering.says) {
				t.Errorf("down ended with %d, want %d and %q\n%s%s", o.code, tampering.code, tampering.says, o.stdout, o.stderr)
			}
			if diff := cmp.Diff(a.others(before), a.others(a.snapshot())); diff != "" {
				t.Errorf("down has touched what is not the run's:\n%s", diff)
			}
			if diff := cmp.Diff(home, tree(t, a.vars["HOME"])); diff != "" {
				t.Errorf("the home folder is not as before:\n%s", diff)
			}
			if _, err := os.Stat(filepath.Join(a.neighbour.Delivery, "key.json")); err != nil {
				t.Errorf("the neighbour's delivery: %v", err)
			}
			a.finishes(before)
		})
	}
}

// others returns what of a snapshot is not the run's: every element of a list and
// every member of an object that names it is left out, and so is what is then empty.
func (a attack) others(snapshot string) any {
	a.t.Helper()
	var tree any
	must(a.t, json.Unmarshal([]byte(snapshot), &tree))
	return without(tree, a.run.Run)
}

func without(v any, word string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, child := range v {
			if rest := without(child, word); rest != nil {
				out[name] = rest
			}
		}
		if email, ok := v["email"].(string); len(out) == 0 || ok && strings.Contains(email, word) || emptied(v, out, "members") {
			return nil
		}
		return out
	case []any:
		var out []any
		for _, child := range v {
			if rest := without(child, word); rest != nil {
				out = append(out, rest)
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case string:
		if strings.Contains(v, word) {
			return nil
		}
	}
	return v
}

// emptied reports whether a binding has lost all of its members.
func emptied(before, after map[string]any, name string) bool {
	return before[name] != nil && after[name] == nil
}

// TestDownGoesOnAfterABadJournal: one journal that cannot be read keeps nobody from
// taking down the other runs, and is told of.
func TestDownGoesOnAfterABadJournal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	before := s.snapshot()
	bad, good := s.up("tasks/demo.toml"), s.up("tasks/read-reports.toml")
	text := s.read(s.journal(bad.Run))
	s.write("state/taskiam/runs/"+bad.Run+".jsonl", "garbage\n")
	o := s.taskiam("down", "--all")
	if o.code != 1 || !strings.Contains(o.stderr, bad.Run) || !strings.Contains(o.stdout, good.Run) {
		t.Errorf("down --all ended with %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	s.write("state/taskiam/runs/"+bad.Run+".jsonl", text)
	if out := s.ok("status"); !strings.Contains(out, bad.Run) || strings.Contains(out, good.Run) {
		t.Errorf("what is up:\n%s", out)
	}
	s.ok("down")
	s.sameCloud(before)
}
