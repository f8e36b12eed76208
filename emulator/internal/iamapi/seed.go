package iamapi

import (
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/secret"
)

// iamSeed reads the tables of who there is.
func iamSeed() (any, func(*wire.Seeding) error) {
	var in struct {
		Operator        seedPrincipal        `toml:"operator"`
		Principals      []seedPrincipal      `toml:"principal"`
		Groups          []seedGroup          `toml:"group"`
		ServiceAccounts []seedServiceAccount `toml:"service_account"`
		Pools           []seedPool           `toml:"pool"`
		Workforce       []seedPool           `toml:"workforce_pool"`
		Roles           []seedRole           `toml:"role"`
	}
	return &in, func(s *wire.Seeding) error {
		if err := seedAccounts(s, in.ServiceAccounts); err != nil {
			return err
		}
		if err := seedPools(s, in.Pools, in.Workforce); err != nil {
			return err
		}
		if err := seedPrincipals(s, in.Operator, in.Principals, in.Groups); err != nil {
			return err
		}
		return seedRoles(s, in.Roles)
	}
}

type seedPrincipal struct {
	// user:EMAIL, or the serviceAccount: or principal:// of an account or a pool that the seed has too.
	Member string `toml:"member"`
	Token  string `toml:"token"` // a bearer token that never expires; drawn at random for the operator if absent
}

type seedGroup struct {
	Email   string   `toml:"email"`
	Members []string `toml:"members"`
}

type seedServiceAccount struct {
	Project     string             `toml:"project"`
	ID          string             `toml:"id"`
	DisplayName string             `toml:"display_name"`
	Description string             `toml:"description"`
	Disabled    bool               `toml:"disabled"`
	Token       string             `toml:"token"` // as seedPrincipal's
	Bindings    []wire.SeedBinding `toml:"binding"`
}

// seedRole is a custom role.
type seedRole struct {
	Parent      string   `toml:"parent"` // projects/ID or organizations/NUMBER
	ID          string   `toml:"id"`
	Title       string   `toml:"title"`
	Description string   `toml:"description"`
	Stage       string   `toml:"stage"`
	Permissions []string `toml:"permissions"`
}

func seedPrincipals(s *wire.Seeding, operator seedPrincipal, others []seedPrincipal, groups []seedGroup) error {
	if err := seedOne(s, operator); err != nil {
		return fmt.Errorf("operator: %w", err)
	}
	s.Operator = operator.Member
	s.OperatorToken = secret.New(operator.Token)
	for _, p := range others {
		if err := seedOne(s, p); err != nil {
			return fmt.Errorf("principal: %w", err)
		}
	}
	for _, g := range groups {
		s.Groups[g.Email] = g.Members
	}
	return nil
}

// seedOne makes the person that a principal is, if it is one, and the token of a principal of any kind.
func seedOne(s *wire.Seeding, p seedPrincipal) error {
	if email, ok := strings.CutPrefix(p.Member, "user:"); ok && email != "" {
		s.People[email] = &iam.Person{Email: email, ID: iam.UniqueID()}
	}
	t, err := s.TokenOf(p.Member)
	if err != nil {
		return err
	}
	if p.Token != "" {
		s.Tokens[iam.TokenHash(p.Token)] = &t
	}
	return nil
}

func seedAccounts(s *wire.Seeding, accounts []seedServiceAccount) error {
	for _, a := range accounts {
		if s.ProjectBy(a.Project) == nil || !iam.AccountID().MatchString(a.ID) {
			return fmt.Errorf("service account %q of project %q: no such project, or an invalid id", a.ID, a.Project)
		}
		if s.AccountByEmail(iam.AccountEmail(a.ID, a.Project)) != nil {
			return fmt.Errorf("service account %q of project %q is there twice", a.ID, a.Project)
		}
		account := s.AddAccount(a.Project, a.ID)
		account.DisplayName, account.Description, account.Disabled = a.DisplayName, a.Description, a.Disabled
		if a.Token != "" {
			s.Tokens[iam.TokenHash(a.Token)] = &iam.AccessToken{Account: account.UniqueID}
		}
		s.Later(func() error {
			if err := s.Policy(&account.Policy, a.Bindings,
				iam.WriteOptions{Conditions: true, Service: "iam.serviceAccount"}); err != nil {
				return fmt.Errorf("service account %s: %w", a.ID, err)
			}
			return nil
		})
	}
	return nil
}

// seedRoles makes the custom roles of a seed.
func seedRoles(s *wire.Seeding, roles []seedRole) error {
	for _, in := range roles {
		r := &iam.CustomRole{Name: in.Parent + "/roles/" + in.ID, Title: in.Title, Description: in.Description,
			Stage:       in.Stage,
			Permissions: iam.SortedSet(in.Permissions)}
		parent, id, ok := iam.SplitCustomRole(r.Name)
		kind, number, _ := strings.Cut(parent, "/")
		if !ok || !iam.RoleID().MatchString(id) || s.Roles[r.Name] != nil ||
			kind == "projects" && s.Projects[number] == nil || kind == "organizations" &&
			s.Organizations[number] == nil {
			return fmt.Errorf("role %q: no such parent, an invalid id, or there twice", r.Name)
		}
		if err := r.Check(&s.Doubts); err != nil {
			return fmt.Errorf("role %s: %w", r.Name, err)
		}
		r.Touch(s.Now)
		s.Roles[r.Name] = r
	}
	return nil
}
