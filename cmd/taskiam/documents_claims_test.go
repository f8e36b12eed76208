package main

import (
	"os"
	"strings"
	"testing"
)

// refusesRoles: plan and up refuse each kind of role that SECURITY.md names, say by which finding, and write nothing;
// accepted with a reason, they hold.
func refusesRoles(t *testing.T) {
	const says = "Whoever may set policies can grant itself more. taskiam refuses such a role, and what else " +
		"escalates, gives " +
		"credentials away or makes users elsewhere, unless the manifest accepts it with a reason; then it holds."
	if !strings.Contains(strings.Join(strings.Fields(fileOf(t, "SECURITY.md")), " "), says) {
		t.Errorf("SECURITY.md says something else now than %q", says)
	}
	kinds := []struct{ role, finding string }{
		{"roles/resourcemanager.projectIamAdmin", "escalates"},       // may set policies
		{"roles/iam.serviceAccountTokenCreator", "escalates"},        // becomes another
		{"roles/serviceusage.apiKeysAdmin", "hands-out-credentials"}, // gives credentials away
		{"roles/cloudsql.admin", "access-elsewhere"},                 // makes users elsewhere
	}
	var refused, accepted []string
	for _, k := range kinds {
		grant := "role = \"" + k.role + "\"\nresource = \"projects/acme-agents\""
		refused = append(refused, grant)
		accept := "accept = {"
		for _, finding := range []string{"escalates", "hands-out-credentials", "access-elsewhere"} {
			accept += " " + finding + " = \"a test\","
		}
		accepted = append(accepted, grant+"\n"+strings.TrimSuffix(accept, ",")+" }")
	}
	s := newStage(t)
	before := s.snapshot()
	s.write("refused.toml", taskOf("refused", refused...))
	s.write("accepted.toml", taskOf("accepted", accepted...))
	for _, command := range []string{"plan", "up"} {
		o := s.taskiam(command, "refused.toml")
		if o.code != 1 {
			t.Errorf("%s ended with %d\n%s", command, o.code, o.stderr)
		}
		for _, k := range kinds {
			if want := "error: granting " + k.role +
				" on projects/acme-agents (grant "; !strings.Contains(o.stderr, want) ||
				!strings.Contains(o.stderr, k.finding+": ") {
				t.Errorf("%s does not refuse %s for %s:\n%s", command, k.role, k.finding, o.stderr)
			}
		}
	}
	s.sameCloud(before)
	s.ok("up", "--quiet", "accepted.toml")
	s.ok("down", "--quiet")
	s.sameCloud(before)
}

// doctorLooks: doctor looks at what its help says, says of each line that is not ok how to fix it, and changes nothing.
func doctorLooks(t *testing.T) {
	s := newStage(t)
	help := strings.Join(strings.Fields(s.ok("doctor", "--help")), " ")
	lines := []struct{ says, line string }{
		{"Checks who you are logged in as", "login: user:mara@acme.example"},
		{"which APIs are enabled", "APIs: "},
		{"which permissions you have on each resource", "binding on projects/acme-agents/topics/reports: "},
		{"what the organisation forbids", "organisation policies: "},
		{"the clock,", "clock: "},
		{"the folders", "state: "},
		{"the folders", "deliveries: "},
		{"and bubblewrap on this machine", "bubblewrap: "},
		{"Each line that is not ok says how to fix it", ""},
		{"Nothing is changed", ""},
	}
	before := s.snapshot()
	s.vars["TASKIAM_EMULATOR_TOKEN_FILE"] = s.write("mara", "ya29.emulator-mara\n")
	o := s.taskiam("doctor", "tasks/publish-report.toml")
	for _, l := range lines {
		if !strings.Contains(help, l.says) {
			t.Errorf("the help of doctor does not say %q any more", l.says)
		}
		if !strings.Contains(o.stdout, " "+l.line) {
			t.Errorf("doctor has no line %q:\n%s", l.line, o.stdout)
		}
	}
	all := strings.Split(o.stdout, "\n")
	for i, line := range all {
		state, _, _ := strings.Cut(strings.TrimPrefix(line, "  "), "  ")
		if strings.HasPrefix(line, "  ") && (state == "problem" || state == "warning" || state == "not known") &&
			!strings.HasPrefix(all[i+1], "      ") {
			t.Errorf("doctor does not say how to fix this: %s", line)
		}
	}
	s.sameCloud(before)
}

// keepsRoles: what docs/plan.md says of the files in which roles are kept.
func keepsRoles(t *testing.T) {
	text := fileOf(t, "docs/plan.md")
	for _, says := range []string{"`$XDG_CACHE_HOME/taskiam/roles`, or `~/.cache/taskiam/roles`",
		"a key in the state folder (`roles.key`)"} {
		if !strings.Contains(text, says) {
			t.Errorf("docs/plan.md does not say %q any more", says)
		}
	}
	s := newStage(t)
	s.ok("plan", "tasks/predeploy-look.toml")
	s.vars["XDG_CACHE_HOME"] = s.folder("cache")
	s.ok("plan", "tasks/predeploy-look.toml")
	for _, path := range []string{s.path("home", ".cache", "taskiam", "roles"), s.path("cache", "taskiam", "roles"),
		s.path("state", "taskiam", "roles.key")} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("plan has kept nothing there: %v", err)
		}
	}
}
