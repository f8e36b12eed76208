package emulator

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/secret"
)

//go:embed seed/acme.toml
var acme []byte

// parseSeed reads TOML strictly: each unknown key is an error with its line.
func parseSeed(data []byte) (*seed, error) {
	var sd seed
	dec := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	err := dec.Decode(&sd)
	if err == nil {
		return &sd, nil
	}
	var at []error
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		for _, e := range strict.Errors {
			row, column := e.Position()
			at = append(at, fmt.Errorf("%d:%d: unknown key %s", row, column, strings.Join(e.Key(), ".")))
		}
	} else if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, column := e.Position()
		at = append(at, fmt.Errorf("%d:%d: %w", row, column, err))
	} else {
		at = append(at, err)
	}
	return nil, fault.New(fault.Usage, "reading the seed: %w", errors.Join(at...))
}

// seedFrom fills the state from TOML, or with the built-in company if there is none.
func (s *Server) seedFrom(data []byte) error {
	if data == nil {
		data = acme
	}
	sd, err := parseSeed(data)
	if err != nil {
		return err
	}
	if err := s.seedAll(sd); err != nil {
		return fault.New(fault.Usage, "seeding the emulator: %w", err)
	}
	return nil
}

func (s *Server) seedAll(sd *seed) error {
	for _, step := range []func(*seed) error{
		s.seedHierarchy, s.seedPrincipals, s.seedAccounts, s.seedRoles, s.seedPools, s.seedPolicies,
		func(sd *seed) error { return s.seedStorage(sd.Buckets) },
		func(sd *seed) error { return s.seedPubsub(sd.Topics, sd.Subscriptions) },
		func(sd *seed) error { return s.seedSecrets(sd.Secrets) },
		func(sd *seed) error { return s.seedBigquery(sd.Datasets) },
		func(sd *seed) error { return s.seedKMS(sd.KeyRings) },
		func(sd *seed) error { return s.seedResources(sd.Resources) },
	} {
		if err := step(sd); err != nil {
			return err
		}
	}
	return nil
}

// named gives organization policies the prefix that they are kept under.
func named(constraints []string) []string {
	var out []string
	for _, c := range constraints {
		out = append(out, constraintsName+strings.TrimPrefix(c, constraintsName))
	}
	return out
}

func (s *Server) seedHierarchy(sd *seed) error {
	s.state.Doubts = sd.Doubts
	if o := sd.Organization; o.Number != "" {
		s.state.Organizations[o.Number] = &organization{Number: o.Number, Domain: o.Domain, Constraints: named(o.Constraints)}
	}
	for _, f := range sd.Folders {
		if f.Number == "" {
			return fmt.Errorf("folder %q has no number", f.Name)
		}
		s.state.Folders[f.Number] = &folder{Number: f.Number, Name: f.Name, Parent: f.Parent, Constraints: named(f.Constraints)}
	}
	for _, p := range sd.Projects {
		if p.ID == "" || p.Number == "" || s.state.projectBy(p.ID) != nil || s.state.projectBy(p.Number) != nil {
			return fmt.Errorf("project %q needs an id and a number that no other has", p.ID)
		}
		s.state.Projects[p.ID] = &project{ID: p.ID, Number: p.Number, Name: p.Name, Parent: p.Parent, Created: s.now(),
			Constraints: named(p.Constraints), AccountQuota: p.AccountQuota, Disabled: p.Disabled}
	}
	for _, f := range s.state.Folders {
		if s.state.containerNode(f.Parent).full == "" {
			return fmt.Errorf("folder %s: its parent %q does not exist", f.Number, f.Parent)
		}
	}
	for _, p := range s.state.Projects {
		if p.Parent != "" && s.state.containerNode(p.Parent).full == "" {
			return fmt.Errorf("project %s: its parent %q does not exist", p.ID, p.Parent)
		}
	}
	return nil
}

func (s *Server) seedPrincipals(sd *seed) error {
	operator, err := s.seedPerson(sd.Operator)
	if err != nil {
		return fmt.Errorf("operator: %w", err)
	}
	s.state.Operator = operator
	s.token = secret.New(sd.Operator.Token)
	for _, p := range sd.Principals {
		if _, err := s.seedPerson(p); err != nil {
			return err
		}
	}
	for _, g := range sd.Groups {
		s.state.Groups[g.Email] = g.Members
	}
	return nil
}

func (s *Server) seedPerson(p seedPrincipal) (email string, err error) {
	email, ok := strings.CutPrefix(p.Member, "user:")
	if !ok || email == "" {
		return "", fmt.Errorf("principal %q is not of the form user:EMAIL", p.Member)
	}
	s.state.People[email] = &person{Email: email, ID: uniqueID()}
	if p.Token != "" {
		s.state.Tokens[tokenHash(p.Token)] = &accessToken{Person: email}
	}
	return email, nil
}

func (s *Server) seedAccounts(sd *seed) error {
	for _, a := range sd.ServiceAccounts {
		if s.state.projectBy(a.Project) == nil || !accountID.MatchString(a.ID) {
			return fmt.Errorf("service account %q of project %q: no such project, or an invalid id", a.ID, a.Project)
		}
		if s.state.accountByEmail(accountEmail(a.ID, a.Project)) != nil {
			return fmt.Errorf("service account %q of project %q is there twice", a.ID, a.Project)
		}
		account := s.state.addAccount(a.Project, a.ID)
		account.DisplayName, account.Description, account.Disabled = a.DisplayName, a.Description, a.Disabled
		if a.Token != "" {
			s.state.Tokens[tokenHash(a.Token)] = &accessToken{Account: account.UniqueID}
		}
	}
	return nil
}

func (s *Server) seedPolicies(sd *seed) error {
	container := writeOptions{conditions: true, audit: true}
	if o := s.state.Organizations[sd.Organization.Number]; o != nil {
		if err := s.seedPolicy(&o.Policy, sd.Organization.Bindings, container); err != nil {
			return fmt.Errorf("organization: %w", err)
		}
	}
	for _, f := range sd.Folders {
		if err := s.seedPolicy(&s.state.Folders[f.Number].Policy, f.Bindings, container); err != nil {
			return fmt.Errorf("folder %s: %w", f.Number, err)
		}
	}
	for _, p := range sd.Projects {
		policy := &s.state.Projects[p.ID].Policy
		if err := s.seedPolicy(policy, p.Bindings, container); err != nil {
			return fmt.Errorf("project %s: %w", p.ID, err)
		}
		for _, a := range p.AuditConfigs {
			config := auditConfig{Service: a.Service}
			for _, t := range a.Types {
				config.LogTypes = append(config.LogTypes, auditLogConfig{LogType: t, Exempted: a.Exempted})
			}
			policy.AuditConfigs = append(policy.AuditConfigs, config)
			policy.touch(s.now())
		}
	}
	for _, a := range sd.ServiceAccounts {
		account := s.state.accountByEmail(accountEmail(a.ID, a.Project))
		if err := s.seedPolicy(&account.Policy, a.Bindings, writeOptions{conditions: true, service: "iam.serviceAccount"}); err != nil {
			return fmt.Errorf("service account %s: %w", a.ID, err)
		}
	}
	return nil
}
