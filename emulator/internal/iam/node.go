package iam

import "strings"

// Node is a resource as IAM sees it.
type Node struct {
	Full    string // full resource name: //storage.googleapis.com/projects/_/buckets/b/objects/o
	Name    string // resource.name for conditions; "" if the service supplies none
	Type    string // resource.type; "" if none
	Service string // resource.service
	// Policies are the resource's own policy, if it has one, and those of its
	// ancestors, nearest first; holders are the full names of the resources that have them.
	Policies []*Policy
	Holders  []string
	// Private is what public access prevention protects: allUsers and allAuthenticatedUsers mean nobody there.
	Private bool
}

// Child returns the node of a resource below n. own is nil for what has no policy
// of its own.
func (n Node) Child(full, name, typ string, own *Policy) Node {
	c := Node{Full: full, Name: name, Type: typ, Service: serviceOf(full), Private: n.Private}
	if own != nil {
		c.Policies, c.Holders = []*Policy{own}, []string{full}
	}
	c.Policies = append(c.Policies, n.Policies...)
	c.Holders = append(c.Holders, n.Holders...)
	return c
}

// serviceOf returns the service in a full resource name.
func serviceOf(full string) string {
	service, _, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	return service
}

// Relative is the full name without its service.
func (n Node) Relative() string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(n.Full, "//"), "/")
	return rest
}
