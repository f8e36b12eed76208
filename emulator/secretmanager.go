package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const secretHost = "secretmanager.googleapis.com"

// secretState is what Secret Manager remembers. Secrets are kept by projects/ID/secrets/S, whichever
// form of the project a request uses.
type secretState struct {
	Secrets map[string]*managedSecret `json:"secrets,omitempty"`
}

// managedSecret is a secret and all its versions; version n stands at index n-1.
type managedSecret struct {
	ID          string            `json:"id"`
	Project     string            `json:"project"` // id
	Created     time.Time         `json:"created"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Replication json.RawMessage   `json:"replication"`
	Policy      *policy           `json:"policy,omitempty"`
	Versions    []*secretVersion  `json:"versions,omitempty"`
	Revision    int64             `json:"revision,omitempty" snapshot:"-"` // the etag is made from it
}

// secretService is Secret Manager.
func secretService() *service {
	return &service{
		Name: secretHost, Title: "Secret Manager API", Methods: secretmanagerMethods(),
		Key:  secretKey,
		New:  func() any { return &secretState{Secrets: map[string]*managedSecret{}} },
		Seed: secretSeed, Assets: secretAssets,
		Grantable: map[string][]string{"secrets": {"secretmanager."}},
	}
}

const secretKey = "secrets"

func secretsOf(st *state) *secretState { return part[secretState](st, secretKey) }

func secretAssets(st *state, add func(asset)) {
	for _, m := range secretsOf(st).Secrets {
		full := "//" + secretHost + "/projects/" + m.Project + "/secrets/" + m.ID
		if a, ok := st.assetBelow(m.Project, full, secretHost+"/Secret", m.Policy); ok {
			add(a)
		}
	}
}

// secretmanagerMethods are the methods of Secret Manager's REST API, global secrets only.
func secretmanagerMethods() []method {
	const secrets = "/v1/projects/{project}/secrets"
	const secret, version = secrets + "/{secret}", secrets + "/{secret}/versions/{version}"
	at := func(id, pattern string, serve func(*call) (any, error)) method {
		writes := !strings.HasPrefix(pattern, "GET ")
		return method{id: "secretmanager.projects.secrets." + id, host: secretHost, pattern: pattern, writes: writes, serve: serve}
	}
	return append([]method{
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
	}, policyMethods(policySpec{
		api: "secretmanager.projects.secrets", host: secretHost, path: secret, getVerb: http.MethodGet,
		permission: "secretmanager.secrets", grants: "secretmanager.", conditions: true,
		find: func(c *call) (node, *policy, error) {
			s, n, err := findSecret(c)
			if err != nil {
				return n, nil, err
			}
			return n, s.Policy, nil
		},
	})...)
}

var secretID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

// numberedName is how Secret Manager names a secret in its answers, and to conditions: with the number
// of the project, never its id.
func (s *managedSecret) numberedName(p *project) string {
	return "projects/" + p.Number + "/secrets/" + s.ID
}

// findSecret returns the secret of the request and its node, or the node of its project beside the error.
func findSecret(c *call) (*managedSecret, node, error) {
	parent, p, err := c.state().projectNode(c.vars["project"])
	if err != nil {
		return nil, parent, err
	}
	s := secretsOf(c.state()).Secrets["projects/"+p.ID+"/secrets/"+c.vars["secret"]]
	if s == nil {
		return nil, parent, notFound("Secret [projects/%s/secrets/%s] not found.", p.Number, c.vars["secret"])
	}
	full := "//" + secretHost + "/projects/" + p.ID + "/secrets/" + s.ID
	return s, parent.child(full, s.numberedName(p), secretHost+"/Secret", s.Policy), nil
}

// newSecret returns a secret without versions that grants nothing to anybody.
func (st *secretState) newSecret(project, id string, now time.Time) *managedSecret {
	if st.Secrets == nil {
		st.Secrets = map[string]*managedSecret{}
	}
	s := &managedSecret{
		ID: id, Project: project, Created: now, Policy: &policy{}, Replication: json.RawMessage(`{"automatic":{}}`),
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

func (s *managedSecret) resource(p *project) secretResource {
	return secretResource{
		Name: s.numberedName(p), Replication: s.Replication, CreateTime: s.Created.UTC(), Labels: s.Labels,
		Annotations: s.Annotations, Etag: s.etag(),
	}
}

// etag is quoted, as Secret Manager's are.
func (s *managedSecret) etag() string {
	return fmt.Sprintf("%q", strconv.FormatInt(s.Created.UnixMicro()+s.Revision, 16))
}

func createSecret(c *call) (any, error) {
	parent, p, err := c.state().projectNode(c.vars["project"])
	if err := c.requireFound("secretmanager.secrets.create", parent, err); err != nil {
		return nil, err
	}
	id := c.query("secretId")
	if !secretID.MatchString(id) {
		return nil, invalid("The provided Secret ID [%s] does not match the expected format [[a-zA-Z_0-9]+]", id)
	}
	var replication struct {
		Automatic   json.RawMessage `json:"automatic"`
		UserManaged json.RawMessage `json:"userManaged"`
	}
	var raw json.RawMessage
	var labels, annotations map[string]string
	var name, created, etag any // output only: a client may send back what it read
	if err := c.decodeKnown(c.body, map[string]any{
		"replication": &raw, "labels": &labels, "annotations": &annotations, "name": &name, "createTime": &created, "etag": &etag,
	}); err != nil {
		return nil, err
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &replication); err != nil {
			return nil, invalid("Invalid value at 'secret.replication': %v", err)
		}
	}
	if (replication.Automatic == nil) == (replication.UserManaged == nil) {
		return nil, invalid("The replication policy is required, and must be either automatic or userManaged.")
	}
	st := secretsOf(c.state())
	if st.Secrets["projects/"+p.ID+"/secrets/"+id] != nil {
		return nil, alreadyExists("Secret [projects/%s/secrets/%s] already exists.", p.Number, id)
	}
	s := st.newSecret(p.ID, id, c.now)
	s.Replication, s.Labels, s.Annotations = raw, labels, annotations
	return s.resource(p), nil
}

func getSecret(c *call) (any, error) {
	s, n, err := findSecret(c)
	if err := c.requireFound("secretmanager.secrets.get", n, err); err != nil {
		return nil, err
	}
	return showSecret(c, s)
}

func showSecret(c *call, s *managedSecret) (any, error) {
	_, p, err := c.state().projectNode(s.Project)
	if err != nil {
		return nil, err
	}
	return s.resource(p), nil
}

func deleteSecret(c *call) (any, error) {
	s, n, err := findSecret(c)
	if err := c.requireFound("secretmanager.secrets.delete", n, err); err != nil {
		return nil, err
	}
	if etag := c.query("etag"); etag != "" && etag != s.etag() {
		return nil, precondition("The etag does not match that of the secret.")
	}
	delete(secretsOf(c.state()).Secrets, "projects/"+s.Project+"/secrets/"+s.ID)
	return struct{}{}, nil
}

func listSecrets(c *call) (any, error) {
	parent, p, err := c.state().projectNode(c.vars["project"])
	if err := c.requireFound("secretmanager.secrets.list", parent, err); err != nil {
		return nil, err
	}
	if c.query("filter") != "" {
		return nil, c.unsupported("filter")
	}
	all := secretsOf(c.state()).Secrets
	names := namesBelow(all, "projects/"+p.ID+"/")
	total := len(names)
	names, next, err := c.page(names, "pageSize", 25000)
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
