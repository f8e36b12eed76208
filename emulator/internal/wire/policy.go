package wire

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// PolicySpec describes a resource type with a google.iam.v1 policy.
type PolicySpec struct {
	ID         string // "pubsub.projects.topics", the id without the verb
	Host       string
	Path       string // "/v1/projects/{project}/topics/{topic}"
	GetVerb    string // documented verb of getIamPolicy: GET or POST; the other is taken too
	Permission string // "pubsub.topics"
	Conditions bool   // the resource takes conditional bindings
	// Grants names the roles that can be bound: those with a permission that begins
	// so. "" means any permission of the service, "*" every role.
	Grants string
	Public bool // takes allUsers and allAuthenticatedUsers
	Audit  bool // has auditConfigs
	// Find returns the resource and its policy, which a write replaces in place. For a
	// missing resource it returns the node of its parent and the error, so that
	// a caller that may not see it learns nothing.
	Find func(c *Call) (iam.Node, *iam.Policy, error)
}

// PolicyMethods returns getIamPolicy, setIamPolicy and testIamPermissions.
func PolicyMethods(spec PolicySpec) []Method {
	at := func(verb, name string) string { return verb + " " + spec.Path + ":" + name }
	other := http.MethodPost
	if spec.GetVerb == http.MethodPost {
		other = http.MethodGet
	}
	get := Method{ID: spec.ID + ".getIamPolicy", Host: spec.Host, Pattern: at(spec.GetVerb, "getIamPolicy"),
		Serve: spec.Get}
	getOther := get
	getOther.Pattern = at(other, "getIamPolicy")
	return []Method{
		get, getOther,
		{ID: spec.ID + ".setIamPolicy", Host: spec.Host, Pattern: at("POST", "setIamPolicy"), Writes: true,
			Serve: spec.Set},
		{ID: spec.ID + ".testIamPermissions", Host: spec.Host, Pattern: at("POST", "testIamPermissions"),
			Serve: spec.Test},
	}
}

// RequestedVersion is the policy version that the caller asked for, in the query
// or in the body; 1 by default.
func (c *Call) RequestedVersion() (int, error) {
	var body struct {
		Options struct {
			RequestedPolicyVersion int `json:"requestedPolicyVersion"`
		} `json:"options"`
	}
	if err := c.Decode(&body); err != nil {
		return 0, err
	}
	v := body.Options.RequestedPolicyVersion
	for _, name := range []string{"options.requestedPolicyVersion", "optionsRequestedPolicyVersion"} {
		if q := c.Query(name); q != "" {
			n, err := strconv.Atoi(q)
			if err != nil {
				return 0, Invalid("Invalid value at '%s' (TYPE_INT32), %q", name, q)
			}
			v = n
		}
	}
	return v, iam.CheckVersion(v)
}

// Get serves getIamPolicy.
func (spec PolicySpec) Get(c *Call) (any, error) {
	version, err := c.RequestedVersion()
	if err != nil {
		return nil, err
	}
	n, p, err := spec.Find(c)
	if err := c.RequireFound(spec.Permission+".getIamPolicy", n, err); err != nil {
		return nil, err
	}
	body, err := p.Encoded(version)
	if err != nil || body == nil {
		return p.Read(version), err
	}
	return &Raw{Header: jsonHeader(), Body: body}, nil
}

// RequireFound is [Call.Require] for a resource that may not exist: err says so, and is
// told only to those who would be allowed.
func (c *Call) RequireFound(permission string, n iam.Node, err error) error {
	if n.Full == "" {
		return err
	}
	if denied := c.Require(permission, n); denied != nil {
		return denied
	}
	return err
}

// Set serves setIamPolicy.
func (spec PolicySpec) Set(c *Call) (any, error) {
	var body struct {
		Policy     *iam.PolicyJSON `json:"policy"`
		UpdateMask string          `json:"updateMask"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if body.Policy == nil {
		body.Policy = &iam.PolicyJSON{}
	}
	n, p, err := spec.Find(c)
	var attributes map[string]any
	switch {
	case !spec.Conditions && !slices.Contains(fenced, spec.Host):
		attributes = map[string]any{ModifiedGrantsByRole: iam.UnknownAttribute{}}
	case err == nil:
		attributes = map[string]any{ModifiedGrantsByRole: ChangedRoles(p.Bindings,
			iam.MergeBindings(body.Policy.Bindings))}
	}
	permission := spec.Permission + ".setIamPolicy"
	if n.Full != "" {
		if denied := c.RequireWith(permission, n, attributes); denied != nil {
			return nil, denied
		}
	}
	if err != nil {
		return nil, err
	}
	o := spec.WriteOptions()
	o.Within = n.Holders
	if body.UpdateMask != "" {
		o.Mask = strings.Split(body.UpdateMask, ",")
	}
	if err := p.Write(c.Company(), c.Now, *body.Policy, o); err != nil {
		return nil, err
	}
	return p.Read(3), nil
}

// WriteOptions says what a resource of the type accepts in its policy.
func (spec PolicySpec) WriteOptions() iam.WriteOptions {
	o := iam.WriteOptions{Conditions: spec.Conditions, Public: spec.Public, Audit: spec.Audit, Service: spec.Grants,
		Owners: spec.Permission == "resourcemanager.projects"}
	switch spec.Grants {
	case "":
		service, _, _ := strings.Cut(spec.Permission, ".")
		o.Service = service + "."
	case "*":
		o.Service = ""
	}
	return o
}

// ModifiedGrantsByRole is the API attribute that fences in who may grant what
// (iam/docs/setting-limits-on-granting-roles).
const ModifiedGrantsByRole = "iam.googleapis.com/modifiedGrantsByRole"

// fenced are the services that know the attribute though their resources take no
// conditions. All others of that kind fail the request.
var fenced = []string{"cloudfunctions.googleapis.com"}

// ChangedRoles lists the roles whose bindings differ between two policies.
func ChangedRoles(before, after []iam.Binding) []string {
	grants := map[string]int{} // role, condition and member -> how often before, less after
	count := func(bs []iam.Binding, by int) {
		for _, b := range bs {
			for _, m := range b.Members {
				grants[b.Key()+"\x00\x00"+m] += by
			}
		}
	}
	count(before, 1)
	count(after, -1)
	roles := []string{}
	for key, n := range grants {
		role, _, _ := strings.Cut(key, "\x00")
		if n != 0 && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return roles
}

// Test serves testIamPermissions.
func (spec PolicySpec) Test(c *Call) (any, error) {
	n, _, err := spec.Find(c)
	return c.testPermissions(n, err)
}

// testPermissions answers testIamPermissions: what of the asked the caller holds
// on n. A missing resource yields the empty set, not an error.
func (c *Call) testPermissions(n iam.Node, missing error) (any, error) {
	var body struct {
		Permissions []string `json:"permissions"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	return c.AnswerHeld(body.Permissions, n, missing)
}

// projects is what the full names of projects begin with.
const projects = "//" + iam.ResourceManagerHost + "/projects/"

// AnswerHeld answers which of the permissions the caller holds on n. A missing resource
// yields the empty set. A project is not asked about what is above it
// (googleapis/google-cloud-java#722).
func (c *Call) AnswerHeld(permissions []string, n iam.Node, missing error) (any, error) {
	for _, p := range permissions {
		if strings.Contains(p, "*") {
			return nil, Invalid("Permission %s is not valid: wildcards are not allowed.", p)
		}
		if strings.Count(p, ".") < 2 || iam.AboveProjects(p) && strings.HasPrefix(n.Full, projects) {
			return nil, Invalid("Permission %s is not valid.", p)
		}
	}
	answer := map[string]any{}
	if missing != nil {
		return answer, nil
	}
	var held []string
	twice := map[string]bool{}
	for _, p := range permissions {
		d := c.decide(p, n, nil)
		c.Decisions = append(c.Decisions, d)
		if d.Allowed && !twice[p] {
			held = append(held, p)
			twice[p] = true
		}
	}
	if len(held) > 0 {
		answer["permissions"] = held
	}
	return answer, nil
}
