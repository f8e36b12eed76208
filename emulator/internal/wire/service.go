package wire

import (
	"net/http"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// Service is one of Google's APIs: all that the emulator has to know of it. The fields that
// it does not need stay empty.
type Service struct {
	// Name is the host that serves it, such as "pubsub.googleapis.com".
	Name string
	// Title is what Google calls the API in words; a host without a title is no API that a
	// project could disable.
	Title string
	// Scopes are those that open it, beside cloud-platform; those that only read end in
	// "read_only" or "readonly".
	Scopes []string
	// Methods are its methods.
	Methods []Method
	// Batch is the path that takes several of its calls in one request; "" if there is none.
	Batch string
	// Find returns the method for a request that no pattern fits, and its path variables;
	// nil if the path is not this service's. fallback is the method with a catch-all pattern
	// that would serve the request otherwise, or nil. The host is "" where all services share
	// one address.
	Find func(host, verb, path string, fallback *Method) (*Method, map[string]string)

	// Key names its state in the data file and in snapshots; "" for a service that
	// has none of its own.
	Key string
	// New returns a pointer to its empty state, with the maps that methods write to.
	New func() any
	// Seed returns a pointer to a struct with the tables of a seed that are the service's, and
	// the function that makes what they describe.
	Seed func() (tables any, fill func(*Seeding) error)

	// Assets names its resources that have a policy.
	Assets func(st *State, add func(Asset))
	// Node returns one of its resources, by the name without the host, as what other
	// resources inherit policies from.
	Node func(st *State, relative string) (iam.Node, bool)
	// Admit refuses a resource of a seed of which there is only a name and a policy, if the
	// service could not have it.
	Admit func(st *State, relative string) error
	// Grantable are what the permissions on its resources begin with, by the last collection
	// in a resource's name.
	Grantable map[string][]string
	// GrantableOn is Grantable for a service whose resources are not told apart like that.
	GrantableOn func(full string) []string

	// APIKey returns what an API key is that the service has given out, by its string; nil if it is none, or no more.
	APIKey func(st *State, text string) *APIKey

	// PayerParameter is the query parameter that names who pays for a call, beside the header X-Goog-User-Project; ""
	// for a service that has none. What is wrong with a payer is then told in the service's own words.
	PayerParameter string
	// Denied words the 403 of a missing permission; nil is Google's usual one.
	Denied func(who *iam.Principal, permission string, n iam.Node) *Error
	// Errors is the form of its errors.
	Errors ErrorForm
	// Quota counts a call that writes against the limits, and refuses it if one is reached.
	Quota func(c *Call, q *Usage) error
}

// ErrorForm is how a service writes errors.
type ErrorForm int

const (
	ModernErrors  ErrorForm = iota // with details; with errors[] for clients that send prettyPrint
	LegacyErrors                   // with errors[]
	StorageErrors                  // with errors[], without status and details
	OAuthErrors                    // RFC 6749, section 5.2
)

// Asset is a resource that has a policy.
type Asset struct {
	Name   string // as Cloud Asset Inventory names it: //storage.googleapis.com/b, not what conditions see
	Type   string // "storage.googleapis.com/Bucket"; "" if it has none
	Node   iam.Node
	Policy *iam.Policy
}

// AssetBelow is a resource that lies directly in a project; false if there is no such project.
func (st *State) AssetBelow(project, full, typ string, p *iam.Policy) (Asset, bool) {
	parent, _, err := st.ProjectNode(project)
	if err != nil {
		return Asset{}, false
	}
	return Asset{full, typ, parent.Child(full, "", typ, p), p}, true
}

// errorForm is how the service at host writes errors for a request.
func (s *Server) errorForm(host string, r *http.Request) ErrorForm {
	if sv := s.state.Service(host); sv != nil && grpcMethodOf(r) == "" {
		return sv.Errors
	}
	return ModernErrors
}

// Title is what Google calls an API; its host where that is not known.
func (st *State) Title(host string) string {
	if s := st.Service(host); s != nil && s.Title != "" {
		return s.Title
	}
	return host
}

// APIs are the hosts of the APIs that a project could disable.
func (st *State) APIs() []string {
	var hosts []string
	for _, s := range st.services {
		if s.Title != "" {
			hosts = append(hosts, s.Name)
		}
	}
	return hosts
}

// Grantable returns what the permissions that can be tested on a resource begin with, and
// so which roles can be granted on it. It is false for what is no full resource name.
func (st *State) Grantable(full string) ([]string, bool) {
	rest, ok := strings.CutPrefix(full, "//")
	if !ok {
		return nil, false
	}
	host, path, ok := strings.Cut(rest, "/")
	if !ok || path == "" {
		return nil, false
	}
	kind := path
	if i := strings.LastIndex(path, "/"); i > 0 {
		kind = path[:i]
		kind = kind[strings.LastIndex(kind, "/")+1:]
	}
	if s := st.Service(host); s != nil && s.Grantable[kind] != nil {
		return s.Grantable[kind], true
	}
	if kind == "projects" || kind == "folders" || kind == "organizations" {
		return []string{""}, true
	}
	for _, s := range st.services {
		if s.GrantableOn != nil {
			if prefixes := s.GrantableOn(full); prefixes != nil {
				return prefixes, true
			}
		}
	}
	return nil, false
}
