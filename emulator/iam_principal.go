package emulator

import "encoding/json"

// principal is who makes a call.
type principal struct {
	member    string          // "serviceAccount:EMAIL", "user:EMAIL", "principal://..."
	email     string          // as messages name it
	account   *serviceAccount // nil for all others
	federated *federated      // nil for all others
	scopes    []string        // nil means every scope
	jwt       bool            // came with a JWT that it signed itself

	identities map[string]bool // every member string that means it; filled when first asked
}

// identityPool is a workload identity pool: identities from elsewhere, named by what
// its providers say of them (iam/docs/workload-identity-federation).
type identityPool struct {
	Name      string                       `json:"name"` // projects/NUMBER/locations/global/workloadIdentityPools/ID
	Disabled  bool                         `json:"disabled,omitempty"`
	Providers map[string]*identityProvider `json:"providers,omitempty"` // by id
}

// identityProvider is an OIDC provider of a pool, with the keys that were uploaded for it.
type identityProvider struct {
	Disabled  bool              `json:"disabled,omitempty"`
	Issuer    string            `json:"issuer"`
	JWKS      json.RawMessage   `json:"jwks"`
	Audiences []string          `json:"audiences,omitempty"`
	Mapping   map[string]string `json:"mapping"`
	Condition string            `json:"condition,omitempty"`
}

// federated is whom a token of a pool is for.
type federated struct {
	Pool       string            `json:"pool"` // the pool's name
	Subject    string            `json:"subject"`
	Groups     []string          `json:"groups,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"` // the mapped ones, without "attribute."
}

func (f *federated) member() string {
	return "principal://" + iamHost + "/" + f.Pool + "/subject/" + f.Subject
}

// sets returns the principal sets that f is in (iam/docs/principal-identifiers).
func (f *federated) sets() []string {
	pool := "principalSet://" + iamHost + "/" + f.Pool
	out := []string{pool + "/*"}
	for _, g := range f.Groups {
		out = append(out, pool+"/group/"+g)
	}
	for name, value := range f.Attributes {
		out = append(out, pool+"/attribute."+name+"/"+value)
	}
	return out
}
