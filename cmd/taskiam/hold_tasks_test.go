package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/tasks"
)

const (
	bucketAPI   = "https://storage.googleapis.com/storage/v1/b/acme-reports"
	objectsAPI  = bucketAPI + "/o"
	secretsAPI  = "https://secretmanager.googleapis.com/v1/projects/acme-agents/secrets"
	topicAPI    = "https://pubsub.googleapis.com/v1/projects/acme-agents/topics/reports"
	datasetsAPI = "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets"
	projectAPI  = "https://cloudresourcemanager.googleapis.com/v3/projects/acme-agents"
	accountsAPI = "https://iam.googleapis.com/v1/projects/acme-agents/serviceAccounts"
)

// samples has, for each manifest in tasks/, what its task is for, and what lies just
// beyond.
var samples = map[string]struct {
	allowed, refused request
	writes           bool // what is allowed changes the cloud
}{
	"demo.toml": {
		allowed: request{"GET", secretsAPI + "/api-key/versions/2:access", ""},
		refused: request{"GET", secretsAPI + "/api-key/versions/1:access", ""},
	},
	"look-at-sales.toml": {
		allowed: request{"GET", datasetsAPI + "/sales/tables/orders/data", ""},
		refused: request{"GET", datasetsAPI + "/hr/tables", ""},
	},
	"predeploy-look.toml": {
		allowed: request{"POST", projectAPI + ":getIamPolicy", "{}"},
		refused: request{"GET", secretsAPI + "/db-password/versions/latest:access", ""},
	},
	"publish-report.toml": {
		allowed: request{"POST", topicAPI + ":publish", `{"messages":[{"data":"ZG9uZQ=="}]}`},
		refused: request{"GET", topicAPI, ""},
		writes:  true,
	},
	"read-reports.toml": {
		allowed: request{"GET", objectsAPI + "/2026%2F01.csv?alt=media", ""},
		refused: request{"GET", objectsAPI + "/2025%2F12.csv?alt=media", ""},
	},
	"rotate-secret.toml": {
		allowed: request{"POST", secretsAPI + "/db-password:addVersion", `{"payload":{"data":"bmV3"}}`},
		refused: request{"GET", secretsAPI + "/db-password/versions/latest:access", ""},
		writes:  true,
	},
}

// TestSamples runs every manifest in tasks/, with every delivery: the access is what
// it says, and the state afterwards is as before.
func TestSamples(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	files, err := tasks.Files.ReadDir(".")
	must(t, err)
	for _, file := range files {
		if _, ok := samples[file.Name()]; !ok {
			t.Errorf("tasks/%s has no row in the table: nothing shows what it allows and refuses", file.Name())
		}
	}
	for name, sample := range samples {
		t.Run(strings.TrimSuffix(name, ".toml"), func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			for _, deliver := range []string{"key", "token", "metadata"} {
				manifest := s.manifest(name, deliver)
				before := s.look()
				run := s.up(manifest)
				token := s.token(run)
				calls := len(s.requests())
				if a := s.call(token, sample.refused); a.code != http.StatusForbidden {
					t.Errorf("with a %s, %s %s: %d %s, want it refused", deliver, sample.refused.method, sample.refused.url, a.code, a.body)
				}
				if !sample.writes {
					s.allow(token, sample.allowed)
				}
				if got, want := principals(s.requests()[calls:]), []string{"serviceAccount:" + run.Account}; !slices.Equal(got, want) {
					t.Errorf("the calls were those of %q, not of %q", got, want)
				}
				s.ok("down")
				s.asBefore(before)
				if _, err := os.Lstat(run.Delivery); !os.IsNotExist(err) {
					t.Errorf("the delivery in %s is still there: %v", run.Delivery, err)
				}

				s.ok("run", "-q", manifest, "--", "true")
				s.asBefore(before)
			}
			if sample.writes {
				run := s.up(s.manifest(name, "key"))
				s.allow(s.token(run), sample.allowed)
				s.ok("down")
			}
			if out := s.ok("status"); out != "" {
				t.Errorf("runs are still up:\n%s", out)
			}
			if out := s.ok("status", "--all"); strings.Count(out, " down ") < 6 {
				t.Errorf("not all that was up is down:\n%s", out)
			}
		})
	}
}

// allow makes a call that must be allowed.
func (s *stage) allow(token string, r request) {
	s.t.Helper()
	if a := s.call(token, r); a.code != http.StatusOK {
		s.t.Errorf("%s %s: %d %s, want it allowed", r.method, r.url, a.code, a.body)
	}
}

// look is what is to be as before: the cloud, the folder for deliveries, and the
// processes that have the stage's folder in their environment.
type look struct {
	cloud     string
	delivered []string
	processes []string
}

func (s *stage) look() look {
	s.t.Helper()
	// taskiam's own folder in the runtime folder stays, for the next delivery.
	delivered := slices.DeleteFunc(tree(s.t, s.vars["XDG_RUNTIME_DIR"]), func(path string) bool {
		return path == filepath.Join(s.vars["XDG_RUNTIME_DIR"], "taskiam")
	})
	home := "XDG_STATE_HOME=" + s.vars["XDG_STATE_HOME"] + "\x00"
	return look{s.snapshot(), delivered, processes(func(p process) bool {
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		return p.pid != s.emulator && strings.Contains(string(environ), home)
	})}
}

func (s *stage) asBefore(before look) {
	s.t.Helper()
	if diff := cmp.Diff(before, s.look(), cmp.AllowUnexported(look{})); diff != "" {
		s.t.Errorf("the state is not as before:\n%s", diff)
	}
}
