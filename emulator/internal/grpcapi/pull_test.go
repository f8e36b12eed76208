package grpcapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskiam/taskiam/emulator/internal/grpcapi"
)

const (
	streamingPull = "google.pubsub.v1.Subscriber/StreamingPull"
	reader        = "projects/acme-data/subscriptions/reader"
)

// puller is a streaming pull whose messages are JSON.
type puller struct {
	t      *testing.T
	stream grpc.ClientStream
}

func (l *lab) pull(conn *grpc.ClientConn, token, request string) *puller {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(as(l.t.Context(), token), time.Minute)
	l.t.Cleanup(cancel)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+streamingPull)
	if err != nil {
		l.t.Fatal(err)
	}
	p := &puller{l.t, stream}
	p.say(request)
	return p
}

func (p *puller) say(request string) {
	p.t.Helper()
	in, _, err := grpcapi.Messages(streamingPull)
	if err == nil {
		err = grpcapi.FromJSON([]byte(request), in)
	}
	if err == nil {
		err = p.stream.SendMsg(in)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// next waits for messages: ack ids, by the text of each.
func (p *puller) next() (map[string]string, error) {
	p.t.Helper()
	_, out, err := grpcapi.Messages(streamingPull)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.stream.RecvMsg(out); err != nil {
		return nil, err
	}
	raw, err := grpcapi.ToJSON(out)
	if err != nil {
		p.t.Fatal(err)
	}
	var got struct {
		Messages []struct {
			AckID   string `json:"ackId"`
			Message struct {
				Data []byte `json:"data"`
			} `json:"message"`
		} `json:"receivedMessages"`
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		p.t.Fatal(err)
	}
	ids := map[string]string{}
	for _, m := range got.Messages {
		ids[string(m.Message.Data)] = m.AckID
	}
	return ids, nil
}

func (p *puller) must(texts ...string) map[string]string {
	p.t.Helper()
	got, err := p.next()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, text := range texts {
		if got[text] == "" {
			p.t.Fatalf("got %v, want %s in it", got, text)
		}
	}
	if len(got) != len(texts) {
		p.t.Fatalf("got %v, want %v", got, texts)
	}
	return got
}

func (l *lab) publish(conn *grpc.ClientConn, texts ...string) {
	l.t.Helper()
	if err := l.tryPublish(conn, texts...); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) tryPublish(conn *grpc.ClientConn, texts ...string) error {
	var messages []map[string]any
	for _, text := range texts {
		messages = append(messages, map[string]any{"data": []byte(text)})
	}
	raw, err := json.Marshal(map[string]any{"topic": "projects/acme-data/topics/news", "messages": messages})
	if err == nil {
		_, err = l.call(conn, noah, "google.pubsub.v1.Publisher/Publish", string(raw))
	}
	return err
}

// A streaming pull hands out what is published while it is open, takes acknowledgements and deadlines, gives no more
// than the client wants to hold, and ends when the client may no longer consume.
func TestStreamingPull(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	conn := l.dial("")
	p := l.pull(conn, noah, `{"subscription":"`+reader+`","streamAckDeadlineSeconds":60,"maxOutstandingMessages":"2"}`)
	l.publish(conn, "one")
	one := p.must("one")["one"]
	l.publish(conn, "two", "three")
	two := p.must("two")["two"] // with the third it would hold three

	p.say(`{"ackIds":["` + one + `"]}`)
	three := p.must("three")["three"]
	// What is given back at once comes again, under another ack id.
	p.say(`{"modifyDeadlineAckIds":["` + two + `"],"modifyDeadlineSeconds":[0]}`)
	again := p.must("two")["two"]
	if again == two {
		t.Errorf("the message that was given back has its old ack id %s", two)
	}
	// Clients acknowledge beside the stream, too.
	for _, id := range []string{again, three} {
		if _, err := l.call(conn, noah, "google.pubsub.v1.Subscriber/Acknowledge", `{"subscription":"`+reader+`","ackIds":["`+id+`"]}`); err != nil {
			t.Fatal(err)
		}
	}
	l.publish(conn, "four", "five")
	p.must("four", "five")
	// What a lease held for another is handed out when it has passed.
	l.server.Advance(61 * time.Second)
	p.must("four", "five")

	looks := l.log.lines(streamingPull)
	for _, line := range looks {
		if line["permission"] != "pubsub.subscriptions.consume" || line["principal"] != "user:noah@acme.example" {
			t.Errorf("the request log says %v", line)
		}
	}
	if _, err := l.call(conn, l.operator, "google.iam.v1.IAMPolicy/SetIamPolicy", `{"resource":"`+reader+`","policy":{}}`); err != nil {
		t.Fatal(err)
	}
	if got, err := p.next(); status.Code(err) != codes.PermissionDenied || reason(err) != "IAM_PERMISSION_DENIED" {
		t.Errorf("without the permission: %v, %v", got, err)
	}
}

func TestStreamingPullRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	conn := l.dial("")
	for _, tt := range []struct {
		who, request string
		want         codes.Code
	}{
		{mara, `{"subscription":"` + reader + `"}`, codes.PermissionDenied},
		{"", `{"subscription":"` + reader + `"}`, codes.Unauthenticated},
		{noah, `{"subscription":"reader"}`, codes.InvalidArgument},
		{noah, `{}`, codes.InvalidArgument},
		{noah, `{"subscription":"` + reader + `","streamAckDeadlineSeconds":5}`, codes.InvalidArgument},
		{l.operator, `{"subscription":"projects/acme-data/subscriptions/none"}`, codes.NotFound},
		{noah, `{"subscription":"` + reader + `","modifyDeadlineAckIds":["x"]}`, codes.InvalidArgument},
	} {
		if _, err := l.pull(conn, tt.who, tt.request).next(); status.Code(err) != tt.want {
			t.Errorf("%s: %v, want %v", tt.request, err, tt.want)
		}
	}
	// By REST there is no such method.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.addr+"/v1/"+reader+":streamingPull", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := l.server.Client(noah).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusNotImplemented {
		t.Errorf("StreamingPull by REST: %s, want 501", answer.Status)
	}
	p := l.pull(conn, noah, `{"subscription":"`+reader+`"}`)
	l.stop()
	if _, err := p.next(); status.Code(err) != codes.Unavailable {
		t.Errorf("after the emulator ended: %v, want Unavailable", err)
	}
}

// Every message arrives once, in batches as clients send them.
func TestTenThousandMessages(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	conn := l.dial("")
	const messages, batch = 10000, 500
	p := l.pull(conn, noah, `{"subscription":"`+reader+`","streamAckDeadlineSeconds":60,"maxOutstandingMessages":"1000"}`)
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := 0; i < messages; i += batch {
			var texts []string
			for j := range batch {
				texts = append(texts, fmt.Sprint(i+j))
			}
			if err := l.tryPublish(conn, texts...); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	seen := map[string]bool{}
	for len(seen) < messages {
		got, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for text, id := range got {
			if seen[text] {
				t.Fatalf("%s came twice", text)
			}
			seen[text] = true
			ids = append(ids, id)
		}
		p.say(`{"ackIds":["` + strings.Join(ids, `","`) + `"]}`)
	}
	<-published
	if err := p.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if got, err := p.next(); err == nil {
		t.Errorf("after the last: %v", got)
	}
	out, err := l.call(conn, noah, "google.pubsub.v1.Subscriber/Pull", `{"subscription":"`+reader+`","maxMessages":1}`)
	if err != nil || len(out) != 0 {
		t.Errorf("left over: %v, %v", out, err)
	}
}
