package iamapi

import (
	"encoding/json"
	"fmt"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/lazy"
)

var poolID = lazy.Regexp(`^[a-z0-9-]{4,32}$`)

var workforcePoolID = lazy.Regexp(`^[a-z][a-z0-9-]{4,61}[a-z0-9]$`)

// seedPools makes the workload and the workforce identity pools of a seed.
func seedPools(s *wire.Seeding, workloads, workforce []seedPool) error {
	for _, in := range workloads {
		p := s.Projects[in.Project]
		if p == nil || !poolID().MatchString(in.ID) {
			return fmt.Errorf("identity pool %q of project %q: no such project, or an id that is not 4 to 32 of "+
				"[a-z0-9-]", in.ID, in.Project)
		}
		if err := in.add(s, "projects/"+p.Number+"/locations/global/workloadIdentityPools/"+in.ID); err != nil {
			return err
		}
	}
	for _, in := range workforce {
		if in.Project != "" || !workforcePoolID().MatchString(in.ID) {
			return fmt.Errorf("workforce pool %q: it is in no project, and its id is 6 to 63 of [a-z0-9-]", in.ID)
		}
		if err := in.add(s, "locations/global/workforcePools/"+in.ID); err != nil {
			return err
		}
	}
	return nil
}

// add makes the pool, under its full name.
func (in *seedPool) add(s *wire.Seeding, name string) error {
	if s.Pools[name] != nil {
		return fmt.Errorf("identity pool %s is there twice", name)
	}
	pool := &iam.IdentityPool{Name: name, Disabled: in.Disabled, Providers: map[string]*iam.IdentityProvider{}}
	for _, q := range in.Providers {
		provider := &iam.IdentityProvider{Disabled: q.Disabled, Issuer: q.Issuer, JWKS: json.RawMessage(q.JWKS),
			Audiences: q.Audiences, Mapping: q.Mapping, Condition: q.Condition}
		if !poolID().MatchString(q.ID) || pool.Providers[q.ID] != nil {
			return fmt.Errorf("provider %q of identity pool %s: an invalid id, or there twice", q.ID, in.ID)
		}
		if err := checkProvider(provider); err != nil {
			return fmt.Errorf("provider %s of identity pool %s: %w", q.ID, in.ID, err)
		}
		pool.Providers[q.ID] = provider
	}
	s.Pools[name] = pool
	return nil
}

// seedPool is a workload identity pool, or a workforce pool, which is in no project.
type seedPool struct {
	Project   string         `toml:"project"`
	ID        string         `toml:"id"`
	Disabled  bool           `toml:"disabled"`
	Providers []seedProvider `toml:"provider"`
}

// seedProvider is an OIDC provider of a pool, whose keys were uploaded.
type seedProvider struct {
	ID        string            `toml:"id"`
	Disabled  bool              `toml:"disabled"`
	Issuer    string            `toml:"issuer"`
	JWKS      string            `toml:"jwks"`      // a JSON Web Key Set (RFC 7517)
	Audiences []string          `toml:"audiences"` // what a token may be for; the provider's own name if absent
	Mapping   map[string]string `toml:"mapping"`   // "google.subject" = "assertion.sub"
	Condition string            `toml:"condition"` // CEL over assertion, google and attribute
}
