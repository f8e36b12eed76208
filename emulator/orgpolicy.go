package emulator

import "strings"

const orgPolicyHost = "orgpolicy.googleapis.com"

// listConstraints are the constraints that hold values; all others are on or off.
var listConstraints = []string{keyExpiry, longTokens, memberDomains}

// orgPolicyService is the Organization Policy API: the policies in force.
func orgPolicyService() *service {
	return &service{Name: orgPolicyHost, Title: "Organization Policy API", Methods: orgPolicyMethods()}
}

func orgPolicyMethods() []method {
	var ms []method
	for _, kind := range []string{"projects", "folders", "organizations"} {
		ms = append(ms, method{
			id: "orgpolicy." + kind + ".policies.getEffectivePolicy", host: orgPolicyHost,
			pattern: "GET /v2/" + kind + "/{" + strings.TrimSuffix(kind, "s") + "}/policies/{policy}:getEffectivePolicy",
			serve:   func(c *call) (any, error) { return effectivePolicy(c, kind) },
		})
	}
	return ms
}

// effectivePolicy says what a constraint comes to where nobody need have set it.
func effectivePolicy(c *call, kind string) (any, error) {
	id := c.vars[strings.TrimSuffix(kind, "s")]
	n, err := c.container(kind + "/" + id)
	if err != nil {
		return nil, err
	}
	if err := c.require("orgpolicy.policy.get", n); err != nil {
		return nil, err
	}
	if p := c.state().projectBy(id); kind == "projects" && p != nil {
		id = p.Number
	}
	name := c.vars["policy"]
	values, inForce := c.state().constraint(n.holders, name)
	rule := map[string]any{"enforce": inForce}
	for _, list := range listConstraints {
		switch {
		case list != name:
		case inForce:
			rule = map[string]any{"values": map[string]any{"allowedValues": values}}
		default:
			rule = map[string]any{"allowAll": true}
		}
	}
	return map[string]any{
		"name": kind + "/" + id + "/policies/" + name,
		"spec": map[string]any{"rules": []any{rule}},
	}, nil
}
