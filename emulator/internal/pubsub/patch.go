package pubsub

import "github.com/taskiam/taskiam/emulator/internal/wire"

func patchTopic(c *wire.Call) (any, error) {
	t, n, err := findTopic(c)
	if err := c.RequireFound("pubsub.topics.update", n, err); err != nil {
		return nil, err
	}
	var labels map[string]string
	var output any // what a client may send back as it read it
	if _, err := c.Masked("topic", map[string]any{"labels": &labels, "name": &output, "state": &output},
		"labels"); err != nil {
		return nil, err
	}
	t.Labels = labels
	return t.resource(), nil
}

func patchSubscription(c *wire.Call) (any, error) {
	s, n, err := findSubscription(c)
	if err := c.RequireFound("pubsub.subscriptions.update", n, err); err != nil {
		return nil, err
	}
	next := *s
	next.Labels = nil // a patch does not merge them
	var output any
	fields, err := c.Masked("subscription", map[string]any{
		"labels": &next.Labels, "ackDeadlineSeconds": &next.AckDeadline, "messageRetentionDuration": &next.Retention,
		"name": &output, "topic": &output, "state": &output, "pushConfig": &output,
	}, "labels", "ackDeadlineSeconds", "messageRetentionDuration")
	if err != nil {
		return nil, err
	}
	if err := checkTimes(next.AckDeadline, next.Retention); err != nil {
		return nil, err
	}
	for _, f := range fields {
		switch f {
		case "labels":
			s.Labels = next.Labels
		case "ackdeadlineseconds":
			s.AckDeadline = next.AckDeadline
		case "messageretentionduration":
			s.Retention = next.Retention
		}
	}
	return s.resource(), nil
}
