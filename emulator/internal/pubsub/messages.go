package pubsub

import (
	"slices"
	"strconv"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// delivery is a message on its way to one subscription. It is handed out at least once: when the lease
// has passed without an acknowledgement it may be pulled again, under another ack id.
type delivery struct {
	Message pubsubMessage `json:"message"`
	AckID   string        `json:"ackId,omitempty" snapshot:"-"`
	Leased  time.Time     `json:"leased,omitzero"` // until when nobody else gets it
}

// pubsubMessage is a message as Pub/Sub delivers it.
type pubsubMessage struct {
	Data        []byte            `json:"data,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	MessageID   string            `json:"messageId"`
	PublishTime time.Time         `json:"publishTime"`
	OrderingKey string            `json:"orderingKey,omitempty"`
}

// Limits of Pub/Sub (pubsub/quotas).
const (
	maxPublished   = 1000 // messages in one publish request
	maxAckDeadline = 600  // seconds
	minAckDeadline = 10
	ackDeadline    = 10
)

func publish(c *wire.Call) (any, error) {
	t, n, err := findTopic(c)
	if err := c.RequireFound("pubsub.topics.publish", n, err); err != nil {
		return nil, err
	}
	var in struct {
		Messages []struct {
			Data        []byte            `json:"data"`
			Attributes  map[string]string `json:"attributes"`
			OrderingKey string            `json:"orderingKey"`
		} `json:"messages"`
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	if len(in.Messages) == 0 || len(in.Messages) > maxPublished {
		return nil, wire.Invalid("The value for message_count is out of bounds. You passed %d in the request, but the "+
			"number of messages must be between 1 and %d.",
			len(in.Messages), maxPublished)
	}
	for _, m := range in.Messages {
		if len(m.Data) == 0 && len(m.Attributes) == 0 {
			return nil, wire.Invalid("One or more messages in the publish request is empty. " +
				"Each message must contain either non-empty data, or at least one attribute.")
		}
	}
	var ids []string
	for _, m := range in.Messages {
		ids = append(ids, stateOf(c.State()).publish(t.Name, c.Now, pubsubMessage{
			Data: m.Data, Attributes: m.Attributes, OrderingKey: m.OrderingKey,
		}))
	}
	return map[string]any{"messageIds": ids}, nil
}

// publish hands a message to every subscription of a topic and returns its id.
func (st *state) publish(topic string, now time.Time, m pubsubMessage) string {
	st.LastMessage++
	m.MessageID, m.PublishTime = strconv.FormatInt(st.LastMessage, 10), now.UTC()
	for _, s := range st.Subscriptions {
		if s.Topic == topic {
			s.Backlog = append(s.Backlog, &delivery{Message: m})
		}
	}
	return m.MessageID
}

// pull returns the messages that are not leased, oldest first. It never waits: an answer without messages is allowed,
// and a caller that wants some asks again.
func pull(c *wire.Call) (any, error) {
	s, n, err := findSubscription(c)
	if err := c.RequireFound("pubsub.subscriptions.consume", n, err); err != nil {
		return nil, err
	}
	var in struct {
		MaxMessages int `json:"maxMessages"`
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	if in.MaxMessages <= 0 {
		return nil, wire.Invalid("The value for max_messages must be greater than 0. You passed %d in the request.",
			in.MaxMessages)
	}
	type received struct {
		AckID   string        `json:"ackId"`
		Message pubsubMessage `json:"message"`
	}
	var out struct {
		Messages []received `json:"receivedMessages,omitempty"`
	}
	s.Backlog = slices.DeleteFunc(s.Backlog, func(d *delivery) bool {
		return c.Now.Sub(d.Message.PublishTime) > s.retention()
	})
	st := stateOf(c.State())
	for _, d := range s.Backlog {
		if len(out.Messages) == in.MaxMessages {
			break
		}
		if c.Now.Before(d.Leased) {
			continue
		}
		st.LastAck++
		d.AckID = strconv.FormatInt(st.LastAck, 36) + "-" + d.Message.MessageID
		d.Leased = c.Now.Add(time.Duration(s.AckDeadline) * time.Second)
		out.Messages = append(out.Messages, received{d.AckID, d.Message})
	}
	return out, nil
}

// acknowledge forgets messages. An ack id whose lease has passed still counts until its message is
// handed out again; one that is unknown is no error.
func acknowledge(c *wire.Call) (any, error) {
	s, ids, _, err := acknowledgement(c)
	if err != nil {
		return nil, err
	}
	s.Backlog = slices.DeleteFunc(s.Backlog, func(d *delivery) bool {
		return d.AckID != "" && slices.Contains(ids, d.AckID)
	})
	return struct{}{}, nil
}

// modifyAckDeadline lengthens leases, or gives messages back at once with 0 seconds.
func modifyAckDeadline(c *wire.Call) (any, error) {
	s, ids, seconds, err := acknowledgement(c)
	if err != nil {
		return nil, err
	}
	if seconds < 0 || seconds > maxAckDeadline {
		return nil, wire.Invalid("Invalid ack deadline given: %d. It must be between 0 and %d seconds.",
			seconds, maxAckDeadline)
	}
	for _, d := range s.Backlog {
		if d.AckID != "" && slices.Contains(ids, d.AckID) {
			d.Leased = c.Now.Add(time.Duration(seconds) * time.Second)
		}
	}
	return struct{}{}, nil
}

// acknowledgement reads a request that speaks of deliveries of a subscription.
func acknowledgement(c *wire.Call) (s *subscription, ids []string, seconds int, err error) {
	s, n, err := findSubscription(c)
	if err := c.RequireFound("pubsub.subscriptions.consume", n, err); err != nil {
		return nil, nil, 0, err
	}
	var in struct {
		AckIDs  []string `json:"ackIds"`
		Seconds int      `json:"ackDeadlineSeconds"`
	}
	if err := c.Decode(&in); err != nil {
		return nil, nil, 0, err
	}
	if len(in.AckIDs) == 0 {
		return nil, nil, 0, wire.Invalid("No ack ids specified.")
	}
	return s, in.AckIDs, in.Seconds, nil
}
