package emulator

import "fmt"

func secretSeed() (any, func(*seeding) error) {
	var in struct {
		Secrets []seedSecret `toml:"secret"`
	}
	return &in, func(s *seeding) error { return seedSecrets(s, in.Secrets) }
}

// seedSecrets makes the secrets of a seed, with a version for each value.
func seedSecrets(s *seeding, secrets []seedSecret) error {
	for _, in := range secrets {
		name := "projects/" + in.Project + "/secrets/" + in.Name
		if s.Projects[in.Project] == nil {
			return fmt.Errorf("seeding secret %s: there is no project %q", name, in.Project)
		}
		if secretsOf(s.state).Secrets[name] != nil || !secretID.MatchString(in.Name) {
			return fmt.Errorf("seeding secret %s: the name is taken or malformed", name)
		}
		secret := secretsOf(s.state).newSecret(in.Project, in.Name, s.Now)
		if err := s.Policy(secret.Policy, in.Bindings, writeOptions{conditions: true, service: "secretmanager."}); err != nil {
			return fmt.Errorf("seeding the policy of secret %s: %w", name, err)
		}
		for _, value := range in.Values {
			secret.add([]byte(value), s.Now)
		}
	}
	return nil
}

type seedSecret struct {
	Project  string        `toml:"project"`
	Name     string        `toml:"name"`
	Values   []string      `toml:"values"` // one version each, oldest first
	Bindings []SeedBinding `toml:"binding"`
}
