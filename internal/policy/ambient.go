package policy

// Ambient returns the bindings of a policy that reach the run's account without
// naming it: everybody's, and the principal sets that may hold it.
func Ambient(doc Document) []Binding {
	var out []Binding
	for _, b := range doc.Bindings() {
		if IsAmbient(b.Member) {
			out = append(out, b)
		}
	}
	return out
}

// IsAmbient reports whether a member reaches the run's account without naming it.
func IsAmbient(member string) bool {
	switch {
	case member == "allUsers", member == "allAuthenticatedUsers":
		return true
	default:
		return len(member) > len(PrincipalSets) && member[:len(PrincipalSets)] == PrincipalSets
	}
}

// PrincipalSets begins the members that are all principals of a project, a folder or an
// organization (iam/docs/principal-identifiers).
const PrincipalSets = "principalSet://cloudresourcemanager.googleapis.com/"
