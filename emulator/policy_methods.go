package emulator

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// policySpec describes a resource type with a google.iam.v1 policy.
type policySpec struct {
	api        string // "pubsub.projects.topics", the id without the verb
	host       string
	path       string // "/v1/projects/{project}/topics/{topic}"
	getVerb    string // documented verb of getIamPolicy: GET or POST; the other is taken too
	permission string // "pubsub.topics"
	conditions bool   // the resource takes conditional bindings
	// grants names the roles that can be bound: those with a permission that begins
	// so. "" means any permission of the service, "*" every role.
	grants string
	public bool // takes allUsers and allAuthenticatedUsers
	audit  bool // has auditConfigs
	// find returns the resource and its policy, which write replaces in place. For a
	// missing resource it returns the node of its parent beside the error, so that
	// whoever may not see it learns nothing.
	find func(c *call) (node, *policy, error)
}

// policyMethods returns getIamPolicy, setIamPolicy and testIamPermissions.
func policyMethods(spec policySpec) []method {
	at := func(verb, name string) string { return verb + " " + spec.path + ":" + name }
	other := http.MethodPost
	if spec.getVerb == http.MethodPost {
		other = http.MethodGet
	}
	get := method{id: spec.api + ".getIamPolicy", host: spec.host, pattern: at(spec.getVerb, "getIamPolicy"), serve: spec.get}
	getOther := get
	getOther.pattern = at(other, "getIamPolicy")
	return []method{
		get, getOther,
		{id: spec.api + ".setIamPolicy", host: spec.host, pattern: at("POST", "setIamPolicy"), writes: true, serve: spec.set},
		{id: spec.api + ".testIamPermissions", host: spec.host, pattern: at("POST", "testIamPermissions"), serve: spec.test},
	}
}

// requestedVersion is the policy version that the caller asked for, in the query
// or in the body; 1 by default.
func (c *call) requestedVersion() (int, error) {
	var body struct {
		Options struct {
			RequestedPolicyVersion int `json:"requestedPolicyVersion"`
		} `json:"options"`
	}
	if err := c.decode(&body); err != nil {
		return 0, err
	}
	v := body.Options.RequestedPolicyVersion
	for _, name := range []string{"options.requestedPolicyVersion", "optionsRequestedPolicyVersion"} {
		if q := c.query(name); q != "" {
			n, err := strconv.Atoi(q)
			if err != nil {
				return 0, invalid("Invalid value at '%s' (TYPE_INT32), %q", name, q)
			}
			v = n
		}
	}
	return v, checkVersion(v)
}

func (spec policySpec) get(c *call) (any, error) {
	version, err := c.requestedVersion()
	if err != nil {
		return nil, err
	}
	n, p, err := spec.find(c)
	if err := c.requireFound(spec.permission+".getIamPolicy", n, err); err != nil {
		return nil, err
	}
	body, err := p.encoded(version)
	if err != nil || body == nil {
		return p.read(version), err
	}
	return &rawAnswer{header: jsonHeader(), body: body}, nil
}

// requireFound is require for a resource that may not exist: err says so, and is
// told only to those who would be allowed.
func (c *call) requireFound(permission string, n node, err error) error {
	if n.full == "" {
		return err
	}
	if denied := c.require(permission, n); denied != nil {
		return denied
	}
	return err
}

func (spec policySpec) set(c *call) (any, error) {
	var body struct {
		Policy     *wirePolicy `json:"policy"`
		UpdateMask string      `json:"updateMask"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body.Policy == nil {
		body.Policy = &wirePolicy{}
	}
	n, p, err := spec.find(c)
	var attributes map[string]any
	switch {
	case !spec.conditions && !slices.Contains(fenced, spec.host):
		attributes = map[string]any{modifiedGrantsByRole: unknownAttribute{}}
	case err == nil:
		attributes = map[string]any{modifiedGrantsByRole: changedRoles(p.Bindings, mergeBindings(body.Policy.Bindings))}
	}
	permission := spec.permission + ".setIamPolicy"
	if n.full != "" {
		if denied := c.requireWith(permission, n, attributes); denied != nil {
			return nil, denied
		}
	}
	if err != nil {
		return nil, err
	}
	o := spec.writeOptions()
	o.within = n.holders
	if body.UpdateMask != "" {
		o.mask = strings.Split(body.UpdateMask, ",")
	}
	if err := p.write(c.company(), c.now, *body.Policy, o); err != nil {
		return nil, err
	}
	return p.read(3), nil
}

// writeOptions says what a resource of the type accepts in its policy.
func (spec policySpec) writeOptions() writeOptions {
	o := writeOptions{conditions: spec.conditions, public: spec.public, audit: spec.audit, service: spec.grants,
		owners: spec.permission == "resourcemanager.projects"}
	switch spec.grants {
	case "":
		service, _, _ := strings.Cut(spec.permission, ".")
		o.service = service + "."
	case "*":
		o.service = ""
	}
	return o
}

// modifiedGrantsByRole is the API attribute that fences in who may grant what
// (iam/docs/setting-limits-on-granting-roles).
const modifiedGrantsByRole = "iam.googleapis.com/modifiedGrantsByRole"

// fenced are the services that know the attribute though their resources take no
// conditions. All others of that kind fail the request.
var fenced = []string{"cloudfunctions.googleapis.com"}

// changedRoles lists the roles whose bindings differ between two policies.
func changedRoles(before, after []binding) []string {
	grants := map[string]int{} // role, condition and member -> how often before, less after
	count := func(bs []binding, by int) {
		for _, b := range bs {
			for _, m := range b.Members {
				grants[b.key()+"\x00\x00"+m] += by
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

func (spec policySpec) test(c *call) (any, error) {
	n, _, err := spec.find(c)
	return c.testPermissions(n, err)
}

// testPermissions answers testIamPermissions: what of the asked the caller holds
// on n. A missing resource yields the empty set, not an error.
func (c *call) testPermissions(n node, missing error) (any, error) {
	var body struct {
		Permissions []string `json:"permissions"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	return c.held(body.Permissions, n, missing)
}

func (c *call) held(permissions []string, n node, missing error) (any, error) {
	for _, p := range permissions {
		if strings.Contains(p, "*") {
			return nil, invalid("Permission %s is not valid: wildcards are not allowed.", p)
		}
		if strings.Count(p, ".") < 2 {
			return nil, invalid("Permission %s is not valid.", p)
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
		c.decisions = append(c.decisions, d)
		if d.allowed && !twice[p] {
			held = append(held, p)
			twice[p] = true
		}
	}
	if len(held) > 0 {
		answer["permissions"] = held
	}
	return answer, nil
}
