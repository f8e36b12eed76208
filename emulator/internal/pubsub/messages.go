package pubsub

import (
	"cmp"
	"math"
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
	// Stream is the streaming pull that has it, "" if it was pulled otherwise.
	Stream string `json:"stream,omitempty" snapshot:"-"`
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
	return pulledMessages{s.handOut(c, handing{
		messages: in.MaxMessages, bytes: math.MaxInt, lease: time.Duration(s.AckDeadline) * time.Second,
	})}, nil
}

// received is a message as it is handed out.
type received struct {
	AckID   string        `json:"ackId"`
	Message pubsubMessage `json:"message"`
}

type pulledMessages struct {
	Messages []received `json:"receivedMessages,omitempty"`
}

// handing says how many messages are handed out, for how long, and to which streaming pull.
type handing struct {
	messages, bytes int
	lease           time.Duration
	stream          string
}

// handOut leases messages, oldest first. One that is larger than the bytes by itself is handed out alone.
func (s *subscription) handOut(c *wire.Call, h handing) []received {
	s.Backlog = slices.DeleteFunc(s.Backlog, func(d *delivery) bool {
		return c.Now.Sub(d.Message.PublishTime) > s.retention()
	})
	st := stateOf(c.State())
	var out []received
	bytes := 0
	for _, d := range s.Backlog {
		if len(out) == h.messages {
			break
		}
		if c.Now.Before(d.Leased) {
			continue
		}
		if bytes += d.Message.size(); bytes > h.bytes && len(out) > 0 {
			break
		}
		st.LastAck++
		d.AckID = strconv.FormatInt(st.LastAck, 36) + "-" + d.Message.MessageID
		d.Leased, d.Stream = c.Now.Add(h.lease), h.stream
		out = append(out, received{d.AckID, d.Message})
	}
	return out
}

// size is what a message counts for in bytes.
func (m pubsubMessage) size() int {
	n := len(m.Data) + len(m.OrderingKey)
	for k, v := range m.Attributes {
		n += len(k) + len(v)
	}
	return n
}

// maxStreamed is how much one message of a streaming pull holds, about: any client reads four times as much.
const maxStreamed = 1 << 20

// streamingPull is one look of a streaming pull, which Google has over gRPC alone. What the stream may hold without an
// acknowledgement is counted here, because clients acknowledge beside the stream, too.
func streamingPull(c *wire.Call) (any, error) {
	s, n, err := findSubscription(c)
	if err := c.RequireFound("pubsub.subscriptions.consume", n, err); err != nil {
		return nil, err
	}
	var in struct {
		Stream   string `json:"stream"`
		Opens    bool   `json:"opens"`
		Deadline int    `json:"ackDeadlineSeconds"`
		Messages int    `json:"maxOutstandingMessages"`
		Bytes    int    `json:"maxOutstandingBytes"`
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	deadline := cmp.Or(in.Deadline, s.AckDeadline)
	if err := checkTimes(deadline, ""); err != nil {
		return nil, err
	}
	messages, bytes := maxPublished, maxStreamed
	held, heldBytes := s.heldBy(in.Stream, c.Now)
	if in.Messages > 0 {
		messages = min(messages, in.Messages-held)
	}
	if in.Bytes > 0 {
		bytes = min(bytes, in.Bytes-heldBytes)
	}
	var out struct {
		pulledMessages
		Properties struct{} `json:"subscriptionProperties"` // neither ordered nor exactly once
	}
	if messages > 0 && bytes > 0 {
		out.Messages = s.handOut(c, handing{messages, bytes, time.Duration(deadline) * time.Second, in.Stream})
	}
	if len(out.Messages) == 0 && !in.Opens {
		c.Idle()
	}
	return out, nil
}

// heldBy counts what a streaming pull holds: leased, and not acknowledged.
func (s *subscription) heldBy(stream string, now time.Time) (messages, bytes int) {
	for _, d := range s.Backlog {
		if d.Stream == stream && now.Before(d.Leased) {
			messages++
			bytes += d.Message.size()
		}
	}
	return messages, bytes
}

// acknowledge forgets messages. An ack id whose lease has passed still counts until its message is
// handed out again; one that is unknown is no error.
func acknowledge(c *wire.Call) (any, error) {
	s, ids, _, err := acknowledgement(c)
	if err != nil {
		return nil, err
	}
	s.Backlog = slices.DeleteFunc(s.Backlog, func(d *delivery) bool { return d.AckID != "" && ids[d.AckID] })
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
		if d.AckID != "" && ids[d.AckID] {
			d.Leased = c.Now.Add(time.Duration(seconds) * time.Second)
		}
	}
	return struct{}{}, nil
}

// acknowledgement reads a request that speaks of deliveries of a subscription.
func acknowledgement(c *wire.Call) (s *subscription, ids map[string]bool, seconds int, err error) {
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
	ids = map[string]bool{}
	for _, id := range in.AckIDs {
		ids[id] = true
	}
	return s, ids, in.Seconds, nil
}
