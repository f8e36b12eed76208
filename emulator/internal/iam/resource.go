package iam

// Resource is a resource of which there is nothing but its name and its policy.
type Resource struct {
	// what it lies in, if its name does not say so: projects/ID, folders/N, organizations/N
	Parent string  `json:"parent,omitempty"`
	Policy *Policy `json:"policy,omitempty"`
}
