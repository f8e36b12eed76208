// Package resource knows what roles can be bound on: how people name a resource,
// what Google calls it, and how its allow policy is read and written.
//
// Types are rows of one table (see table.go), so that a further type is a further
// row and no further code. The package is pure: it makes no call and reads nothing.
package resource

// Dialect is the form in which a resource keeps who has access to it.
type Dialect string

const (
	// Standard is google.iam.v1: getIamPolicy and setIamPolicy with {"policy": …}.
	Standard Dialect = "standard"
	// Bucket is Cloud Storage's: GET and PUT of the bare policy; a stale etag is 412.
	Bucket Dialect = "bucket"
	// Dataset is BigQuery's: the access[] list inside the dataset; the etag goes
	// into If-Match.
	Dataset Dialect = "dataset"
)

// VersionIn says where a read asks for policy version 3. Without it Google hides
// conditions, or refuses (iam/docs/allow-policies, "Specifying a policy version").
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
	Host      string // such as "secretmanager.googleapis.com"
	VersionIn VersionIn

	GetVerb, GetPath   string
	SetVerb, SetPath   string
	TestVerb, TestPath string // empty where the type has no testIamPermissions
}

// Type is a kind of resource.
type Type struct {
	// Kind is the word that people use: "bucket", "topic".
	Kind string
	// Service is the host in the full resource name, and with Pattern makes it:
	// //storage.googleapis.com/projects/_/buckets/{bucket}.
	Service string
	Pattern string
	// Short are the short forms that people write, as templates: "gs://{bucket}".
	// The first is the one that [Name.String] prints; with none it prints the
	// relative name. Where two accept a name, the earlier one decides.
	Short []string
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
}
