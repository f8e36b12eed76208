package emulator

import (
	"fmt"
	"strings"
)

// containerSeed reads the tables of the organization, its folders and projects.
func containerSeed() (any, func(*seeding) error) {
	var in containerTables
	return &in, func(s *seeding) error {
		s.Later(func() error { return in.seedPolicies(s) })
		return in.make(s)
	}
}

type containerTables struct {
	Organization seedOrganization `toml:"organization"`
	Folders      []seedFolder     `toml:"folder"`
	Projects     []seedProject    `toml:"project"`
}

type seedOrganization struct {
	Number      string        `toml:"number"`
	Domain      string        `toml:"domain"`
	Constraints []string      `toml:"constraints"` // as seedProject's
	Bindings    []SeedBinding `toml:"binding"`
}

type seedFolder struct {
	Number      string        `toml:"number"`
	Name        string        `toml:"name"`
	Parent      string        `toml:"parent"`
	Constraints []string      `toml:"constraints"` // as seedProject's
	Bindings    []SeedBinding `toml:"binding"`
}

type seedProject struct {
	ID           string        `toml:"id"`
	Number       string        `toml:"number"`
	Name         string        `toml:"name"`
	Parent       string        `toml:"parent"`
	Constraints  []string      `toml:"constraints"`       // organization policies in force: "iam.disableServiceAccountKeyUpload", "iam.serviceAccountKeyExpiryHours=8h"
	AccountQuota int           `toml:"account_quota"`     // how many service accounts the project may have; 0 means 100
	Disabled     []string      `toml:"disabled_services"` // APIs that are not enabled: "pubsub.googleapis.com"
	Bindings     []SeedBinding `toml:"binding"`
	AuditConfigs []seedAudit   `toml:"audit"`
}

type seedAudit struct {
	Service  string   `toml:"service"`
	Types    []string `toml:"types"`
	Exempted []string `toml:"exempted"`
}

// named gives organization policies the prefix that they are kept under.
func named(constraints []string) []string {
	var out []string
	for _, c := range constraints {
		out = append(out, constraintsName+strings.TrimPrefix(c, constraintsName))
	}
	return out
}

func (in *containerTables) make(s *seeding) error {
	if o := in.Organization; o.Number != "" {
		s.Organizations[o.Number] = &organization{Number: o.Number, Domain: o.Domain, Constraints: named(o.Constraints)}
	}
	for _, f := range in.Folders {
		if f.Number == "" {
			return fmt.Errorf("folder %q has no number", f.Name)
		}
		s.Folders[f.Number] = &folder{Number: f.Number, Name: f.Name, Parent: f.Parent, Constraints: named(f.Constraints)}
	}
	for _, p := range in.Projects {
		if p.ID == "" || p.Number == "" || s.projectBy(p.ID) != nil || s.projectBy(p.Number) != nil {
			return fmt.Errorf("project %q needs an id and a number that no other has", p.ID)
		}
		s.Projects[p.ID] = &project{ID: p.ID, Number: p.Number, Name: p.Name, Parent: p.Parent, Created: s.Now,
			Constraints: named(p.Constraints), AccountQuota: p.AccountQuota, Disabled: p.Disabled}
	}
	for _, f := range s.Folders {
		if s.containerNode(f.Parent).full == "" {
			return fmt.Errorf("folder %s: its parent %q does not exist", f.Number, f.Parent)
		}
	}
	for _, p := range s.Projects {
		if p.Parent != "" && s.containerNode(p.Parent).full == "" {
			return fmt.Errorf("project %s: its parent %q does not exist", p.ID, p.Parent)
		}
	}
	return nil
}

func (in *containerTables) seedPolicies(s *seeding) error {
	container := writeOptions{conditions: true, audit: true}
	if o := s.Organizations[in.Organization.Number]; o != nil {
		if err := s.Policy(&o.Policy, in.Organization.Bindings, container); err != nil {
			return fmt.Errorf("organization: %w", err)
		}
	}
	for _, f := range in.Folders {
		if err := s.Policy(&s.Folders[f.Number].Policy, f.Bindings, container); err != nil {
			return fmt.Errorf("folder %s: %w", f.Number, err)
		}
	}
	for _, p := range in.Projects {
		policy := &s.Projects[p.ID].Policy
		if err := s.Policy(policy, p.Bindings, container); err != nil {
			return fmt.Errorf("project %s: %w", p.ID, err)
		}
		for _, a := range p.AuditConfigs {
			config := auditConfig{Service: a.Service}
			for _, t := range a.Types {
				config.LogTypes = append(config.LogTypes, auditLogConfig{LogType: t, Exempted: a.Exempted})
			}
			policy.AuditConfigs = append(policy.AuditConfigs, config)
			policy.touch(s.Now)
		}
	}
	return nil
}
