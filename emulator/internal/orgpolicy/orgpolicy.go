// Package orgpolicy is the Organization Policy API of the emulator: which policies are in
// force.
package orgpolicy

import (
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

const host = "orgpolicy.googleapis.com"

// listConstraints are the constraints that hold values; all others are on or off.
var listConstraints = []string{iam.KeyExpiry, iam.LongTokens, iam.MemberDomains}

// Service is the Organization Policy API: the policies in force.
func Service() *wire.Service {
	return &wire.Service{Name: host, Title: "Organization Policy API", Methods: methods()}
}

func methods() []wire.Method {
	var ms []wire.Method
	for _, kind := range []string{"projects", "folders", "organizations"} {
		ms = append(ms, wire.Method{
			ID: "orgpolicy." + kind + ".policies.getEffectivePolicy", Host: host,
			Pattern: "GET /v2/" + kind + "/{" + strings.TrimSuffix(kind, "s") +
				"}/policies/{policy}:getEffectivePolicy",
			Serve: func(c *wire.Call) (any, error) { return effectivePolicy(c, kind) },
		})
	}
	return ms
}

// effectivePolicy says what a constraint allows on a resource, also if no policy sets it.
func effectivePolicy(c *wire.Call, kind string) (any, error) {
	id := c.Vars[strings.TrimSuffix(kind, "s")]
	n, err := c.Container(kind + "/" + id)
	if err != nil {
		return nil, err
	}
	if err := c.Require("orgpolicy.policy.get", n); err != nil {
		return nil, err
	}
	if p := c.State().ProjectBy(id); kind == "projects" && p != nil {
		id = p.Number
	}
	name := c.Vars["policy"]
	values, inForce := c.State().Constraint(n.Holders, name)
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
