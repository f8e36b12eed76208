package emulator

import (
	"testing"
)

func TestPubsubPatch(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const topic, subscription = pubsubURL + "/topics/events", pubsubURL + "/subscriptions/reader"
	r := c.want(200, nil, "operator", "PATCH "+topic, `{"topic":{"name":"projects/acme/topics/events","labels":{"a":"1"}},"updateMask":"labels"}`)
	if r.field("labels") != `{"a":"1"}` {
		t.Errorf("the topic is %s", r.body)
	}
	c.want(200, nil, "operator", "PATCH "+topic, `{"topic":{"labels":{"b":"2"}},"updateMask":"labels"}`)
	if r := c.want(200, nil, "operator", "GET "+topic, ""); r.field("labels") != `{"b":"2"}` {
		t.Errorf("labels are merged: %s", r.body)
	}
	c.want(200, nil, "operator", "PATCH "+subscription, `{"subscription":{"labels":{"a":"1"}},"updateMask":"labels"}`)
	// A field that the mask does not name stays.
	r = c.want(200, nil, "operator", "PATCH "+subscription,
		`{"subscription":{"ackDeadlineSeconds":60,"labels":{"b":"2"},"messageRetentionDuration":"3600s"},"updateMask":"ack_deadline_seconds,messageRetentionDuration"}`)
	if r.field("ackDeadlineSeconds") != "60" || r.field("messageRetentionDuration") != `"3600s"` || r.field("labels") != `{"a":"1"}` {
		t.Errorf("the subscription is %s", r.body)
	}
	for body, want := range map[string]int{
		`{"subscription":{"ackDeadlineSeconds":5},"updateMask":"ackDeadlineSeconds"}`:          400,
		`{"subscription":{"messageRetentionDuration":"1s"},"updateMask":"ackDeadlineSeconds"}`: 400,
		`{"subscription":{"labels":{}}}`:                                                           400,
		`{"subscription":{},"updateMask":"topic"}`:                                                 400,
		`{"subscription":{"deadLetterPolicy":{"maxDeliveryAttempts":5}},"updateMask":"labels"}`:    501,
		`{"subscription":{"labels":{}},"updateMask":"labels","somethingElse":"that is not known"}`: 501,
	} {
		if r := c.call("operator", "PATCH "+subscription, body); r.code != want {
			t.Errorf("%s: %d %s, want %d", body, r.code, r.body, want)
		}
	}
	for _, url := range []string{topic, subscription} {
		c.want(403, nil, "agent", "PATCH "+url, `{"updateMask":"labels"}`)
	}
	c.want(404, nil, "operator", "PATCH "+pubsubURL+"/topics/missing", `{"updateMask":"labels"}`)
}

func TestSecretPatch(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const secret = secretsURL + "/api-key"
	before := c.want(200, nil, "operator", "GET "+secret, "")
	r := c.want(200, nil, "operator", "PATCH "+secret+"?updateMask=labels", `{"labels":{"a":"1"},"annotations":{"b":"2"},"etag":`+before.field("etag")+`}`)
	if r.field("labels") != `{"a":"1"}` || r.field("annotations") != "" || r.field("etag") == before.field("etag") {
		t.Errorf("the secret is %s", r.body)
	}
	c.want(400, nil, "operator", "PATCH "+secret+"?updateMask=labels", `{"etag":`+before.field("etag")+`}`) // stale
	c.want(400, nil, "operator", "PATCH "+secret+"?updateMask=replication", `{}`)
	c.want(400, nil, "operator", "PATCH "+secret, `{}`)
	c.want(403, nil, "agent", "PATCH "+secret+"?updateMask=labels", `{}`)
	c.want(404, nil, "operator", "PATCH "+secretsURL+"/missing?updateMask=labels", `{}`)
}
