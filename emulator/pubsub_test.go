package emulator

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/option"
	"google.golang.org/api/pubsub/v1"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

const pubsubURL = "pubsub.googleapis.com/v1/projects/acme"

// bind adds a binding to the policy of a resource as the operator, by setIamPolicy.
func (c cloud) bind(url string, b iam.Binding) reply {
	c.t.Helper()
	verb := "GET "
	if c.call("operator", verb+url+":getIamPolicy", "").code == http.StatusNotImplemented {
		verb = "POST "
	}
	var w iam.PolicyJSON
	c.want(200, &w, "operator", verb+url+":getIamPolicy?options.requestedPolicyVersion=3", "")
	w.Version = 3
	w.Bindings = append(w.Bindings, b)
	body, err := json.Marshal(map[string]any{"policy": w})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.call("operator", "POST "+url+":setIamPolicy", string(body))
}

// pull pulls from the subscription reader and returns the ack ids and the data of what came.
func (c cloud) pull(token string, most int) (ids, data []string) {
	c.t.Helper()
	var got pubsub.PullResponse
	c.want(200, &got, token, "POST "+pubsubURL+"/subscriptions/reader:pull", fmt.Sprintf(`{"maxMessages":%d}`, most))
	for _, m := range got.ReceivedMessages {
		raw, err := base64.StdEncoding.DecodeString(m.Message.Data)
		if err != nil {
			c.t.Fatal(err)
		}
		ids, data = append(ids, m.AckId), append(data, string(raw))
	}
	return ids, data
}

func TestPubsubPermissions(t *testing.T) {
	t.Parallel()
	const topic, subscription = pubsubURL + "/topics/events", pubsubURL + "/subscriptions/reader"
	message := `{"messages":[{"data":"aGk="}]}`
	tests := []struct {
		role string
		on   string // "" for the topic's project
		what string
		body string
		code int // with the role; without it is always 403
	}{
		{"roles/pubsub.publisher", topic, "POST " + topic + ":publish", message, 200},
		{"roles/pubsub.publisher", topic, "GET " + topic, "", 403},
		{"roles/pubsub.publisher", subscription, "POST " + topic + ":publish", message, 403},
		{"roles/pubsub.viewer", topic, "GET " + topic, "", 200},
		{"roles/pubsub.viewer", topic, "GET " + topic + "/subscriptions", "", 200},
		{"roles/pubsub.viewer", topic, "DELETE " + topic, "", 403},
		{"roles/pubsub.editor", topic, "DELETE " + topic, "", 200},
		{"roles/pubsub.admin", topic, "GET " + topic + ":getIamPolicy", "", 200},
		{"roles/pubsub.editor", topic, "GET " + topic + ":getIamPolicy", "", 403},
		{"roles/pubsub.viewer", subscription, "GET " + subscription, "", 200},
		{"roles/pubsub.viewer", subscription, "POST " + subscription + ":pull", `{"maxMessages":1}`, 403},
		{"roles/pubsub.subscriber", subscription, "POST " + subscription + ":pull", `{"maxMessages":1}`, 200},
		{"roles/pubsub.subscriber", subscription, "POST " + subscription + ":acknowledge", `{"ackIds":["x"]}`, 200},
		{"roles/pubsub.subscriber", subscription, "POST " + subscription + ":modifyAckDeadline", `{"ackIds":["x"],"ackDeadlineSeconds":0}`, 200},
		{"roles/pubsub.subscriber", subscription, "GET " + subscription, "", 403},
		{"roles/pubsub.editor", subscription, "DELETE " + subscription, "", 200},
		// Who may attach to a topic still creates nothing in the project.
		{"roles/pubsub.editor", topic, "PUT " + pubsubURL + "/subscriptions/mine", `{"topic":"projects/acme/topics/events"}`, 403},
		{"roles/pubsub.editor", topic, "PUT " + pubsubURL + "/topics/mine", "", 403},
		{"roles/pubsub.viewer", topic, "GET " + pubsubURL + "/topics", "", 403},
	}
	for _, test := range tests {
		t.Run(test.role+" "+test.what, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.want(403, nil, "agent", test.what, test.body)
			if got := c.bind(test.on, iam.Binding{Role: test.role, Members: []string{agentMember}}); got.code != 200 {
				t.Fatalf("binding: %d %s", got.code, got.body)
			}
			c.want(test.code, nil, "agent", test.what, test.body)
			c.want(403, nil, "other", test.what, test.body)
		})
	}
}

func TestPubsubDelivery(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.want(200, nil, "operator", "POST "+pubsubURL+"/topics/events:publish", `{"messages":[{"data":"b25l"},{"data":"dHdv","attributes":{"k":"v"}}]}`)

	ids, data := c.pull("operator", 1)
	if diff := cmp.Diff([]string{"one"}, data); diff != "" {
		t.Errorf("first pull (-want +got):\n%s", diff)
	}
	if _, data := c.pull("operator", 10); cmp.Diff([]string{"two"}, data) != "" {
		t.Errorf("second pull got %q, want what the first left", data)
	}
	if _, data := c.pull("operator", 10); len(data) != 0 {
		t.Errorf("third pull got %q while both are leased", data)
	}
	ack := func(verb, id, more string) {
		t.Helper()
		c.want(200, nil, "operator", "POST "+pubsubURL+"/subscriptions/reader:"+verb, fmt.Sprintf(`{"ackIds":[%q]%s}`, id, more))
	}

	// The lease of the first is lengthened; the second comes again when its own has passed.
	ack("modifyAckDeadline", ids[0], `,"ackDeadlineSeconds":60`)
	c.Advance(10 * time.Second)
	again, data := c.pull("operator", 10)
	if diff := cmp.Diff([]string{"two"}, data); diff != "" {
		t.Fatalf("after the deadline (-want +got):\n%s", diff)
	}
	ack("acknowledge", ids[0], "")
	ack("modifyAckDeadline", again[0], `,"ackDeadlineSeconds":0`)
	if _, data := c.pull("operator", 10); cmp.Diff([]string{"two"}, data) != "" {
		t.Fatalf("after giving back: got %q", data)
	}
	ack("acknowledge", again[0], "") // an ack id that was replaced acknowledges nothing
	c.Advance(time.Hour)
	third, data := c.pull("operator", 10)
	if cmp.Diff([]string{"two"}, data) != "" {
		t.Errorf("after an acknowledgement with an old id: got %q, want it again", data)
	}
	ack("acknowledge", third[0], "")
	c.Advance(time.Hour)
	if _, data := c.pull("operator", 10); len(data) != 0 {
		t.Errorf("acknowledged messages came again: %q", data)
	}

	c.want(200, nil, "operator", "POST "+pubsubURL+"/topics/events:publish", `{"messages":[{"data":"b2xk"}]}`)
	c.Advance(7*24*time.Hour + time.Second)
	if _, data := c.pull("operator", 10); len(data) != 0 {
		t.Errorf("a message outlived its retention: %q", data)
	}
}

func TestPubsubPolicy(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const topic = pubsubURL + "/topics/events"
	if got := c.want(200, nil, "operator", "GET "+topic+":getIamPolicy", ""); string(got.body) != `{"etag":"ACAB"}` {
		t.Errorf("a policy that was never set reads %s", got.body)
	}
	b := iam.Binding{Role: "roles/pubsub.publisher", Members: []string{agentMember}}
	first := c.bind(topic, b)
	if first.code != 200 {
		t.Fatalf("binding: %d %s", first.code, first.body)
	}
	c.want(409, nil, "operator", "POST "+topic+":setIamPolicy", `{"policy":{"etag":"ACAB"}}`)
	b.Condition = &iam.Condition{Title: "t", Expression: "true"}
	if got := c.bind(topic, b); got.code != 400 {
		t.Errorf("a condition on a topic: got %d %s, want 400", got.code, got.body)
	}

	// A condition inherited from the project sees the time, and nothing of the topic.
	const project = "cloudresourcemanager.googleapis.com/v3/projects/acme"
	publish := func(code int) {
		t.Helper()
		c.want(code, nil, "other", "POST "+topic+":publish", `{"messages":[{"data":"aGk="}]}`)
	}
	other := []string{"serviceAccount:agent-two@acme.iam.gserviceaccount.com"}
	inherit := func(expression string) {
		t.Helper()
		got := c.bind(project, iam.Binding{Role: "roles/pubsub.publisher", Members: other, Condition: &iam.Condition{Title: "t", Expression: expression}})
		if got.code != 200 {
			t.Fatalf("binding on the project: %d %s", got.code, got.body)
		}
	}
	inherit(`resource.name.startsWith("projects/acme/topics/events")`)
	publish(403)
	inherit(`resource.type == "pubsub.googleapis.com/Topic"`)
	publish(403)
	inherit(`request.time < timestamp("2026-03-03T12:00:00Z")`)
	publish(200)
	c.Advance(time.Hour)
	publish(403)
}

func TestPubsubRefusals(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, test := range []struct {
		what, body string
		code       int
	}{
		{"PUT " + pubsubURL + "/topics/events", "", 409},
		{"PUT " + pubsubURL + "/topics/goog-x", "", 400},
		{"PUT " + pubsubURL + "/topics/fresh", `{"schemaSettings":{"schema":"x"}}`, 501},
		{"GET " + pubsubURL + "/topics/missing", "", 404},
		{"POST " + pubsubURL + "/topics/missing:publish", `{"messages":[{"data":"aGk="}]}`, 404},
		{"POST " + pubsubURL + "/topics/events:publish", `{}`, 400},
		{"POST " + pubsubURL + "/topics/events:publish", `{"messages":[{}]}`, 400},
		{"POST " + pubsubURL + "/topics/events:seek", `{}`, 501},
		{"PUT " + pubsubURL + "/subscriptions/reader", `{"topic":"projects/acme/topics/events"}`, 409},
		{"PUT " + pubsubURL + "/subscriptions/fresh", `{"topic":"projects/acme/topics/missing"}`, 404},
		{"PUT " + pubsubURL + "/subscriptions/fresh", `{"topic":"events"}`, 400},
		{"PUT " + pubsubURL + "/subscriptions/fresh", `{"topic":"projects/acme/topics/events","ackDeadlineSeconds":9}`, 400},
		{"PUT " + pubsubURL + "/subscriptions/fresh", `{"topic":"projects/acme/topics/events","messageRetentionDuration":"1s"}`, 400},
		{"PUT " + pubsubURL + "/subscriptions/fresh", `{"topic":"projects/acme/topics/events","pushConfig":{"pushEndpoint":"https://x.test"}}`, 501},
		{"POST " + pubsubURL + "/subscriptions/reader:pull", `{}`, 400},
		{"POST " + pubsubURL + "/subscriptions/reader:acknowledge", `{}`, 400},
	} {
		if got := c.call("operator", test.what, test.body); got.code != test.code {
			t.Errorf("%s %s: got %d, want %d\n%s", test.what, test.body, got.code, test.code, got.body)
		}
	}
}

// TestPubsubClient drives the emulator with Google's own REST client.
func TestPubsubClient(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	service, err := pubsub.NewService(t.Context(), option.WithHTTPClient(c.bearer("operator")))
	if err != nil {
		t.Fatal(err)
	}
	const topic, subscription = "projects/acme/topics/fresh", "projects/acme/subscriptions/fresh"
	if _, err := service.Projects.Topics.Create(topic, &pubsub.Topic{Labels: map[string]string{"a": "b"}}).Do(); err != nil {
		t.Fatalf("creating a topic: %v", err)
	}
	s, err := service.Projects.Subscriptions.Create(subscription, &pubsub.Subscription{Topic: topic, AckDeadlineSeconds: 30}).Do()
	if err != nil {
		t.Fatalf("creating a subscription: %v", err)
	}
	if s.AckDeadlineSeconds != 30 || s.MessageRetentionDuration != "604800s" || s.Topic != topic {
		t.Errorf("subscription reads %+v", s)
	}
	list, err := service.Projects.Topics.Subscriptions.List(topic).Do()
	if err != nil || cmp.Diff([]string{subscription}, list.Subscriptions) != "" {
		t.Errorf("subscriptions of the topic: %+v, %v", list, err)
	}
	topics, err := service.Projects.Topics.List("projects/acme").PageSize(1).Do()
	if err != nil || len(topics.Topics) != 1 || topics.NextPageToken == "" {
		t.Errorf("topics: %+v, %v", topics, err)
	}
	if _, err := service.Projects.Topics.Delete(topic).Do(); err != nil {
		t.Errorf("deleting: %v", err)
	}
	if s, err = service.Projects.Subscriptions.Get(subscription).Do(); err != nil || s.Topic != "_deleted-topic_" {
		t.Errorf("subscription of a deleted topic: %+v, %v", s, err)
	}
	subscriptions, err := service.Projects.Subscriptions.List("projects/acme").Do()
	if err != nil || len(subscriptions.Subscriptions) != 2 {
		t.Errorf("subscriptions: %+v, %v", subscriptions, err)
	}
	if _, err := service.Projects.Subscriptions.Delete(subscription).Do(); err != nil {
		t.Errorf("deleting: %v", err)
	}
	if _, err := service.Projects.Topics.Get(topic).Do(); !isCode(err, http.StatusNotFound) {
		t.Errorf("getting a deleted topic: %v, want 404", err)
	}
}
