package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/taskiam/taskiam/emulator"
)

// shownRun is the world in which a block with prompts is run.
type shownRun struct {
	file, first string // the document, and what its first command begins with
	// own is whether it needs an emulator of its own, because it changes something there.
	own     bool
	prepare func(*stage)
	after   func(*stage)
}

var shownRuns = []shownRun{
	{file: "README.md", first: "taskiam plan broken.toml", prepare: func(s *stage) {
		s.write("broken.toml", "version = 1\n[task]\nname = \"broken\"\nproject = \"acme-agents\"\nttl     = \"36h\"\n"+
			"[[grant]]\nrole = \"roles/storage.objectViewer\"\nresource  = \"gs://acme-reports\"\ncondition = 'request.tme < 1'\n"+
			"[[grant]]\nrole = \"roles/pubsub.publisher\"\nresource = \"projects/acme-agents/topics/reports\"\n")
	}},
	{file: "README.md", first: "taskiam up tasks/demo.toml", own: true},
	{file: "docs/plan.md", first: "taskiam plan tasks/predeploy-look.toml"},
	{file: "docs/plan.md", first: "taskiam plan --gcloud task.toml", prepare: func(s *stage) {
		s.write("task.toml", taskOf("read-reports", "role = \"roles/storage.objectViewer\"\nresource = \"gs://acme-reports/2026/\"",
			"permissions = [\"secretmanager.versions.add\"]\nresource = \"projects/acme-agents/secrets/api-key\""))
	}},
	{file: "docs/manifest.md", first: "taskiam plan reader.toml", prepare: func(s *stage) {
		s.write("reader.toml", taskOf("reader", "permissions = [\"storage.objects.get\"]\nresource = \"gs://acme-reports\""))
	}},
	{file: "docs/manifest.md", first: "taskiam plan task.toml", prepare: func(s *stage) {
		s.write("task.toml", taskOf("orders", publishes, "role = \"roles/bigquery.dataViewer\"\nresource = \"bq://acme-data.sales.orders\"\nunbounded = \"accept\""))
	}},
	{file: "docs/manifest.md", first: "taskiam up --quiet task.toml", own: true, prepare: func(s *stage) {
		s.write("task.toml", taskOf("announce", publishes)+"[credentials]\ndeliver = \"token\"\n")
		s.ok("emulator", "advance", "24h")
	}, after: func(s *stage) { s.ok("down", "--all") }},
	{file: "docs/manifest.md", first: "taskiam up key.toml", own: true, prepare: func(s *stage) {
		s.write("key.toml", taskOf("announce", publishes)+"[credentials]\ndeliver = \"key\"\n")
		s.ok("emulator", "advance", "24h")
	}},
	{file: "docs/operators.md", first: "taskiam doctor tasks/publish-report.toml", own: true, prepare: func(s *stage) {
		s.vars["TASKIAM_EMULATOR_TOKEN_FILE"] = s.write("mara", "ya29.emulator-mara\n")
	}},
	{file: "docs/operators.md", first: "taskiam doctor --role"},
	{file: "docs/operators.md", first: "taskiam doctor tasks/demo.toml"},
	{file: "docs/sweep.md", first: "taskiam sweep --project acme-agents --dry-run", own: true, prepare: func(s *stage) {
		s.ok("up", "tasks/demo.toml")
		must(s.t, os.RemoveAll(s.path("state", "taskiam", "runs")))
		s.ok("emulator", "advance", "4h")
	}},
	{file: "docs/ci.md", first: "taskiam down --ci", own: true, prepare: func(s *stage) {
		s.vars["CI"], s.vars["BUILD_TAG"] = "true", "jenkins-report-12"
		s.ok("up", "--ci", "tasks/demo.toml")
		must(s.t, os.WriteFile(s.vars["TASKIAM_EMULATOR_TOKEN_FILE"], []byte("ya29.emulator-void\n"), 0o600))
	}},
}

const publishes = `role = "roles/pubsub.publisher"
resource = "projects/acme-agents/topics/reports"
unbounded = "accept"`

// taskOf is a manifest of a task with these grants.
func taskOf(name string, grants ...string) string {
	text := fmt.Sprintf("version = 1\n[task]\nname = %q\nproject = \"acme-agents\"\nttl = \"1h\"\n", name)
	for _, g := range grants {
		text += "[[grant]]\n" + g + "\n"
	}
	return text
}

// varies is what differs from run to run, and what stands for it when two are compared.
var varies = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\d([ T])\d\d:\d\d:\d\d(Z| UTC)`), "TIME"},
	{regexp.MustCompile(`\b1[0-9a-v]{14}\b`), "RUN"},
	{regexp.MustCompile(`after [\d.]+m?s;`), "after A WHILE;"},
	{regexp.MustCompile(`\b\d{21}\b`), "UNIQUE-ID"},
	// Whether there is bubblewrap, and a place in memory, is the machine's.
	{regexp.MustCompile(`(?m)^  \w+ +(bubblewrap|deliveries): .*\n( {10,}.*\n)*`), ""},
	{regexp.MustCompile(`warnings: \d+`), "warnings: SOME"},
	// Hours pass by the emulator's clock alone.
	{regexp.MustCompile(`(?m)^taskiam: warning: this machine's clock is 4h0m0s behind .*\n`), ""},
	{regexp.MustCompile(`/[\w./-]+/taskiam[/-]RUN`), "DELIVERY"},
	{regexp.MustCompile(`/[\w./-]+/tasks/`), "DIR/tasks/"},
}

func constant(text string) string {
	for _, v := range varies {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	return text
}

// showsARun runs the commands after the prompts of a block, and compares what they print with what the block has below
// each; "..." stands for lines that are left out.
func showsARun(t *testing.T, b block, s *stage) {
	i := slices.IndexFunc(shownRuns, func(n shownRun) bool {
		return n.file == b.file && (strings.HasPrefix(b.text, "$ "+n.first+" ") ||
			strings.HasPrefix(b.text, "$ "+n.first+"\n"))
	})
	if i < 0 {
		t.Fatal("nothing says in what world this is run: add it to shownRuns")
	}
	n := shownRuns[i]
	if n.own {
		t.Parallel()
		s = newStage(t)
	}
	if n.prepare != nil {
		n.prepare(s)
	}
	for _, part := range strings.Split(strings.TrimPrefix(b.text, "$ "), "\n$ ") {
		line, want, _ := strings.Cut(part, "\n")
		got := s.run(command{args: []string{"sh", "-c", "{ " + line + "; } 2>&1"}}).stdout
		if wrong := unlike(constant(got), constant(strings.TrimSuffix(want, "\n")+"\n")); wrong != "" {
			t.Errorf("%s\n%s\n%s", line, wrong, got)
		}
	}
	if n.after != nil {
		n.after(s)
	}
}

// unlike reports where an output is not what a block shows of it.
func unlike(got, want string) string {
	parts := strings.Split("\n"+want, "\n...\n")
	rest := "\n" + got
	for i, part := range parts {
		part = strings.TrimSuffix(part, "\n") + "\n"
		if i > 0 {
			part = "\n" + strings.TrimPrefix(part, "\n")
		}
		if part == "\n" {
			continue
		}
		at := strings.Index(rest, part)
		first, last := i == 0, i == len(parts)-1
		if at < 0 || first && at != 0 || last && len(parts) == 1 && len(rest) != len(part) {
			return "(-shown +printed)\n" + cmp.Diff(part, rest)
		}
		rest = rest[at+len(part)-1:]
	}
	if !strings.HasSuffix(want, "...\n") && strings.TrimSpace(rest) != "" {
		return "after that it prints more:\n" + rest
	}
	return ""
}

// isASeed has an emulator start with the company that a block describes, and what it takes for granted.
func isASeed(t *testing.T, b block) {
	text := b.text
	for _, part := range []struct{ key, text string }{
		{"[organization]", "[organization]\nnumber = \"123456789012\"\ndomain = \"acme.example\"\n"},
		{"[operator]", "[operator]\nmember = \"user:olivia@acme.example\"\n"},
		{`= "acme-agents"` + "\nnumber", "[[project]]\nid = \"acme-agents\"\nnumber = \"567890123456\"\nparent = " +
			"\"organizations/123456789012\"\n"},
		{`= "acme-data"` + "\nnumber", "[[project]]\nid = \"acme-data\"\nnumber = \"678901234567\"\nparent = " +
			"\"organizations/123456789012\"\n"},
	} {
		if !strings.Contains(b.text, part.key) {
			text = part.text + text
		}
	}
	srv, err := emulator.New(emulator.Config{Seed: []byte(text)})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	must(t, srv.Close())
}

// isTested looks for the lines of a block in the tests of the package that they are about.
func isTested(t *testing.T, b block) {
	t.Helper()
	flat := func(text string) string {
		text = regexp.MustCompile(`(?m)\s*//.*$`).ReplaceAllString(text, "")
		return strings.Join(strings.Fields(text), " ")
	}
	if !strings.Contains(flat(fileOf(t, "emulator/emulatortest/emulatortest_test.go")), flat(b.text)) {
		t.Errorf("%s: emulatortest_test.go does not run this", b)
	}
}

// answered is the code at the begin of a comment that says what a call is answered.
var answered = regexp.MustCompile(`^\d{3}: `)

// areAnswered makes the calls that docs/emulator.md shows, after each block as if nothing had been, and looks at the
// answers: what the comment at the end of a line says is in its answer, and without one it is no error. A block
// of JSON, or of text, is what the last call before it was answered.
func areAnswered(t *testing.T, blocks []block) {
	need(t, "curl")
	setUp := "DIR=$XDG_STATE_HOME/taskiam/emulator\n" +
		// The stage's emulator takes the place of the one that a reader would start.
		"taskiam() { case \"$*\" in 'emulator --seed'*) ;; *) command taskiam \"$@\" ;; esac; }; kill() { :; }\n"
	for _, b := range blocks {
		if strings.HasPrefix(b.text, "AS=") || strings.HasPrefix(b.text, "EMULATOR=") {
			first, _, _ := strings.Cut(b.text, "\n")
			setUp += first + "\n"
		}
	}
	s := newStage(t)
	control := strings.TrimSpace(s.read(s.path("state", "taskiam", "emulator", "control")))
	last := ""
	for _, b := range blocks {
		if b.kind != "sh" {
			if constant(strings.TrimSpace(last)) != constant(strings.TrimSpace(b.text)) {
				t.Errorf("%s: the answer is\n%s", b, last)
			}
			continue
		}
		for _, r := range []request{
			{"DELETE", "faults", ""}, {"PUT", "lag", "{}"}, {"PUT", "quotas", "{}"}, {"POST", "clock",
				`{"stopped":false}`},
		} {
			r.url = "http://" + s.host + "/_emulator/" + r.url
			if a := s.call(control, r); a.code != 200 {
				t.Fatalf("%s %s: %d %s", r.method, r.url, a.code, a.body)
			}
		}
		s.call(s.operator, request{"DELETE", "https://iam.googleapis.com/v1/projects/-/serviceAccounts/my-robot@acme-agents.iam.gserviceaccount.com", ""})
		script, lines := setUp, logicalLines(strings.ReplaceAll(b.text, "# ... whatever is to leave no trace ...",
			`curl -s -H "$AS" $EMULATOR/v1/projects/acme-agents/serviceAccounts -d '{"accountId":"my-robot"}'`))
		for _, line := range lines {
			script += "echo @@@\n{ " + line + "\n} 2>&1\n"
		}
		script = strings.ReplaceAll(script, "curl -", "curl --no-progress-meter -")
		said := strings.Split(s.run(command{args: []string{"sh", "-c", script}}).stdout, "@@@\n")[1:]
		for i, line := range lines {
			last = said[i]
			call, comment, _ := strings.Cut(line, "   # ")
			if !strings.HasPrefix(call, "curl") {
				continue
			}
			if code := answered.FindString(comment); code != "" {
				comment = strings.TrimSuffix(code, ": ")
			}
			if comment == "" && strings.Contains(last, `"error"`) {
				t.Errorf("%s: %s\nis answered\n%s", b, call, last)
			}
			for word := range strings.FieldsSeq(strings.ReplaceAll(comment, ",", " ")) {
				if !strings.Contains(last, word) {
					t.Errorf("%s: %s\nis not answered %s:\n%s", b, call, comment, last)
				}
			}
		}
	}
}

// logicalLines returns the lines of a script, each with those that continue it.
func logicalLines(text string) []string {
	text = strings.ReplaceAll(text, "\\\n", "\x00")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], "\x00", "\\\n")
	}
	return lines
}

// isForCI checks what a file for a CI system asks of the files in ci/.
func (d *documentTest) isForCI(t *testing.T, b block) {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal([]byte(b.text), &doc); err != nil {
		t.Errorf("%s: %v", b, err)
		return
	}
	asked := 0
	subset := func(what string, given any, known ...string) {
		asked++
		var have any
		must(t, yaml.Unmarshal([]byte(fileOf(t, known[0])), &have))
		for _, key := range known[1:] {
			m, _ := have.(map[string]any)
			have = m[key]
		}
		names, _ := given.(map[string]any)
		keys, _ := have.(map[string]any)
		for name := range names {
			if _, ok := keys[name]; !ok {
				t.Errorf("%s: %s has no %s: %q", b, what, name, slices.Sorted(maps.Keys(keys)))
			}
		}
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case string:
			if strings.HasPrefix(v, "taskiam ") {
				asked++
				d.haveCommands(t, b.file, b.String(), v)
			}
		case map[string]any:
			if uses, _ := v["uses"].(string); strings.HasPrefix(uses, "taskiam/taskiam/ci/github@") {
				subset("the Action", v["with"], "ci/github/action.yml", "inputs")
			}
			if base, ok := v["extends"].(string); ok {
				subset("GitLab's file", map[string]any{base: nil}, "ci/gitlab/taskiam.gitlab-ci.yml")
			}
			for name, value := range v {
				if command, ok := strings.CutPrefix(name, "taskiam/"); ok {
					subset("the orb", map[string]any{command: nil}, "ci/circleci/orb.yml", "commands")
					subset("the orb's "+command, value, "ci/circleci/orb.yml", "commands", command, "parameters")
				}
				if strings.Contains(name, "/ci/buildkite#") {
					subset("the plugin", value, "ci/buildkite/plugin.yml", "configuration", "properties")
				}
				if strings.HasPrefix(name, "TASKIAM_") &&
					!strings.Contains(fileOf(t, "ci/gitlab/taskiam.gitlab-ci.yml"), "$"+name) &&
					!strings.Contains(fileOf(t, "ci/gitlab/taskiam.gitlab-ci.yml"), "${"+name) {
					t.Errorf("%s: GitLab's file does not read %s", b, name)
				}
				if file, _ := value.(string); name == "file" {
					if _, err := os.Stat(filepath.Join("..", "..", file)); err != nil {
						t.Errorf("%s: %v", b, err)
					}
				}
				walk(value)
			}
		}
	}
	walk(doc)
	if asked == 0 {
		t.Errorf("%s: nothing in it is of taskiam", b)
	}
}
