package emulator

import "strings"

// node is a resource as IAM sees it.
type node struct {
	full    string // full resource name: //storage.googleapis.com/projects/_/buckets/b/objects/o
	name    string // resource.name for conditions; "" if the service supplies none
	typ     string // resource.type; "" if none
	service string // resource.service
	// policies are the resource's own policy, if it has one, and those of its
	// ancestors, nearest first; holders are the full names of what they hang on.
	policies []*policy
	holders  []string
}

// child returns the node of a resource below n. own is nil for what has no policy
// of its own.
func (n node) child(full, name, typ string, own *policy) node {
	c := node{full: full, name: name, typ: typ, service: serviceOf(full)}
	if own != nil {
		c.policies, c.holders = []*policy{own}, []string{full}
	}
	c.policies = append(c.policies, n.policies...)
	c.holders = append(c.holders, n.holders...)
	return c
}

// serviceOf returns the service in a full resource name.
func serviceOf(full string) string {
	service, _, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	return service
}

// relative is the full name without its service.
func (n node) relative() string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(n.full, "//"), "/")
	return rest
}
