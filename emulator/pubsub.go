package emulator

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

const pubsubHost = "pubsub.googleapis.com"

// pubsubState is what Pub/Sub remembers. Topics and subscriptions are kept by their relative name,
// projects/P/topics/T and projects/P/subscriptions/S.
type pubsubState struct {
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
	Policy *policy           `json:"policy,omitempty"`
}

// deletedTopic is what a subscription names when its topic is gone.
const deletedTopic = "_deleted-topic_"

// pubsubService is Pub/Sub.
func pubsubService() *service {
	return &service{
		Name: pubsubHost, Title: "Cloud Pub/Sub API", Scopes: []string{"pubsub"}, Methods: pubsubMethods(),
		Key: pubsubKey,
		New: func() any {
			return &pubsubState{Topics: map[string]*topic{}, Subscriptions: map[string]*subscription{}}
		},
		Seed: pubsubSeed, Assets: pubsubAssets,
		Grantable: map[string][]string{"topics": {"pubsub.topics."}, "subscriptions": {"pubsub.subscriptions."}},
		Denied:    pubsubDenied,
	}
}

const pubsubKey = "pubsub"

func pubsubOf(st *state) *pubsubState { return part[pubsubState](st, pubsubKey) }

func pubsubAssets(st *state, add func(asset)) {
	for _, t := range pubsubOf(st).Topics {
		if a, ok := st.assetBelow(strings.Split(t.Name, "/")[1], "//"+pubsubHost+"/"+t.Name, pubsubHost+"/Topic", t.Policy); ok {
			add(a)
		}
	}
	for _, s := range pubsubOf(st).Subscriptions {
		if a, ok := st.assetBelow(strings.Split(s.Name, "/")[1], "//"+pubsubHost+"/"+s.Name, pubsubHost+"/Subscription", s.Policy); ok {
			add(a)
		}
	}
}

// pubsubDenied is the 403 of a missing permission in the words of Pub/Sub.
func pubsubDenied(_ *principal, permission string, n node) *apiError {
	return forbidden("User not authorized to perform this action.").withDetails(errorInfo("IAM_PERMISSION_DENIED", iamHost,
		map[string]string{"permission": permission, "resource": n.relative()}))
}

// pubsubMethods are the methods of Pub/Sub's REST API.
//
// Pub/Sub takes no conditions in its policies, and hands none of the resource attributes to those that it
// inherits (iam/docs/conditions-resource-attributes): its nodes have neither name nor type.
func pubsubMethods() []method {
	const topics, subscriptions = "/v1/projects/{project}/topics", "/v1/projects/{project}/subscriptions"
	at := func(id, pattern string, serve func(*call) (any, error)) method {
		writes := !strings.HasPrefix(pattern, "GET ")
		return method{id: "pubsub.projects." + id, host: pubsubHost, pattern: pattern, writes: writes, serve: serve}
	}
	methods := []method{
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
		at("subscriptions.modifyAckDeadline", "POST "+subscriptions+"/{subscription}:modifyAckDeadline", modifyAckDeadline),
	}
	methods = append(methods, policyMethods(policySpec{
		api: "pubsub.projects.topics", host: pubsubHost, path: topics + "/{topic}", getVerb: http.MethodGet,
		permission: "pubsub.topics", public: true,
		find: func(c *call) (node, *policy, error) {
			t, n, err := findTopic(c)
			if err != nil {
				return n, nil, err
			}
			return n, t.Policy, nil
		},
	})...)
	return append(methods, policyMethods(policySpec{
		api: "pubsub.projects.subscriptions", host: pubsubHost, path: subscriptions + "/{subscription}", getVerb: http.MethodGet,
		permission: "pubsub.subscriptions", public: true,
		find: func(c *call) (node, *policy, error) {
			s, n, err := findSubscription(c)
			if err != nil {
				return n, nil, err
			}
			return n, s.Policy, nil
		},
	})...)
}

// pubsubID is what topics and subscriptions may be called (pubsub/docs/pubsub-basics).
var pubsubID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)

func checkPubsubID(id string) error {
	if !pubsubID.MatchString(id) || strings.HasPrefix(strings.ToLower(id), "goog") {
		return invalid("Invalid resource name given (name=%s). Refer to https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.", id)
	}
	return nil
}

func resourceNotFound(name string) error {
	return notFound("Resource not found (resource=%s).", name[strings.LastIndex(name, "/")+1:])
}

func resourceExists(name string) error {
	return alreadyExists("Resource already exists in the project (resource=%s).", name[strings.LastIndex(name, "/")+1:])
}

// topicNamed returns a topic by its relative name, and its node. Of a topic that does not exist it
// returns the node of the project that would own it beside the error.
func topicNamed(c *call, name string) (*topic, node, error) {
	project, id, ok := strings.Cut(strings.TrimPrefix(name, "projects/"), "/topics/")
	if !ok || !strings.HasPrefix(name, "projects/") {
		return nil, node{}, invalid("Invalid resource name given (name=%s).", name)
	}
	parent, p, err := c.state().projectNode(project)
	if err != nil {
		return nil, parent, err
	}
	name = "projects/" + p.ID + "/topics/" + id
	t := pubsubOf(c.state()).Topics[name]
	if t == nil {
		return nil, parent, resourceNotFound(name)
	}
	return t, parent.child("//"+pubsubHost+"/"+name, "", "", t.Policy), nil
}

func findTopic(c *call) (*topic, node, error) {
	return topicNamed(c, "projects/"+c.vars["project"]+"/topics/"+c.vars["topic"])
}

// newTopic returns a topic that grants nothing to anybody.
func (st *pubsubState) newTopic(name string) *topic {
	if st.Topics == nil {
		st.Topics = map[string]*topic{}
	}
	t := &topic{Name: name, Policy: &policy{}}
	st.Topics[name] = t
	return t
}

// topicResource is a topic as the API writes it.
type topicResource struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

func (t *topic) resource() topicResource { return topicResource{Name: t.Name, Labels: t.Labels} }

func createTopic(c *call) (any, error) {
	parent, p, err := c.state().projectNode(c.vars["project"])
	if err := c.requireFound("pubsub.topics.create", parent, err); err != nil {
		return nil, err
	}
	if err := checkPubsubID(c.vars["topic"]); err != nil {
		return nil, err
	}
	var name string
	var labels map[string]string
	if err := c.decodeKnown(c.body, map[string]any{"name": &name, "labels": &labels}); err != nil {
		return nil, err
	}
	st := pubsubOf(c.state())
	name = "projects/" + p.ID + "/topics/" + c.vars["topic"]
	if st.Topics[name] != nil {
		return nil, resourceExists(name)
	}
	t := st.newTopic(name)
	t.Labels = labels
	return t.resource(), nil
}

func getTopic(c *call) (any, error) {
	t, n, err := findTopic(c)
	if err := c.requireFound("pubsub.topics.get", n, err); err != nil {
		return nil, err
	}
	return t.resource(), nil
}

func deleteTopic(c *call) (any, error) {
	t, n, err := findTopic(c)
	if err := c.requireFound("pubsub.topics.delete", n, err); err != nil {
		return nil, err
	}
	st := pubsubOf(c.state())
	delete(st.Topics, t.Name)
	for _, s := range st.Subscriptions {
		if s.Topic == t.Name {
			s.Topic = deletedTopic
		}
	}
	return struct{}{}, nil
}

func listTopics(c *call) (any, error) {
	parent, p, err := c.state().projectNode(c.vars["project"])
	if err := c.requireFound("pubsub.topics.list", parent, err); err != nil {
		return nil, err
	}
	topics := pubsubOf(c.state()).Topics
	names, next, err := c.page(namesBelow(topics, "projects/"+p.ID+"/"), "pageSize", 1000)
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

func listTopicSubscriptions(c *call) (any, error) {
	t, n, err := findTopic(c)
	if err := c.requireFound("pubsub.topics.get", n, err); err != nil {
		return nil, err
	}
	var names []string
	for name, s := range pubsubOf(c.state()).Subscriptions {
		if s.Topic == t.Name {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names, next, err := c.page(names, "pageSize", 1000)
	if err != nil {
		return nil, err
	}
	return struct {
		Subscriptions []string `json:"subscriptions,omitempty"`
		Next          string   `json:"nextPageToken,omitempty"`
	}{names, next}, nil
}
