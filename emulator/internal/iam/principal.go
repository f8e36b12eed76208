package iam

import "encoding/json"

// Principal is who makes a call.
type Principal struct {
	Member     string     // "serviceAccount:EMAIL", "user:EMAIL", "principal://..."
	Email      string     // as messages name it
	Account    *Account   // nil for all others
	Federated  *Federated // nil for all others
	Scopes     []string   // nil means every scope
	SelfSigned bool       // came with a JWT that it signed itself
	Anonymous  bool       // has no login
	Boundary   *Boundary  // of the token; nil means none
	// Attributes are what api.getAttribute reads in the conditions of a boundary alone.
	Attributes map[string]any

	identities map[string]bool // every member string that means it; filled when first asked
}

// Nobody returns the principal of a call without a login.
func Nobody() *Principal {
	return &Principal{Member: AllUsers, Email: "Anonymous caller", Anonymous: true}
}

// IdentityPool is a workload or workforce identity pool: identities from elsewhere, named by what
// its providers say of them (iam/docs/workload-identity-federation, iam/docs/workforce-identity-federation).
type IdentityPool struct {
	// projects/NUMBER/locations/global/workloadIdentityPools/ID or locations/global/workforcePools/ID
	Name      string                       `json:"name"`
	Disabled  bool                         `json:"disabled,omitempty"`
	Providers map[string]*IdentityProvider `json:"providers,omitempty"` // by id
}

// IdentityProvider is an OIDC provider of a pool, with the keys that were uploaded for it.
type IdentityProvider struct {
	Disabled  bool              `json:"disabled,omitempty"`
	Issuer    string            `json:"issuer"`
	JWKS      json.RawMessage   `json:"jwks"`
	Audiences []string          `json:"audiences,omitempty"`
	Mapping   map[string]string `json:"mapping"`
	Condition string            `json:"condition,omitempty"`
}

// Federated is the identity that a token of a pool is for.
type Federated struct {
	Pool       string            `json:"pool"` // the pool's name
	Subject    string            `json:"subject"`
	Groups     []string          `json:"groups,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"` // the mapped ones, without "attribute."
}

// Member is the identity as policies name it.
func (f *Federated) Member() string {
	return "principal://" + Host + "/" + f.Pool + "/subject/" + f.Subject
}

// sets returns the principal sets that f is in (iam/docs/principal-identifiers).
func (f *Federated) sets() []string {
	pool := "principalSet://" + Host + "/" + f.Pool
	out := []string{pool + "/*"}
	for _, g := range f.Groups {
		out = append(out, pool+"/group/"+g)
	}
	for name, value := range f.Attributes {
		out = append(out, pool+"/attribute."+name+"/"+value)
	}
	return out
}
