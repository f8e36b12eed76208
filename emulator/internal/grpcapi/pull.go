package grpcapi

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"
)

// streams are the methods whose requests or answers are streams, which no REST method has.
var streams = map[string]func(*call) error{
	"google.pubsub.v1.Subscriber/StreamingPull": streamingPull,
	storageService + "ReadObject":               readObject,
	storageService + "BidiReadObject":           bidiReadObject,
	storageService + "WriteObject":              writeObject,
	storageService + "BidiWriteObject":          bidiWriteObject,
}

// lookAgain is how long a streaming pull without messages waits before it asks again whether it still may have some:
// leases, tokens and conditions end by time alone. Whatever else changes ends the wait at once.
const lookAgain = time.Second

// pulled is what a client says in a streaming pull, as JSON.
type pulled struct {
	Subscription string      `json:"subscription"`
	AckIDs       []string    `json:"ackIds"`
	ModifyIDs    []string    `json:"modifyDeadlineAckIds"`
	Seconds      []int       `json:"modifyDeadlineSeconds"`
	Deadline     int         `json:"streamAckDeadlineSeconds"`
	Messages     json.Number `json:"maxOutstandingMessages"`
	Bytes        json.Number `json:"maxOutstandingBytes"`
}

// look is one request for the messages of a subscription.
type look struct {
	Stream   string      `json:"stream"`
	Opens    bool        `json:"opens,omitempty"`
	Deadline int         `json:"ackDeadlineSeconds,omitempty"`
	Messages json.Number `json:"maxOutstandingMessages,omitempty"`
	Bytes    json.Number `json:"maxOutstandingBytes,omitempty"`
}

// streamingPull hands out the messages of a subscription for as long as the client listens and may have them. Each
// look for messages is a request to REST, with its decision; so is what the client acknowledges.
func streamingPull(c *call) error {
	first, err := c.receivePull()
	if err != nil {
		return err
	}
	if !fits(strings.Split(first.Subscription, "/"), []string{"projects", "*", "subscriptions", "*"}) {
		return status.Errorf(codes.InvalidArgument, "Invalid resource name given (name=%s).", first.Subscription)
	}
	at := "/v1/" + escape(first.Subscription)
	ask := look{
		Stream: rand.Text(), Opens: true, Deadline: first.Deadline, Messages: first.Messages, Bytes: first.Bytes,
	}
	deadlines := make(chan int)
	done := make(chan error, 1)
	ending := c.ending()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		changed := c.rest.Changed()
		got, err := c.pull(at, ask)
		if err != nil {
			return err
		}
		if ask.Opens {
			ask.Opens = false
			// Only who may consume is listened to. It goes on until the stream ends, and so does this function.
			go func() { done <- c.acknowledge(at, first, deadlines) }()
		}
		if got != nil {
			if err := c.stream.SendMsg(got); err != nil {
				return err
			}
			continue
		}
		select {
		case <-changed:
		case <-again.C:
		case ask.Deadline = <-deadlines:
		case err := <-done:
			return err
		case <-ending:
			return status.Error(codes.Unavailable, "the emulator ends")
		case <-c.stream.Context().Done():
			return status.FromContextError(c.stream.Context().Err()).Err()
		}
	}
}

// pull looks for messages, and returns nil if there are none to be had.
func (c *call) pull(at string, ask look) (*dynamicpb.Message, error) {
	var got struct {
		Messages   []json.RawMessage `json:"receivedMessages"`
		Properties json.RawMessage   `json:"subscriptionProperties"`
	}
	if err := c.ask("POST", at+":streamingPull", nil, ask, &got); err != nil {
		return nil, err
	}
	if len(got.Messages) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(map[string]any{
		"receivedMessages": got.Messages, "subscriptionProperties": got.Properties,
	})
	if err != nil {
		return nil, status.Errorf(codes.Internal, "encoding messages: %v", err)
	}
	return c.message(c.method.Output(), raw)
}

// acknowledge carries out what a client says in a streaming pull, from its first message on, until it says no more.
func (c *call) acknowledge(at string, said pulled, deadlines chan<- int) error {
	for {
		if len(said.AckIDs) > 0 {
			if err := c.ask("POST", at+":acknowledge", nil, map[string]any{"ackIds": said.AckIDs}, nil); err != nil {
				return err
			}
		}
		if len(said.ModifyIDs) != len(said.Seconds) {
			return status.Error(codes.InvalidArgument, "The request has not as many deadlines as ack ids to modify.")
		}
		for seconds, ids := range bySeconds(said) {
			in := map[string]any{"ackIds": ids, "ackDeadlineSeconds": seconds}
			if err := c.ask("POST", at+":modifyAckDeadline", nil, in, nil); err != nil {
				return err
			}
		}
		next, err := c.receivePull()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case next.Subscription != "" && next.Subscription != said.Subscription:
			return status.Error(codes.InvalidArgument, "The subscription of a stream is named in its first request.")
		}
		next.Subscription = said.Subscription
		said = next
		if said.Deadline != 0 {
			select {
			case deadlines <- said.Deadline:
			case <-c.stream.Context().Done():
				return status.FromContextError(c.stream.Context().Err()).Err()
			}
		}
	}
}

// bySeconds gathers the ack ids that get the same deadline.
func bySeconds(said pulled) map[int][]string {
	ids := map[int][]string{}
	for i, id := range said.ModifyIDs {
		ids[said.Seconds[i]] = append(ids[said.Seconds[i]], id)
	}
	return ids
}

// receivePull reads a request of a streaming pull.
func (c *call) receivePull() (said pulled, err error) {
	in, err := c.receive()
	if err != nil {
		return said, err
	}
	raw, err := toJSON(in)
	if err == nil {
		err = json.Unmarshal(raw, &said)
	}
	if err != nil {
		err = status.Errorf(codes.InvalidArgument, "Reading the request of %s: %v", c.name, err)
	}
	return said, err
}
