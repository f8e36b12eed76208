package secretmanager

import (
	"fmt"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

func seed() (any, func(*wire.Seeding) error) {
	var in struct {
		Secrets []seedSecret `toml:"secret"`
	}
	return &in, func(s *wire.Seeding) error { return seedSecrets(s, in.Secrets) }
}

// seedSecrets makes the secrets of a seed, with a version for each value.
func seedSecrets(s *wire.Seeding, secrets []seedSecret) error {
	for _, in := range secrets {
		name := "projects/" + in.Project + "/secrets/" + in.Name
		if s.Projects[in.Project] == nil {
			return fmt.Errorf("seeding secret %s: there is no project %q", name, in.Project)
		}
		if stateOf(s.State).Secrets[name] != nil || !secretID().MatchString(in.Name) {
			return fmt.Errorf("seeding secret %s: the name is taken or malformed", name)
		}
		secret := stateOf(s.State).newSecret(in.Project, in.Name, s.Now)
		if err := s.Policy(secret.Policy, in.Bindings,
			iam.WriteOptions{Conditions: true, Service: "secretmanager."}); err != nil {
			return fmt.Errorf("seeding the policy of secret %s: %w", name, err)
		}
		for _, value := range in.Values {
			secret.add([]byte(value), s.Now)
		}
	}
	return nil
}

type seedSecret struct {
	Project  string             `toml:"project"`
	Name     string             `toml:"name"`
	Values   []string           `toml:"values"` // one version each, oldest first
	Bindings []wire.SeedBinding `toml:"binding"`
}
