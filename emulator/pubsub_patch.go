package emulator

import (
	"encoding/json"
	"slices"
	"strings"
)

// masked reads a request to change a resource: the resource stands in the body under a name of its own,
// beside the mask that says which of its fields count. Fields that cannot change are refused.
func (c *call) masked(resource string, known map[string]any, changeable ...string) ([]string, error) {
	var body json.RawMessage
	var mask string
	if err := c.decodeKnown(c.body, map[string]any{resource: &body, "updateMask": &mask}); err != nil {
		return nil, err
	}
	if err := c.decodeKnown(body, known); err != nil {
		return nil, err
	}
	return checkMask(mask, changeable...)
}

// checkMask takes an update mask apart.
func checkMask(mask string, changeable ...string) ([]string, error) {
	if mask == "" {
		return nil, invalid("The update_mask in the request must be set, and must contain at least one field.")
	}
	fields := strings.Split(mask, ",")
	for i, f := range fields {
		// Masks may spell fields as protocol buffers do.
		fields[i] = strings.ReplaceAll(strings.ToLower(f), "_", "")
		if !slices.ContainsFunc(changeable, func(name string) bool { return strings.EqualFold(name, fields[i]) }) {
			return nil, invalid("Invalid update_mask provided in the request: the field %s cannot be changed.", f)
		}
	}
	return fields, nil
}

func patchTopic(c *call) (any, error) {
	t, n, err := c.findTopic()
	if err := c.requireFound("pubsub.topics.update", n, err); err != nil {
		return nil, err
	}
	var labels map[string]string
	var output any // what a client may send back as it read it
	if _, err := c.masked("topic", map[string]any{"labels": &labels, "name": &output, "state": &output}, "labels"); err != nil {
		return nil, err
	}
	t.Labels = labels
	return t.resource(), nil
}

func patchSubscription(c *call) (any, error) {
	s, n, err := c.findSubscription()
	if err := c.requireFound("pubsub.subscriptions.update", n, err); err != nil {
		return nil, err
	}
	next := *s
	next.Labels = nil // a patch does not merge them
	var output any
	fields, err := c.masked("subscription", map[string]any{
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
