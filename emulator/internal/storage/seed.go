package storage

import (
	"fmt"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

func seed() (any, func(*wire.Seeding) error) {
	var in struct {
		Buckets []seedBucket `toml:"bucket"`
	}
	return &in, func(s *wire.Seeding) error { return seedBuckets(s, in.Buckets) }
}

// seedBuckets makes the buckets of a seed, with their objects.
func seedBuckets(s *wire.Seeding, buckets []seedBucket) error {
	for _, in := range buckets {
		if stateOf(s.State).Buckets[in.Name] != nil || !bucketNames().MatchString(in.Name) {
			return fmt.Errorf("seeding bucket %q: the name is taken or malformed", in.Name)
		}
		if s.Projects[in.Project] == nil {
			return fmt.Errorf("seeding bucket %s: there is no project %q", in.Name, in.Project)
		}
		b := newBucket(s.State, s.Now, in.Project, in.Name, in.Location, !in.FineGrained)
		b.Requester = in.Requester
		o := iam.WriteOptions{Conditions: b.Uniform, Public: true, Convenience: true, Service: "storage."}
		if err := s.Policy(b.Policy, in.Bindings, o); err != nil {
			return fmt.Errorf("seeding the policy of bucket %s: %w", in.Name, err)
		}
		for _, obj := range in.Objects {
			if obj.Name == "" {
				return fmt.Errorf("seeding bucket %s: an object has no name", in.Name)
			}
			stateOf(s.State).put(b, object{Name: obj.Name, ContentType: obj.ContentType,
				Content: wire.NewContent([]byte(obj.Content))}, s.Now)
		}
	}
	return nil
}

type seedBucket struct {
	Project     string             `toml:"project"`
	Name        string             `toml:"name"`
	Location    string             `toml:"location"`
	FineGrained bool               `toml:"fine_grained"` // object ACLs on: no uniform bucket-level access
	Requester   bool               `toml:"requester_pays"`
	Bindings    []wire.SeedBinding `toml:"binding"` // beside the defaults that every bucket gets
	Objects     []seedObject       `toml:"object"`
}

type seedObject struct {
	Name        string `toml:"name"`
	ContentType string `toml:"content_type"`
	Content     string `toml:"content"`
}
