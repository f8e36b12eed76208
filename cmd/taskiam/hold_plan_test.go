package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// planned is what of plan --json is compared with the emulator.
type planned struct {
	Effective []struct {
		Resource    string
		Permissions []string
		Unknown     []string
	}
}

// TestPlanIsTrue brings up what a plan was made of, and asks as the account, on every
// resource that the plan speaks of and on a neighbour of each project, for every permission
// that there is: what plan printed is what is allowed, permission by permission.
func TestPlanIsTrue(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	files, err := filepath.Glob(filepath.Join("testdata", "plans", "*.toml"))
	must(t, err)
	if len(files) < 10 {
		t.Fatalf("there are %d manifests", len(files))
	}
	company, err := os.ReadFile(filepath.Join("..", "..", "emulator", "seed", "acme.toml"))
	must(t, err)
	extra, err := os.ReadFile(filepath.Join("testdata", "plans", "company.extra"))
	must(t, err)
	// Olivia may bind on the folder too.
	company = bytes.Replace(company, []byte("roles/resourcemanager.folderViewer"), []byte("roles/resourcemanager.folderAdmin"), 1)
	seed := filepath.Join(t.TempDir(), "company.toml")
	must(t, os.WriteFile(seed, append(company, extra...), 0o600))
	s := newStage(t, "--seed", seed, "--log", "") // a line for each answer costs more than the answer
	known := s.permissions()
	if len(known) < 10_000 {
		t.Fatalf("the emulator knows %d permissions", len(known))
	}
	answers := 0
	for _, file := range files {
		manifest, err := os.ReadFile(file)
		must(t, err)
		path := s.write("plans/"+filepath.Base(file), string(manifest))
		before := s.look()
		var plan planned
		must(t, json.Unmarshal([]byte(s.ok("plan", "-q", "--json", path)), &plan))
		run := s.up(path)
		token := s.token(run)
		held := map[string][]string{}
		compared := 0
		for _, e := range plan.Effective {
			held[e.Resource] = e.Permissions
			if len(e.Unknown) > 0 {
				t.Errorf("%s: on %s it is not known what %q gives", filepath.Base(file), e.Resource, e.Unknown)
			}
			name, _, err := resource.Parse(e.Resource)
			must(t, err)
			if name.Type().API.TestPath == "" {
				continue // a dataset cannot be asked; what is in it can
			}
			compared++
			answers += len(known)
			if diff := cmp.Diff(askable(name, e.Permissions), s.heldBy(token, name, known)); diff != "" {
				t.Errorf("%s, on %s (-plan +emulator):\n%.2000s", filepath.Base(file), e.Resource, diff)
			}
		}
		// A neighbour has what its project has, and no policy of its own.
		for neighbour, project := range map[string]string{
			"projects/acme-agents/topics/aside": "projects/acme-agents", "gs://acme-drop": "projects/acme-data",
		} {
			want, planned := held[project]
			if _, own := held[neighbour]; own || !planned {
				continue
			}
			compared++
			name, _, err := resource.Parse(neighbour)
			must(t, err)
			if diff := cmp.Diff(askable(name, want), s.heldBy(token, name, known)); diff != "" {
				t.Errorf("%s, on the neighbour %s (-plan of its project +emulator):\n%.2000s", filepath.Base(file), neighbour, diff)
			}
		}
		if compared < 4 {
			t.Errorf("%s: %d resources were compared", filepath.Base(file), compared)
		}
		s.ok("down", "-q")
		s.asBefore(before)
	}
	t.Logf("%d manifests, %d answers compared", len(files), answers)
}

// permissions returns every permission that can be tested on an organization, sorted.
func (s *stage) permissions() []string {
	s.t.Helper()
	var all []string
	for page := ""; ; {
		body, err := json.Marshal(map[string]any{
			"fullResourceName": "//cloudresourcemanager.googleapis.com/organizations/123456789012", "pageSize": 1000, "pageToken": page,
		})
		must(s.t, err)
		var answer struct {
			Permissions   []struct{ Name string }
			NextPageToken string
		}
		a := s.call(s.operator, request{"POST", "https://iam.googleapis.com/v1/permissions:queryTestablePermissions", string(body)})
		must(s.t, json.Unmarshal([]byte(a.body), &answer))
		for _, p := range answer.Permissions {
			all = append(all, p.Name)
		}
		if page = answer.NextPageToken; page == "" {
			slices.Sort(all)
			return all
		}
	}
}

// askable leaves out what Google refuses to be asked about on a project: what is of the levels above it.
func askable(name resource.Name, permissions []string) []string {
	return slices.DeleteFunc(slices.Clone(permissions), func(p string) bool {
		return name.Type() == resource.Lookup("project") && grants.AboveProjects(p) != ""
	})
}

// heldBy asks, as whom the token is, which of the permissions it has on a resource.
func (s *stage) heldBy(token string, name resource.Name, permissions []string) []string {
	s.t.Helper()
	api := name.Type().API
	where := "https://" + api.Host + "/" + name.Expand(api.TestPath)
	held := []string{}
	for part := range slices.Chunk(askable(name, permissions), 3000) {
		r := request{method: api.TestVerb, url: where}
		if api.TestVerb == http.MethodGet {
			r.url += "?" + url.Values{"permissions": part}.Encode()
		} else {
			b, err := json.Marshal(map[string]any{"permissions": part})
			must(s.t, err)
			r.body = string(b)
		}
		a := s.call(token, r)
		if a.code != http.StatusOK {
			s.t.Fatalf("%s: %d %.300s", strings.SplitN(r.url, "?", 2)[0], a.code, a.body)
		}
		var answer struct{ Permissions []string }
		must(s.t, json.Unmarshal([]byte(a.body), &answer))
		held = append(held, answer.Permissions...)
	}
	slices.Sort(held)
	return held
}
