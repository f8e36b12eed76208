package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/internal/visible"
)

// poison erases the screen, reorders what follows, begins a line like ours and hides a letter of another alphabet.
const poison = "\x1b[1A\x1b[2K\u009b2J\u202e\u2028\u200b\ntaskiam: error: none\rroles/st\u043erage.viewer"

// legible looks at every byte that a command has printed.
func (s *stage) legible(args ...string) outcome {
	s.t.Helper()
	o := s.taskiam(args...)
	for name, text := range map[string]string{"stdout": o.stdout, "stderr": o.stderr} {
		if at := visible.First(text); at >= 0 {
			s.t.Errorf("%v: %s has a raw %+q at %d", args, name, text[at:min(len(text), at+4)], at)
		}
		if strings.Contains(text, "\ntaskiam: error: none") || strings.HasPrefix(text, "taskiam: error: none") {
			s.t.Errorf("%v: %s has a line of somebody else's:\n%s", args, name, text)
		}
	}
	return o
}

// othersText: neither a manifest, nor a neighbour's policy, nor a journal can change what the
// operator sees of the rest.
func othersText(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const grant = "version = 1\n[task]\nname = \"shown\"\nproject = \"acme-agents\"\n[[grant]]\n" +
		"role = \"roles/secretmanager.viewer\"\nresource = \"projects/acme-agents/secrets/api-key\"\n"

	// The adversary's manifest: its second grant is not to be seen.
	for condition, want := range map[string]string{
		`true //\u001b[1A\u001b[2K`: ":8:21: U+001B cannot be seen",
		`true // only reads`:        ":8:19: a condition holds no comments",
		`true && \u202etrue`:        ":8:22: U+202E cannot be seen",
	} {
		file := s.write("hostile.toml", grant+"condition = \""+condition+"\"\n")
		if o := s.legible("plan", file); o.code != 2 || !strings.Contains(o.stderr, file+want) {
			t.Errorf("%s: plan ended with %d, want %q\n%s%s", condition, o.code, file+want, o.stdout, o.stderr)
		}
	}

	// A neighbour's policy.
	const secret = "https://secretmanager.googleapis.com/v1/projects/acme-agents/secrets/api-key"
	var policy map[string]any
	must(t, json.Unmarshal([]byte(s.asOperator(request{
		"GET", secret + ":getIamPolicy?options.requestedPolicyVersion=3", "",
	})), &policy))
	bindings, _ := policy["bindings"].([]any)
	policy["bindings"] = append(bindings, map[string]any{
		"role": "roles/secretmanager.viewer", "members": []string{"principalSet://cloudresourcemanager.googleapis.com/projects/567890123456/type/ServiceAccount"},
		"condition": map[string]any{"title": "t" + poison, "expression": "true // " + strings.ReplaceAll(poison, "\n", " ")},
	})
	policy["version"] = 3
	body, err := json.Marshal(map[string]any{"policy": policy})
	must(t, err)
	s.asOperator(request{"POST", secret + ":setIamPolicy", string(body)})
	file := s.write("shown.toml", grant)
	o := s.legible("plan", file)
	if o.code != 0 || !strings.Contains(o.stdout, `true // \x1b[1A\x1b[2K\u009b2J\u202e`) ||
		!strings.Contains(o.stdout, `st\u043erage`) {
		t.Errorf("plan ended with %d and shows the neighbour's condition otherwise:\n%s%s", o.code, o.stdout, o.stderr)
	}
	o = s.legible("plan", "--json", file)
	if !json.Valid([]byte(o.stdout)) || !strings.Contains(o.stdout, `\u009b2J\u202e`) {
		t.Errorf("plan --json:\n%s", o.stdout)
	}

	// A journal.
	run := s.up(file)
	a := attack{s, run, run, s.journal(run.Run), s.read(s.journal(run.Run))}
	a.edit(func(_ string, record map[string]any) {
		for _, name := range []string{"task", "operator", "manifest_path", "reason", "job", "why"} {
			if _, there := record[name]; there || name == "job" {
				record[name] = "x" + poison
			}
		}
	})
	for _, args := range [][]string{
		{"status"}, {"status", run.Run}, {"status", "--json"}, {"receipt", run.Run}, {"env", run.Run}, {"down", "x" + poison},
		{"down", run.Run}, {"receipt", run.Run}, {"receipt", "--json", run.Run},
	} {
		s.legible(args...)
	}
	a.put(a.text)
	s.ok("down", run.Run)
}
