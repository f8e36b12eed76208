package pubsub

import (
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

func seed() (any, func(*wire.Seeding) error) {
	var in struct {
		Topics        []seedTopic        `toml:"topic"`
		Subscriptions []seedSubscription `toml:"subscription"`
	}
	return &in, func(s *wire.Seeding) error { return seedTopics(s, in.Topics, in.Subscriptions) }
}

// seedTopics makes the topics and subscriptions of a seed.
func seedTopics(s *wire.Seeding, topics []seedTopic, subscriptions []seedSubscription) error {
	st := stateOf(s.State)
	for _, in := range topics {
		name := "projects/" + in.Project + "/topics/" + in.Name
		if err := seedable(s, in.Project, in.Name, st.Topics[name] != nil); err != nil {
			return fmt.Errorf("seeding topic %s: %w", name, err)
		}
		t := st.newTopic(name)
		if err := s.Policy(t.Policy, in.Bindings, iam.WriteOptions{Public: true,
			Service: "pubsub.topics."}); err != nil {
			return fmt.Errorf("seeding the policy of topic %s: %w", name, err)
		}
	}
	for _, in := range subscriptions {
		name, topic := "projects/"+in.Project+"/subscriptions/"+in.Name, in.Topic
		if !strings.Contains(topic, "/") {
			topic = "projects/" + in.Project + "/topics/" + topic
		}
		if err := seedable(s, in.Project, in.Name, st.Subscriptions[name] != nil); err != nil {
			return fmt.Errorf("seeding subscription %s: %w", name, err)
		}
		if st.Topics[topic] == nil {
			return fmt.Errorf("seeding subscription %s: there is no topic %s", name, topic)
		}
		sub := st.newSubscription(name, topic)
		if err := s.Policy(sub.Policy, in.Bindings,
			iam.WriteOptions{Public: true, Service: "pubsub.subscriptions."}); err != nil {
			return fmt.Errorf("seeding the policy of subscription %s: %w", name, err)
		}
	}
	return nil
}

// seedable refuses what Pub/Sub would not let anybody create.
func seedable(s *wire.Seeding, project, id string, taken bool) error {
	if s.Projects[project] == nil {
		return fmt.Errorf("there is no project %q", project)
	}
	if taken {
		return fmt.Errorf("it is there already")
	}
	return checkPubsubID(id)
}

type seedTopic struct {
	Project  string             `toml:"project"`
	Name     string             `toml:"name"`
	Bindings []wire.SeedBinding `toml:"binding"`
}

type seedSubscription struct {
	Project  string             `toml:"project"`
	Name     string             `toml:"name"`
	Topic    string             `toml:"topic"` // projects/P/topics/T, or T of the same project
	Bindings []wire.SeedBinding `toml:"binding"`
}
