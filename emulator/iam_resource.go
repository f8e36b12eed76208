package emulator

// namedResource is a resource of which there is nothing but its name and its policy.
type namedResource struct {
	Parent string  `json:"parent,omitempty"` // what it lies in, if its name does not say so: projects/ID, folders/N, organizations/N
	Policy *policy `json:"policy,omitempty"`
}
