package ci

import (
	"encoding/json"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/secret"
)

func from(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

var hash = regexp.MustCompile(`\+[0-9a-v]{20}$`)

// Whatever people can choose of a job's names, its label is no other job's.
func TestLabelsDiffer(t *testing.T) {
	t.Parallel()
	github := map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/app",
		"GITHUB_RUN_ID": "77", "GITHUB_JOB": "build", "RUNNER_NAME": "r",
	}
	long := strings.Repeat("x", 1000)
	over := func(vars map[string]string, name, value string) map[string]string {
		vars = maps.Clone(vars)
		vars[name] = value
		return vars
	}
	changed := func(name, value string) map[string]string { return over(github, name, value) }
	labels := map[string]map[string]string{}
	for _, vars := range []map[string]string{
		github,
		changed("GITHUB_SERVER_URL", "https://github.acme.example"),
		changed("GITHUB_RUN_ATTEMPT", "2"),
		changed("RUNNER_NAME", "runner 1"), changed("RUNNER_NAME", "runner-1"), changed("RUNNER_NAME", "runner&1"),
		changed("RUNNER_NAME", long+"1"), changed("RUNNER_NAME", long+"2"),
		changed(envIndex, "0"), changed(envIndex, "1"),
		changed("GITHUB_JOB", long+"0"), over(changed("GITHUB_JOB", long+"0"), envIndex, "1"),
		{"CI": "true", EnvJob: "a b"}, {"CI": "true", EnvJob: "a&b"}, {"CI": "true", EnvJob: "a-b"},
		{"CI": "true", EnvJob: long + "1"}, {"CI": "true", EnvJob: long + "2"},
		{"CI": "true", "BUILD_TAG": "jenkins-a-b-1", "JOB_NAME": "a/b"}, {"CI": "true", "BUILD_TAG": "jenkins-a-b-1", "JOB_NAME": "a-b"},
	} {
		s, _ := Detect(from(vars))
		job, err := JobOf(s, from(vars))
		if err != nil || job.Label == "" || len(job.Label) > maxLabel {
			t.Fatalf("%v: %+v, %v", vars, job, err)
		}
		if other, taken := labels[job.Label]; taken {
			t.Errorf("%v and %v have the same label, %s", vars, other, job.Label)
		}
		labels[job.Label] = vars
	}
	again, err := JobOf(GitHub, from(github))
	if _, ok := labels[again.Label]; err != nil || !ok {
		t.Errorf("the same job has another label: %s, %v", again.Label, err)
	}
}

func TestJobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		vars map[string]string
		want Job
		err  string
	}{
		{"GitHub", map[string]string{
			"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/app", "GITHUB_RUN_ID": "77", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_JOB": "build",
			"RUNNER_NAME": "GitHub Actions 3", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_WORKSPACE": "/w", "RUNNER_TEMP": "/t", "GITHUB_ENV": "/e",
		}, Job{System: GitHub, Label: "github:acme/app:77.2:build@GitHub-Actions-3+HASH", URL: "https://github.com/acme/app/actions/runs/77/attempts/2",
			Workspaces: []string{"/w"}, Temp: "/t", File: "/e"}, ""},
		{"GitHub without its file", map[string]string{"GITHUB_ACTIONS": "true"}, Job{}, "$GITHUB_ENV"},
		{"GitLab", map[string]string{"CI": "true", "GITLAB_CI": "true", "CI_PROJECT_PATH": "acme/app", "CI_JOB_ID": "5", "CI_JOB_URL": "https://gitlab.com/acme/app/-/jobs/5", "CI_PROJECT_DIR": "/w"},
			Job{System: GitLab, Label: "gitlab:acme/app:5+HASH", URL: "https://gitlab.com/acme/app/-/jobs/5", Workspaces: []string{"/w"}}, ""},
		{"Buildkite", map[string]string{"CI": "true", "BUILDKITE": "true", "BUILDKITE_ORGANIZATION_SLUG": "acme", "BUILDKITE_PIPELINE_SLUG": "app",
			"BUILDKITE_BUILD_NUMBER": "9", "BUILDKITE_JOB_ID": "u-u", "BUILDKITE_BUILD_URL": "https://buildkite.com/acme/app/builds/9", "BUILDKITE_BUILD_CHECKOUT_PATH": "/w"},
			Job{System: Buildkite, Label: "buildkite:acme/app:9:u-u+HASH", URL: "https://buildkite.com/acme/app/builds/9#u-u", Workspaces: []string{"/w"}}, ""},
		{"CircleCI", map[string]string{"CI": "true", "CIRCLECI": "true", "CIRCLE_PROJECT_USERNAME": "acme", "CIRCLE_PROJECT_REPONAME": "app", "CIRCLE_BUILD_NUM": "4",
			"CIRCLE_NODE_INDEX": "1", "BASH_ENV": "/b", "CIRCLE_BUILD_URL": "https://circleci.com/gh/acme/app/4"},
			Job{System: CircleCI, Label: "circleci:acme/app:4.1+HASH", URL: "https://circleci.com/gh/acme/app/4", File: "/b"}, ""},
		{"Jenkins", map[string]string{"CI": "true", "BUILD_TAG": "jenkins-app-12", "BUILD_URL": "https://ci/12", "WORKSPACE": "/w"},
			Job{System: Generic, Label: "generic:jenkins-app-12+HASH", URL: "https://ci/12", Workspaces: []string{"/w"}}, ""},
		{"one that says which", map[string]string{"CI": "1", EnvJob: "a b\nc", envURL: "https://ci/1"}, Job{System: Generic, Label: "generic:a-b-c+HASH", URL: "https://ci/1"}, ""},
		{"one that says nothing", map[string]string{"CI": "true"}, Job{System: Generic}, ""},
		{"half of a job", map[string]string{"GITLAB_CI": "true", "CI_PROJECT_PATH": "acme/app"}, Job{System: GitLab}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, ok := Detect(from(c.vars))
			if !ok {
				t.Fatal("it is not recognised")
			}
			got, err := JobOf(s, from(c.vars))
			if err == nil {
				err = got.CanExport()
			}
			if c.err != "" {
				if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got.Label = hash.ReplaceAllString(got.Label, "+HASH")
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
	for _, vars := range []map[string]string{{}, {"CI": "false"}, {"CI": "0"}} {
		if s, ok := Detect(from(vars)); ok {
			t.Errorf("%v is taken for a job of %s", vars, s)
		}
	}
	for _, s := range Systems {
		if _, ok := profiles[s]; !ok {
			t.Errorf("nothing is known of %s", s)
		}
	}
	long, err := JobOf(Generic, from(map[string]string{EnvJob: strings.Repeat("x", 1000)}))
	if err != nil || len(long.Label) != maxLabel {
		t.Errorf("a long label has %d bytes, %v", len(long.Label), err)
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	key := secret.New("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg%kqh\nkiG9w0BAQEFAAS\nAg==\n-----END PRIVATE KEY-----\n")
	token := secret.New("ya29.some-access-token")
	got, err := GitHub.Mask(token, key)
	if want := "::add-mask::ya29.some-access-token\n::add-mask::MIIEvQIBADANBg%25kqh\n::add-mask::kiG9w0BAQEFAAS\n"; err != nil || got.Print != want || got.Command != nil {
		t.Errorf("GitHub: %+v, %v", got, err)
	}
	got, err = Buildkite.Mask(token, key)
	var values map[string]string
	if err != nil || got.Print != "" || strings.Join(got.Command, " ") != "buildkite-agent redactor add --format json" || json.Unmarshal([]byte(got.Input), &values) != nil || len(values) != 3 {
		t.Errorf("Buildkite: %+v, %v", got, err)
	}
	for _, word := range got.Command { // the list of processes is everybody's
		if strings.Contains(word, token.Reveal()) {
			t.Errorf("the token is an argument: %q", word)
		}
	}
	for _, s := range Systems {
		got, err := s.Mask(token)
		if masks := got.Print != "" || got.Command != nil; err != nil || masks != s.CanMask() {
			t.Errorf("%s masks: %v, and says %v", s, masks, s.CanMask())
		}
		if got, err := s.Mask(secret.String{}); err != nil || got.Print != "" || got.Command != nil {
			t.Errorf("%s masks nothing by %+v, %v", s, got, err)
		}
	}
}

func TestPairs(t *testing.T) {
	t.Parallel()
	got, err := Pairs([]string{"A=1", "B=x = 'y'", "C="})
	if err != nil || got != "A=1\nB=x = 'y'\nC=\n" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, v := range []string{"A=1\nPATH=/tmp", "A=1\r", "A<<E=1", "=1", ""} {
		if got, err := Pairs([]string{v}); !fault.Is(err, fault.Usage) {
			t.Errorf("%q: %q, %v", v, got, err)
		}
	}
}
