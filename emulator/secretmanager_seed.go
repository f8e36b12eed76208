package emulator

import "fmt"

// seedSecrets makes the secrets of a seed, with a version for each value.
func (s *Server) seedSecrets(secrets []seedSecret) error {
	for _, in := range secrets {
		name := "projects/" + in.Project + "/secrets/" + in.Name
		if s.state.Projects[in.Project] == nil {
			return fmt.Errorf("seeding secret %s: there is no project %q", name, in.Project)
		}
		if s.state.Secrets.Secrets[name] != nil || !secretID.MatchString(in.Name) {
			return fmt.Errorf("seeding secret %s: the name is taken or malformed", name)
		}
		secret := s.state.Secrets.newSecret(in.Project, in.Name, s.now())
		if err := s.seedPolicy(secret.Policy, in.Bindings, writeOptions{conditions: true, service: "secretmanager."}); err != nil {
			return fmt.Errorf("seeding the policy of secret %s: %w", name, err)
		}
		for _, value := range in.Values {
			secret.add([]byte(value), s.now())
		}
	}
	return nil
}
