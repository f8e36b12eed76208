package iam

import (
	"slices"
	"strings"
	"time"
)

// MaxBoundaryRules is how many rules a boundary may have.
const MaxBoundaryRules = 10

// Boundary is what a token can be used for at most: the union of its rules. It grants nothing by itself
// (iam/docs/downscoping-short-lived-credentials).
type Boundary struct {
	Rules []BoundaryRule `json:"rules"`
}

// BoundaryRule makes the permissions of some roles available on a resource and on what is below it.
type BoundaryRule struct {
	Resource  string     `json:"resource"` // full name
	Roles     []string   `json:"roles"`
	Condition *Condition `json:"condition,omitempty"`
}

// admits reports whether the boundary of who, if there is one, leaves the permission on n.
func (s *Company) admits(who *Principal, permission string, n Node, now time.Time) bool {
	if who.Boundary == nil {
		return true
	}
	return slices.ContainsFunc(who.Boundary.Rules, func(r BoundaryRule) bool {
		if n.Full != r.Resource && !strings.HasPrefix(n.Full, r.Resource+"/") ||
			!slices.ContainsFunc(r.Roles, func(role string) bool { return s.grants(role, permission, now) }) {
			return false
		}
		if r.Condition == nil {
			return true
		}
		yes, err := r.Condition.holds(n, now, who.Attributes)
		return err == nil && yes // what cannot be evaluated makes nothing available
	})
}
