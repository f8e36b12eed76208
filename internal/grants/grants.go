// Package grants holds the vocabulary of access: what a task is granted, the run and
// the account that it is granted to, and the plan that says which binding each policy
// gets, and how to find them again.
//
// It is pure. It makes no call, reads no file and no clock; time enters as an
// argument. How a policy is edited is in package policy, below it; what there is to say
// about a grant is in package review, above it.
package grants

import (
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/resource"
)

// Task is what a manifest declares: a piece of work and the access it needs.
type Task struct {
	Name    string        // [a-z][a-z0-9-]*, up to 40 characters
	Project string        // the project that hosts the service account
	TTL     time.Duration // how long the access is to last
	Reason  string        // sent as X-Goog-Request-Reason with every call; may be empty
	Grants  []Grant
	// Accept lists the findings that the manifest accepts, each with a reason.
	Accept []Acceptance
	// Deliver lists the kinds of credential that will do, the best one first. Empty
	// leaves it to whoever brings the task up.
	Deliver []DeliveryKind
	// TokenLifetime is how long one access token may live; 0 leaves it to the delivery.
	TokenLifetime time.Duration
	// Audiences are whom identity tokens may be made out to; empty means to nobody.
	Audiences []string
	// Network is what may be reached in a closed network, which alone enforces it; nil says nothing
	// of it.
	Network *Network
	// Sandbox is what the task asks of the sandbox of its command.
	Sandbox Sandbox
}

// DeliveryKind is the kind of credential that the sandbox is given.
type DeliveryKind string

// Grant is one role, or one list of permissions, on one resource.
type Grant struct {
	// Role is what the manifest names. Where it lists permissions instead, it is empty
	// until it is known which custom role holds them: see [Plan.WithRoles].
	Role string
	// Permissions are sorted, each once; empty where a role is named.
	Permissions []string
	Resource    resource.Name
	// Prefix narrows a bucket to the objects whose names begin with it; "" is the whole bucket.
	Prefix string
	// Condition is the user's own CEL expression, without our expiry; "" is none.
	Condition string
	// AcceptUnbounded is the manifest's unbounded = "accept": this grant may end with
	// down alone, because the resource takes no conditions.
	AcceptUnbounded bool
	// AllowBasic lets Role be roles/owner, roles/editor or roles/viewer.
	AllowBasic bool
}

// Basic reports whether the role is one of the three that reach over everything in a project.
func Basic(role string) bool {
	return role == "roles/owner" || role == "roles/editor" || role == "roles/viewer"
}

// Bounded reports whether the grant ends by itself: whether its binding can carry
// a time condition. The resource has to take conditions, and basic roles and the
// legacy roles of buckets never do (iam/docs/conditions-overview).
func (g Grant) Bounded() bool {
	return g.Resource.Type().Conditions && !Basic(g.Role) && !strings.HasPrefix(g.Role, "roles/storage.legacy")
}

// Acceptance is a finding that the manifest accepts for one grant.
type Acceptance struct {
	Grant   int // index in the task
	Finding string
	Reason  string
}
