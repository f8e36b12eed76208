package main

import (
	"os"
	"strings"
	"testing"
)

// operators are principals of each kind that can hold a token, and what a seed needs for them.
var operators = []struct{ kind, member, tables string }{
	{"a person", "user:olivia@acme.example", ""},
	{"a service account", "serviceAccount:builder@acme-agents.iam.gserviceaccount.com", `
[[service_account]]
project = "acme-agents"
id      = "builder"
`},
	{"a workload", ciMember, `
[[pool]]
project = "acme-agents"
id      = "builds"
`},
	{"one of a workforce", "principal://iam.googleapis.com/locations/global/workforcePools/acme-staff/subject/ines@acme.example", `
[[workforce_pool]]
id = "acme-staff"
`},
}

// operatedBy returns a stage whose operator is the member, without the bindings of the company's
// operator in the projects that are named.
func operatedBy(t *testing.T, member, tables string, without ...string) *stage {
	t.Helper()
	acme, err := os.ReadFile("../../emulator/seed/acme.toml")
	must(t, err)
	parts := strings.SplitAfter(string(acme), "[[project]]\n")
	for i, part := range parts {
		for _, id := range without {
			if strings.HasPrefix(part, `id     = "`+id+`"`) {
				parts[i] = strings.ReplaceAll(part, "user:olivia@acme.example", "user:someone@acme.example")
			}
		}
	}
	seed := strings.ReplaceAll(strings.Join(parts, ""), "user:olivia@acme.example", member) + tables
	path := t.TempDir() + "/seed.toml"
	must(t, os.WriteFile(path, []byte(seed), 0o600))
	return newStage(t, "--seed", path)
}

// TestOperators goes through the life of a run, and of one that is lost, as each kind of principal. All that says who
// the operator is says the same.
func TestOperators(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	for _, o := range operators {
		t.Run(o.kind, func(t *testing.T) {
			t.Parallel()
			s := operatedBy(t, o.member, o.tables)
			says := func(what, text string) {
				t.Helper()
				if !strings.Contains(text, o.member) || o.kind != "a person" && strings.Contains(text, "olivia") {
					t.Errorf("%s does not name %s:\n%s", what, o.member, text)
				}
			}
			says("the emulator", s.read(s.path("emulator.log")))
			before := s.snapshot()
			task := s.manifest("demo.toml", "key")
			says("plan", s.ok("plan", task))
			if doctor := s.taskiam("doctor", task); !strings.Contains(doctor.stdout, "login: "+o.member) || doctor.code != 0 || strings.Contains(doctor.stdout, "also act as builder@") {
				t.Errorf("doctor: %d\n%s%s", doctor.code, doctor.stdout, doctor.stderr)
			}
			says("doctor --role", s.ok("doctor", "--role", task))

			run := s.up(task)
			if run.Operator != o.member {
				t.Errorf("up says that %s was the operator", run.Operator)
			}
			says("status", s.ok("status", "--json"))
			s.ok("renew", run.Run, "--ttl", "3h")
			s.ok("down", run.Run)
			says("the receipt", s.ok("receipt", run.Run))
			s.sameCloud(before)

			for _, kind := range []string{"token", "metadata"} { // minted by the operator, who may not at first
				o := s.taskiam("run", s.manifest("demo.toml", kind), "--", "true")
				if o.code != 0 {
					t.Errorf("run with %s: %d\n%s%s", kind, o.code, o.stdout, o.stderr)
				}
			}
			s.sameCloud(before)

			lost := s.up(task)
			must(t, os.RemoveAll(s.path("state", "taskiam", "runs")))
			s.ok("emulator", "advance", "4h")
			if swept := s.ok("sweep", "--project", "acme-agents"); !strings.Contains(swept, lost.Account) || !strings.Contains(swept, "gone") {
				t.Errorf("sweep:\n%s", swept)
			}
			s.sameCloud(before)
			for _, r := range s.requests() {
				if strings.Contains(r.Principal, "olivia") && o.kind != "a person" {
					t.Fatalf("%s was called as %s", r.Method, r.Principal)
				}
			}
		})
	}
}

// TestOperatorsRefused: what an operator may not is refused with the name of who it is, before anything is written.
func TestOperatorsRefused(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	for _, o := range operators {
		t.Run(o.kind, func(t *testing.T) {
			t.Parallel()
			s := operatedBy(t, o.member, o.tables, "acme-agents", "acme-data")
			before := s.snapshot()
			task := s.manifest("demo.toml", "key")
			for _, args := range [][]string{{"up", task}, {"run", task, "--", "true"}, {"doctor", task}, {"plan", task}} {
				got := s.taskiam(args...)
				text := got.stdout + got.stderr
				if got.code != map[bool]int{true: 125, false: 3}[args[0] == "run"] || !strings.Contains(text, o.member) || !strings.Contains(text, "the operator lacks") {
					t.Errorf("%s: %d\n%s", args[0], got.code, text)
				}
			}
			s.sameCloud(before)
		})
	}
}
