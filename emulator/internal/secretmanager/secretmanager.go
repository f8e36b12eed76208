// Package secretmanager is the Secret Manager of the emulator: secrets and their versions.
package secretmanager

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/lazy"
)

const host = "secretmanager.googleapis.com"

// state is what Secret Manager remembers. Secrets are kept by projects/ID/secrets/S, whichever
// form of the project a request uses.
type state struct {
	Secrets map[string]*managedSecret `json:"secrets,omitempty"`
}

// managedSecret is a secret and all its versions; version n is at index n-1.
type managedSecret struct {
	ID          string            `json:"id"`
	Project     string            `json:"project"` // id
	Created     time.Time         `json:"created"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Replication json.RawMessage   `json:"replication"`
	Policy      *iam.Policy       `json:"policy,omitempty"`
	Versions    []*secretVersion  `json:"versions,omitempty"`
	Revision    int64             `json:"revision,omitempty" snapshot:"-"` // the etag is made from it
}

// Service is Secret Manager.
func Service() *wire.Service {
	return &wire.Service{
		Name: host, Title: "Secret Manager API", Methods: methods(),
		Key:  stateKey,
		New:  func() any { return &state{Secrets: map[string]*managedSecret{}} },
		Seed: seed, Assets: assets,
		Grantable: map[string][]string{"secrets": {"secretmanager."}},
	}
}

const stateKey = "secrets"

func stateOf(st *wire.State) *state { return wire.Part[state](st, stateKey) }

func assets(st *wire.State, add func(wire.Asset)) {
	for _, m := range stateOf(st).Secrets {
		full := "//" + host + "/projects/" + m.Project + "/secrets/" + m.ID
		if a, ok := st.AssetBelow(m.Project, full, host+"/Secret", m.Policy); ok {
			add(a)
		}
	}
}

// methods are the methods of Secret Manager's REST API, global secrets only.
func methods() []wire.Method {
	const secrets = "/v1/projects/{project}/secrets"
	const secret, version = secrets + "/{secret}", secrets + "/{secret}/versions/{version}"
	at := func(id, pattern string, serve func(*wire.Call) (any, error)) wire.Method {
		writes := !strings.HasPrefix(pattern, "GET ")
		return wire.Method{ID: "secretmanager.projects.secrets." + id, Host: host, Pattern: pattern, Writes: writes,
			Serve: serve}
	}
	return append([]wire.Method{
		at("create", "POST "+secrets, createSecret),
		at("list", "GET "+secrets, listSecrets),
		at("get", "GET "+secret, getSecret),
		at("patch", "PATCH "+secret, patchSecret),
		at("delete", "DELETE "+secret, deleteSecret),
		at("addVersion", "POST "+secret+":addVersion", addVersion),
		at("versions.list", "GET "+secret+"/versions", listVersions),
		at("versions.get", "GET "+version, getVersion),
		at("versions.access", "GET "+version+":access", accessVersion),
		at("versions.enable", "POST "+version+":enable", changeVersion("enable", versionEnabled)),
		at("versions.disable", "POST "+version+":disable", changeVersion("disable", versionDisabled)),
		at("versions.destroy", "POST "+version+":destroy", changeVersion("destroy", versionDestroyed)),
	}, wire.PolicyMethods(wire.PolicySpec{
		ID: "secretmanager.projects.secrets", Host: host, Path: secret, GetVerb: http.MethodGet,
		Permission: "secretmanager.secrets", Grants: "secretmanager.", Conditions: true,
		Find: func(c *wire.Call) (iam.Node, *iam.Policy, error) {
			s, n, err := findSecret(c)
			if err != nil {
				return n, nil, err
			}
			return n, s.Policy, nil
		},
	})...)
}

var secretID = lazy.Regexp(`^[A-Za-z0-9_-]{1,255}$`)

// numberedName is how Secret Manager names a secret in its answers, and to conditions: with the number
// of the project, never its id.
func (s *managedSecret) numberedName(p *iam.Project) string {
	return "projects/" + p.Number + "/secrets/" + s.ID
}

// findSecret returns the secret of the request and its node, or the node of its project and the error.
func findSecret(c *wire.Call) (*managedSecret, iam.Node, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return nil, parent, err
	}
	s := stateOf(c.State()).Secrets["projects/"+p.ID+"/secrets/"+c.Vars["secret"]]
	if s == nil {
		return nil, parent, wire.NotFound("Secret [projects/%s/secrets/%s] not found.", p.Number, c.Vars["secret"])
	}
	full := "//" + host + "/projects/" + p.ID + "/secrets/" + s.ID
	return s, parent.Child(full, s.numberedName(p), host+"/Secret", s.Policy), nil
}

// newSecret returns a secret without versions that grants nothing to anybody.
func (st *state) newSecret(project, id string, now time.Time) *managedSecret {
	if st.Secrets == nil {
		st.Secrets = map[string]*managedSecret{}
	}
	s := &managedSecret{
		ID: id, Project: project, Created: now, Policy: &iam.Policy{}, Replication: json.RawMessage(`{"automatic":{}}`),
	}
	st.Secrets["projects/"+project+"/secrets/"+id] = s
	return s
}

// secretResource is a secret as the API writes it.
type secretResource struct {
	Name        string            `json:"name"`
	Replication json.RawMessage   `json:"replication"`
	CreateTime  time.Time         `json:"createTime"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Etag        string            `json:"etag"`
}

func (s *managedSecret) resource(p *iam.Project) secretResource {
	return secretResource{
		Name: s.numberedName(p), Replication: s.Replication, CreateTime: s.Created.UTC(), Labels: s.Labels,
		Annotations: s.Annotations, Etag: s.etag(),
	}
}

// etag is quoted, as Secret Manager's are.
func (s *managedSecret) etag() string {
	return fmt.Sprintf("%q", strconv.FormatInt(s.Created.UnixMicro()+s.Revision, 16))
}

func createSecret(c *wire.Call) (any, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err := c.RequireFound("secretmanager.secrets.create", parent, err); err != nil {
		return nil, err
	}
	id := c.Query("secretId")
	if !secretID().MatchString(id) {
		return nil, wire.Invalid("The provided Secret ID [%s] does not match the expected format [[a-zA-Z_0-9]+]", id)
	}
	var replication struct {
		Automatic   json.RawMessage `json:"automatic"`
		UserManaged json.RawMessage `json:"userManaged"`
	}
	var raw json.RawMessage
	var labels, annotations map[string]string
	var name, created, etag any // output only: a client may send back what it read
	if err := c.DecodeKnown(c.Body, map[string]any{
		"replication": &raw, "labels": &labels, "annotations": &annotations, "name": &name, "createTime": &created,
		"etag": &etag,
	}); err != nil {
		return nil, err
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &replication); err != nil {
			return nil, wire.Invalid("Invalid value at 'secret.replication': %v", err)
		}
	}
	if (replication.Automatic == nil) == (replication.UserManaged == nil) {
		return nil, wire.Invalid("The replication policy is required, and must be either automatic or userManaged.")
	}
	st := stateOf(c.State())
	if st.Secrets["projects/"+p.ID+"/secrets/"+id] != nil {
		return nil, wire.AlreadyExists("Secret [projects/%s/secrets/%s] already exists.", p.Number, id)
	}
	s := st.newSecret(p.ID, id, c.Now)
	s.Replication, s.Labels, s.Annotations = raw, labels, annotations
	return s.resource(p), nil
}

func getSecret(c *wire.Call) (any, error) {
	s, n, err := findSecret(c)
	if err := c.RequireFound("secretmanager.secrets.get", n, err); err != nil {
		return nil, err
	}
	return showSecret(c, s)
}

func showSecret(c *wire.Call, s *managedSecret) (any, error) {
	_, p, err := c.State().ProjectNode(s.Project)
	if err != nil {
		return nil, err
	}
	return s.resource(p), nil
}

func deleteSecret(c *wire.Call) (any, error) {
	s, n, err := findSecret(c)
	if err := c.RequireFound("secretmanager.secrets.delete", n, err); err != nil {
		return nil, err
	}
	if etag := c.Query("etag"); etag != "" && etag != s.etag() {
		return nil, wire.Precondition("The etag does not match that of the secret.")
	}
	delete(stateOf(c.State()).Secrets, "projects/"+s.Project+"/secrets/"+s.ID)
	return struct{}{}, nil
}

func listSecrets(c *wire.Call) (any, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err := c.RequireFound("secretmanager.secrets.list", parent, err); err != nil {
		return nil, err
	}
	if c.Query("filter") != "" {
		return nil, c.Unsupported("filter")
	}
	all := stateOf(c.State()).Secrets
	names := wire.NamesBelow(all, "projects/"+p.ID+"/")
	total := len(names)
	names, next, err := c.Page(names, "pageSize", 25000)
	if err != nil {
		return nil, err
	}
	out := struct {
		Secrets []secretResource `json:"secrets,omitempty"`
		Next    string           `json:"nextPageToken,omitempty"`
		Total   int              `json:"totalSize,omitempty"`
	}{Next: next, Total: total}
	for _, name := range names {
		out.Secrets = append(out.Secrets, all[name].resource(p))
	}
	return out, nil
}
