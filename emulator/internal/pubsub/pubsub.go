// Package pubsub is the Pub/Sub of the emulator: topics, subscriptions and their messages.
package pubsub

import (
	"net/http"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/lazy"
)

const host = "pubsub.googleapis.com"

// state is what Pub/Sub remembers. Topics and subscriptions are kept by their relative name,
// projects/P/topics/T and projects/P/subscriptions/S.
type state struct {
	Topics        map[string]*topic        `json:"topics,omitempty"`
	Subscriptions map[string]*subscription `json:"subscriptions,omitempty"`
	// LastMessage and LastAck number the messages and the deliveries.
	LastMessage int64 `json:"lastMessage,omitempty" snapshot:"-"`
	LastAck     int64 `json:"lastAck,omitempty" snapshot:"-"`
}

// topic is a topic, which keeps no messages: they go to its subscriptions.
type topic struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Policy *iam.Policy       `json:"policy,omitempty"`
}

// deletedTopic is what a subscription names when its topic is gone.
const deletedTopic = "_deleted-topic_"

// Service is Pub/Sub.
func Service() *wire.Service {
	return &wire.Service{
		Name: host, Title: "Cloud Pub/Sub API", Scopes: []string{"pubsub"}, Methods: methods(),
		Key: stateKey,
		New: func() any {
			return &state{Topics: map[string]*topic{}, Subscriptions: map[string]*subscription{}}
		},
		Seed: seed, Assets: assets,
		Grantable: map[string][]string{"topics": {"pubsub.topics."}, "subscriptions": {"pubsub.subscriptions."}},
		Denied:    denied,
	}
}

const stateKey = "pubsub"

func stateOf(st *wire.State) *state { return wire.Part[state](st, stateKey) }

func assets(st *wire.State, add func(wire.Asset)) {
	for _, t := range stateOf(st).Topics {
		if a, ok := st.AssetBelow(strings.Split(t.Name, "/")[1], "//"+host+"/"+t.Name, host+"/Topic", t.Policy); ok {
			add(a)
		}
	}
	for _, s := range stateOf(st).Subscriptions {
		if a, ok := st.AssetBelow(strings.Split(s.Name, "/")[1], "//"+host+"/"+s.Name, host+"/Subscription",
			s.Policy); ok {
			add(a)
		}
	}
}

// denied is the 403 of a missing permission in the words of Pub/Sub.
func denied(_ *iam.Principal, permission string, n iam.Node) *wire.Error {
	return wire.Forbidden("User not authorized to perform this action.").WithDetails(wire.ErrorInfo(
		"IAM_PERMISSION_DENIED", iam.Host,
		map[string]string{"permission": permission, "resource": n.Relative()}))
}

// methods are the methods of Pub/Sub's REST API.
//
// Pub/Sub takes no conditions in its policies, and hands none of the resource attributes to those that it
// inherits (iam/docs/conditions-resource-attributes): its nodes have neither name nor type.
func methods() []wire.Method {
	const topics, subscriptions = "/v1/projects/{project}/topics", "/v1/projects/{project}/subscriptions"
	at := func(id, pattern string, serve func(*wire.Call) (any, error)) wire.Method {
		writes := !strings.HasPrefix(pattern, "GET ")
		return wire.Method{ID: "pubsub.projects." + id, Host: host, Pattern: pattern, Writes: writes, Serve: serve}
	}
	overGRPC := func(m wire.Method) wire.Method { m.OverGRPC = true; return m }
	methods := []wire.Method{
		at("topics.create", "PUT "+topics+"/{topic}", createTopic),
		at("topics.get", "GET "+topics+"/{topic}", getTopic),
		at("topics.patch", "PATCH "+topics+"/{topic}", patchTopic),
		at("topics.list", "GET "+topics, listTopics),
		at("topics.delete", "DELETE "+topics+"/{topic}", deleteTopic),
		at("topics.publish", "POST "+topics+"/{topic}:publish", publish),
		at("topics.subscriptions.list", "GET "+topics+"/{topic}/subscriptions", listTopicSubscriptions),

		at("subscriptions.create", "PUT "+subscriptions+"/{subscription}", createSubscription),
		at("subscriptions.get", "GET "+subscriptions+"/{subscription}", getSubscription),
		at("subscriptions.patch", "PATCH "+subscriptions+"/{subscription}", patchSubscription),
		at("subscriptions.list", "GET "+subscriptions, listSubscriptions),
		at("subscriptions.delete", "DELETE "+subscriptions+"/{subscription}", deleteSubscription),
		at("subscriptions.pull", "POST "+subscriptions+"/{subscription}:pull", pull),
		at("subscriptions.acknowledge", "POST "+subscriptions+"/{subscription}:acknowledge", acknowledge),
		at("subscriptions.modifyAckDeadline", "POST "+subscriptions+"/{subscription}:modifyAckDeadline",
			modifyAckDeadline),
		overGRPC(at("subscriptions.streamingPull", "POST "+subscriptions+"/{subscription}:streamingPull",
			streamingPull)),
	}
	methods = append(methods, wire.PolicyMethods(wire.PolicySpec{
		ID: "pubsub.projects.topics", Host: host, Path: topics + "/{topic}", GetVerb: http.MethodGet,
		Permission: "pubsub.topics", Public: true,
		Find: func(c *wire.Call) (iam.Node, *iam.Policy, error) {
			t, n, err := findTopic(c)
			if err != nil {
				return n, nil, err
			}
			return n, t.Policy, nil
		},
	})...)
	return append(methods, wire.PolicyMethods(wire.PolicySpec{
		ID: "pubsub.projects.subscriptions", Host: host, Path: subscriptions + "/{subscription}",
		GetVerb:    http.MethodGet,
		Permission: "pubsub.subscriptions", Public: true,
		Find: func(c *wire.Call) (iam.Node, *iam.Policy, error) {
			s, n, err := findSubscription(c)
			if err != nil {
				return n, nil, err
			}
			return n, s.Policy, nil
		},
	})...)
}

// pubsubID is what topics and subscriptions may be called (pubsub/docs/pubsub-basics).
var pubsubID = lazy.Regexp(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)

func checkPubsubID(id string) error {
	if !pubsubID().MatchString(id) || strings.HasPrefix(strings.ToLower(id), "goog") {
		return wire.Invalid("Invalid resource name given (name=%s). Refer to "+
			"https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.", id)
	}
	return nil
}

func resourceNotFound(name string) error {
	return wire.NotFound("Resource not found (resource=%s).", name[strings.LastIndex(name, "/")+1:])
}

func resourceExists(name string) error {
	return wire.AlreadyExists("Resource already exists in the project (resource=%s).",
		name[strings.LastIndex(name, "/")+1:])
}

// topicNamed returns a topic by its relative name, and its node. Of a topic that does not exist it
// returns the node of the project that would own it and the error.
func topicNamed(c *wire.Call, name string) (*topic, iam.Node, error) {
	project, id, ok := strings.Cut(strings.TrimPrefix(name, "projects/"), "/topics/")
	if !ok || !strings.HasPrefix(name, "projects/") {
		return nil, iam.Node{}, wire.Invalid("Invalid resource name given (name=%s).", name)
	}
	parent, p, err := c.State().ProjectNode(project)
	if err != nil {
		return nil, parent, err
	}
	name = "projects/" + p.ID + "/topics/" + id
	t := stateOf(c.State()).Topics[name]
	if t == nil {
		return nil, parent, resourceNotFound(name)
	}
	return t, parent.Child("//"+host+"/"+name, "", "", t.Policy), nil
}

func findTopic(c *wire.Call) (*topic, iam.Node, error) {
	return topicNamed(c, "projects/"+c.Vars["project"]+"/topics/"+c.Vars["topic"])
}

// newTopic returns a topic that grants nothing to anybody.
func (st *state) newTopic(name string) *topic {
	if st.Topics == nil {
		st.Topics = map[string]*topic{}
	}
	t := &topic{Name: name, Policy: &iam.Policy{}}
	st.Topics[name] = t
	return t
}

// topicResource is a topic as the API writes it.
type topicResource struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

func (t *topic) resource() topicResource { return topicResource{Name: t.Name, Labels: t.Labels} }

func createTopic(c *wire.Call) (any, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err := c.RequireFound("pubsub.topics.create", parent, err); err != nil {
		return nil, err
	}
	if err := checkPubsubID(c.Vars["topic"]); err != nil {
		return nil, err
	}
	var name string
	var labels map[string]string
	if err := c.DecodeKnown(c.Body, map[string]any{"name": &name, "labels": &labels}); err != nil {
		return nil, err
	}
	st := stateOf(c.State())
	name = "projects/" + p.ID + "/topics/" + c.Vars["topic"]
	if st.Topics[name] != nil {
		return nil, resourceExists(name)
	}
	t := st.newTopic(name)
	t.Labels = labels
	return t.resource(), nil
}

func getTopic(c *wire.Call) (any, error) {
	t, n, err := findTopic(c)
	if err := c.RequireFound("pubsub.topics.get", n, err); err != nil {
		return nil, err
	}
	return t.resource(), nil
}

func deleteTopic(c *wire.Call) (any, error) {
	t, n, err := findTopic(c)
	if err := c.RequireFound("pubsub.topics.delete", n, err); err != nil {
		return nil, err
	}
	st := stateOf(c.State())
	delete(st.Topics, t.Name)
	for _, s := range st.Subscriptions {
		if s.Topic == t.Name {
			s.Topic = deletedTopic
		}
	}
	return struct{}{}, nil
}

func listTopics(c *wire.Call) (any, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err := c.RequireFound("pubsub.topics.list", parent, err); err != nil {
		return nil, err
	}
	topics := stateOf(c.State()).Topics
	names, next, err := c.Page(wire.NamesBelow(topics, "projects/"+p.ID+"/"), "pageSize", 1000)
	if err != nil {
		return nil, err
	}
	out := struct {
		Topics []topicResource `json:"topics,omitempty"`
		Next   string          `json:"nextPageToken,omitempty"`
	}{Next: next}
	for _, name := range names {
		out.Topics = append(out.Topics, topics[name].resource())
	}
	return out, nil
}

func listTopicSubscriptions(c *wire.Call) (any, error) {
	t, n, err := findTopic(c)
	if err := c.RequireFound("pubsub.topics.get", n, err); err != nil {
		return nil, err
	}
	var names []string
	for name, s := range stateOf(c.State()).Subscriptions {
		if s.Topic == t.Name {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names, next, err := c.Page(names, "pageSize", 1000)
	if err != nil {
		return nil, err
	}
	return struct {
		Subscriptions []string `json:"subscriptions,omitempty"`
		Next          string   `json:"nextPageToken,omitempty"`
	}{names, next}, nil
}
