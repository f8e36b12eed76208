package resourcemanager

import (
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// seed reads the tables of the organization, its folders and projects.
func seed() (any, func(*wire.Seeding) error) {
	var in containerTables
	return &in, func(s *wire.Seeding) error {
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
	Number      string             `toml:"number"`
	Domain      string             `toml:"domain"`
	Constraints []string           `toml:"constraints"` // as seedProject's
	Bindings    []wire.SeedBinding `toml:"binding"`
}

type seedFolder struct {
	Number      string             `toml:"number"`
	Name        string             `toml:"name"`
	Parent      string             `toml:"parent"`
	Constraints []string           `toml:"constraints"` // as seedProject's
	Bindings    []wire.SeedBinding `toml:"binding"`
}

type seedProject struct {
	ID     string `toml:"id"`
	Number string `toml:"number"`
	Name   string `toml:"name"`
	Parent string `toml:"parent"`
	// organization policies in force: "iam.disableServiceAccountKeyUpload", "iam.serviceAccountKeyExpiryHours=8h"
	Constraints []string `toml:"constraints"`
	// how many service accounts the project may have; 0 means 100
	AccountQuota int                `toml:"account_quota"`
	Disabled     []string           `toml:"disabled_services"` // APIs that are not enabled: "pubsub.googleapis.com"
	Bindings     []wire.SeedBinding `toml:"binding"`
	AuditConfigs []seedAudit        `toml:"audit"`
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
		out = append(out, iam.ConstraintsName+strings.TrimPrefix(c, iam.ConstraintsName))
	}
	return out
}

func (in *containerTables) make(s *wire.Seeding) error {
	if o := in.Organization; o.Number != "" {
		s.Organizations[o.Number] = &iam.Organization{Number: o.Number, Domain: o.Domain,
			Constraints: named(o.Constraints)}
	}
	for _, f := range in.Folders {
		if f.Number == "" {
			return fmt.Errorf("folder %q has no number", f.Name)
		}
		s.Folders[f.Number] = &iam.Folder{Number: f.Number, Name: f.Name, Parent: f.Parent,
			Constraints: named(f.Constraints)}
	}
	for _, p := range in.Projects {
		if p.ID == "" || p.Number == "" || s.ProjectBy(p.ID) != nil || s.ProjectBy(p.Number) != nil {
			return fmt.Errorf("project %q needs an id and a number that no other has", p.ID)
		}
		s.Projects[p.ID] = &iam.Project{ID: p.ID, Number: p.Number, Name: p.Name, Parent: p.Parent, Created: s.Now,
			Constraints: named(p.Constraints), AccountQuota: p.AccountQuota, Disabled: p.Disabled}
	}
	for _, f := range s.Folders {
		if s.ContainerNode(f.Parent).Full == "" {
			return fmt.Errorf("folder %s: its parent %q does not exist", f.Number, f.Parent)
		}
	}
	for _, p := range s.Projects {
		if p.Parent != "" && s.ContainerNode(p.Parent).Full == "" {
			return fmt.Errorf("project %s: its parent %q does not exist", p.ID, p.Parent)
		}
	}
	return nil
}

func (in *containerTables) seedPolicies(s *wire.Seeding) error {
	container := iam.WriteOptions{Conditions: true, Audit: true}
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
			config := iam.AuditConfig{Service: a.Service}
			for _, t := range a.Types {
				config.LogTypes = append(config.LogTypes, iam.AuditLogConfig{LogType: t, Exempted: a.Exempted})
			}
			policy.AuditConfigs = append(policy.AuditConfigs, config)
			policy.Touch(s.Now)
		}
	}
	return nil
}
