package pubsub

import (
	"cmp"
	"fmt"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// subscription is a pull subscription with the messages that are not acknowledged.
type subscription struct {
	Name        string `json:"name"`
	Topic       string `json:"topic"`
	AckDeadline int    `json:"ackDeadlineSeconds"`
	// how long a message waits; a week if empty
	Retention string            `json:"messageRetentionDuration,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Policy    *iam.Policy       `json:"policy,omitempty"`
	Backlog   []*delivery       `json:"backlog,omitempty"`
}

// defaultRetention is how long a message waits for its acknowledgement.
const defaultRetention = 7 * 24 * time.Hour

func (s *subscription) retention() time.Duration {
	if d, err := time.ParseDuration(s.Retention); err == nil {
		return d
	}
	return defaultRetention
}

// subscriptionResource is a subscription as the API writes it.
type subscriptionResource struct {
	Name        string            `json:"name"`
	Topic       string            `json:"topic"`
	PushConfig  struct{}          `json:"pushConfig"`
	AckDeadline int               `json:"ackDeadlineSeconds"`
	Retention   string            `json:"messageRetentionDuration"`
	Labels      map[string]string `json:"labels,omitempty"`
	State       string            `json:"state"`
}

func (s *subscription) resource() subscriptionResource {
	return subscriptionResource{
		Name: s.Name, Topic: s.Topic, AckDeadline: s.AckDeadline,
		Retention: fmt.Sprintf("%ds", int(s.retention().Seconds())),
		Labels:    s.Labels, State: "ACTIVE",
	}
}

// findSubscription returns the subscription of the request and its node, or the node of its project
// and the error.
func findSubscription(c *wire.Call) (*subscription, iam.Node, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return nil, parent, err
	}
	name := "projects/" + p.ID + "/subscriptions/" + c.Vars["subscription"]
	s := stateOf(c.State()).Subscriptions[name]
	if s == nil {
		return nil, parent, resourceNotFound(name)
	}
	return s, parent.Child("//"+host+"/"+name, "", "", s.Policy), nil
}

// newSubscription returns a subscription that grants nothing to anybody.
func (st *state) newSubscription(name, topic string) *subscription {
	if st.Subscriptions == nil {
		st.Subscriptions = map[string]*subscription{}
	}
	s := &subscription{Name: name, Topic: topic, AckDeadline: ackDeadline, Policy: &iam.Policy{}}
	st.Subscriptions[name] = s
	return s
}

// createSubscription needs a permission on each side: on the project to create, on the topic to attach.
func createSubscription(c *wire.Call) (any, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err := c.RequireFound("pubsub.subscriptions.create", parent, err); err != nil {
		return nil, err
	}
	if err := checkPubsubID(c.Vars["subscription"]); err != nil {
		return nil, err
	}
	var name, topic, retention string
	var labels map[string]string
	var deadline int
	if err := c.DecodeKnown(c.Body, map[string]any{
		"name": &name, "topic": &topic, "labels": &labels, "ackDeadlineSeconds": &deadline,
		"messageRetentionDuration": &retention,
	}); err != nil {
		return nil, err
	}
	deadline = cmp.Or(deadline, ackDeadline)
	if err := checkTimes(deadline, retention); err != nil {
		return nil, err
	}
	t, n, err := topicNamed(c, topic)
	if err := c.RequireFound("pubsub.topics.attachSubscription", n, err); err != nil {
		return nil, err
	}
	st := stateOf(c.State())
	name = "projects/" + p.ID + "/subscriptions/" + c.Vars["subscription"]
	if st.Subscriptions[name] != nil {
		return nil, resourceExists(name)
	}
	s := st.newSubscription(name, t.Name)
	s.AckDeadline, s.Retention, s.Labels = deadline, retention, labels
	return s.resource(), nil
}

// checkTimes refuses an acknowledgement deadline, in seconds, or a retention that Pub/Sub does not have.
func checkTimes(deadline int, retention string) error {
	if deadline < minAckDeadline || deadline > maxAckDeadline {
		return wire.Invalid("Invalid ack deadline given: %d. It must be between %d and %d seconds.", deadline,
			minAckDeadline, maxAckDeadline)
	}
	if retention == "" {
		return nil
	}
	if d, err := time.ParseDuration(retention); err != nil || d < 10*time.Minute || d > 31*24*time.Hour {
		return wire.Invalid("Invalid message retention duration given: %s. It must be between 10 minutes and 31 days.",
			retention)
	}
	return nil
}

func getSubscription(c *wire.Call) (any, error) {
	s, n, err := findSubscription(c)
	if err := c.RequireFound("pubsub.subscriptions.get", n, err); err != nil {
		return nil, err
	}
	return s.resource(), nil
}

func deleteSubscription(c *wire.Call) (any, error) {
	s, n, err := findSubscription(c)
	if err := c.RequireFound("pubsub.subscriptions.delete", n, err); err != nil {
		return nil, err
	}
	delete(stateOf(c.State()).Subscriptions, s.Name)
	return struct{}{}, nil
}

func listSubscriptions(c *wire.Call) (any, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err := c.RequireFound("pubsub.subscriptions.list", parent, err); err != nil {
		return nil, err
	}
	all := stateOf(c.State()).Subscriptions
	names, next, err := c.Page(wire.NamesBelow(all, "projects/"+p.ID+"/"), "pageSize", 1000)
	if err != nil {
		return nil, err
	}
	out := struct {
		Subscriptions []subscriptionResource `json:"subscriptions,omitempty"`
		Next          string                 `json:"nextPageToken,omitempty"`
	}{Next: next}
	for _, name := range names {
		out.Subscriptions = append(out.Subscriptions, all[name].resource())
	}
	return out, nil
}
