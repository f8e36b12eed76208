package emulator

import "fmt"

// seedStorage makes the buckets of a seed, with their objects.
func (s *Server) seedStorage(buckets []seedBucket) error {
	for _, in := range buckets {
		if s.state.Storage.Buckets[in.Name] != nil || !bucketNames.MatchString(in.Name) {
			return fmt.Errorf("seeding bucket %q: the name is taken or malformed", in.Name)
		}
		if s.state.Projects[in.Project] == nil {
			return fmt.Errorf("seeding bucket %s: there is no project %q", in.Name, in.Project)
		}
		b := s.newBucket(in.Project, in.Name, in.Location, !in.FineGrained)
		o := writeOptions{conditions: b.Uniform, public: true, convenience: true, service: "storage."}
		if err := s.seedPolicy(b.Policy, in.Bindings, o); err != nil {
			return fmt.Errorf("seeding the policy of bucket %s: %w", in.Name, err)
		}
		for _, obj := range in.Objects {
			if obj.Name == "" {
				return fmt.Errorf("seeding bucket %s: an object has no name", in.Name)
			}
			s.state.Storage.put(b, object{Name: obj.Name, ContentType: obj.ContentType, Content: []byte(obj.Content)}, s.now())
		}
	}
	return nil
}

// seedPolicy adds the bindings of a seed to those of p.
func (s *Server) seedPolicy(p *policy, bindings []seedBinding, o writeOptions) error {
	if len(bindings) == 0 {
		return nil
	}
	w := wirePolicy{Version: 3, Bindings: p.Bindings}
	for _, in := range bindings {
		b := binding{Role: in.Role, Members: in.Members}
		if in.Condition != nil {
			b.Condition = &condition{Title: in.Condition.Title, Description: in.Condition.Description, Expression: in.Condition.Expression}
		}
		w.Bindings = append(w.Bindings, b)
	}
	return p.write(&s.state, s.now(), w, o)
}
