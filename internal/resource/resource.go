// Package resource knows what roles can be bound on: how people name a resource,
// what Google calls it, and how its allow policy is read and written.
//
// Types are rows of one table, so that a further type is a further row and no further
// code. Most of the table is generated from Google's discovery documents (types.txt);
// what those do not say is written by hand (known.go). The package is pure: it makes no
// call and reads nothing.
package resource

import "strings"

//go:generate go run ../tools/gen/resource types.txt
//go:generate go run ../tools/gen/resource ../../docs/resources.md

// Dialect is the form in which a resource keeps who has access to it.
type Dialect string

const (
	// Standard is google.iam.v1: getIamPolicy and setIamPolicy with {"policy": …}.
	Standard Dialect = "standard"
	// Bucket is Cloud Storage's, of buckets and managed folders: GET and PUT of the bare
	// policy; a stale etag is 412.
	Bucket Dialect = "bucket"
	// Dataset is BigQuery's: the access[] list inside the dataset; the etag goes
	// into If-Match.
	Dataset Dialect = "dataset"
)

// VersionIn says where a read asks for policy version 3, "" where it cannot. Without it
// Google hides conditions, or refuses (iam/docs/allow-policies, "Specifying a policy
// version").
type VersionIn string

const (
	// VersionInQuery is ?options.requestedPolicyVersion=3.
	VersionInQuery VersionIn = "query"
	// VersionInCompactQuery is ?optionsRequestedPolicyVersion=3 (Storage, Compute).
	VersionInCompactQuery VersionIn = "compact query"
	// VersionInBody is {"options": {"requestedPolicyVersion": 3}} in a POST.
	VersionInBody VersionIn = "body"
	// VersionInAccessQuery is ?accessPolicyVersion=3 (BigQuery datasets).
	VersionInAccessQuery VersionIn = "access query"
)

// PolicyAPI is how the policy of one type of resource is read, written and asked
// about. The paths are templates over the type's pattern variables, in RFC 6570's
// simple form: "v1/projects/{project}/secrets/{secret}:getIamPolicy".
type PolicyAPI struct {
	Dialect   Dialect
	Host      string // such as "secretmanager.googleapis.com"; {location} in it is the name's
	VersionIn VersionIn

	GetVerb, GetPath   string // empty where the type has no policy of its own
	SetVerb, SetPath   string // empty where the policy cannot be written
	TestVerb, TestPath string // empty where the type has no testIamPermissions
	TestInQuery        bool   // the permissions go into the query, and not into a body
}

// Type is a kind of resource.
type Type struct {
	// ID is Google's: the ids of the type's methods without the verb, such as
	// "run.projects.locations.services".
	ID string
	// Kind is the word that people use: "bucket", "Cloud Run service".
	Kind string
	// Service is the host in the full resource name, and with Pattern makes it:
	// //storage.googleapis.com/projects/_/buckets/{bucket}. It is also the API that must
	// be enabled. A variable at the end of a pattern that is written {+v} spans segments.
	Service string
	Pattern string
	// Short are the short forms that people write, as templates: "gs://{bucket}".
	// The first is the one that [Name.String] prints; with none it prints the
	// relative name. Where two accept a name, the earlier one decides.
	Short []string
	// Also are short forms that are read, and not printed.
	Also []string
	// Example is one name of this type, as people write it.
	Example string
	// Prefixes reports whether a short name may go on with /PREFIX, which narrows a
	// grant to what is inside under names that begin so.
	Prefixes bool
	// Conditions reports whether the resource's own policy takes conditions.
	Conditions bool
	// SuppliesName reports whether conditions on it see resource.name.
	SuppliesName bool
	// NumbersProject reports whether resource.name holds the number of a project and
	// never its id, so that a condition that spells the id is never true.
	NumbersProject bool
	// ConditionType is resource.type as conditions see it, such as
	// "storage.googleapis.com/Bucket"; empty if the service supplies none.
	ConditionType string
	// Testable are the prefixes of the permissions that the type's
	// testIamPermissions can be asked about; "" matches every permission.
	Testable []string
	API      PolicyAPI

	urlPath  string    // the pattern as it is in URLs
	segments []segment // of the pattern
	aliases  []string  // other services of its full resource name
	rivals   []*Type   // other types that the same relative name may be of
}

// Bindable reports whether roles can be bound on resources of the type: whether it has
// an allow policy of its own that can be written.
func (t *Type) Bindable() bool { return t.API.SetPath != "" }

// A returns the kind with its article: a bucket, an organization.
func (t *Type) A() string {
	if strings.ContainsAny(t.Kind[:1], "aeioAEIO") {
		return "an " + t.Kind
	}
	return "a " + t.Kind
}
