package resource

import "slices"

// Types returns every type of resource that roles can be bound on, in the order of
// the table.
func Types() []*Type { return slices.Clone(table) }

// Lookup returns the type with this kind, or nil.
func Lookup(kind string) *Type {
	for _, t := range table {
		if t.Kind == kind {
			return t
		}
	}
	return nil
}

// The table. Verbs, paths and the place of the policy version are those of Google's
// discovery documents; patterns those of iam/docs/full-resource-names; conditions
// those of iam/docs/resource-types-with-conditional-roles and
// iam/docs/conditions-resource-attributes.
var table = []*Type{
	{
		Kind:          "project",
		Service:       "cloudresourcemanager.googleapis.com",
		Pattern:       "projects/{project}",
		Example:       "projects/acme-agents",
		Conditions:    true,
		SuppliesName:  true, // of what is in the project
		ConditionType: "cloudresourcemanager.googleapis.com/Project",
		Testable:      []string{""},
		// Version 1 and 3 both serve projects; only 3 serves folders as well.
		API: standard("cloudresourcemanager.googleapis.com", "POST", "v3/projects/{project}", VersionInBody),
	},
	{
		Kind:         "folder",
		Service:      "cloudresourcemanager.googleapis.com",
		Pattern:      "folders/{folder}",
		Example:      "folders/123456789012",
		Conditions:   true,
		SuppliesName: true,
		Testable:     []string{""},
		API:          standard("cloudresourcemanager.googleapis.com", "POST", "v3/folders/{folder}", VersionInBody),
	},
	{
		Kind:         "organization",
		Service:      "cloudresourcemanager.googleapis.com",
		Pattern:      "organizations/{organization}",
		Example:      "organizations/123456789012",
		Conditions:   true,
		SuppliesName: true,
		Testable:     []string{""},
		API:          standard("cloudresourcemanager.googleapis.com", "POST", "v3/organizations/{organization}", VersionInBody),
	},
	{
		Kind:          "bucket",
		Service:       "storage.googleapis.com",
		Pattern:       "projects/_/buckets/{bucket}",
		Short:         []string{"gs://{bucket}"},
		Example:       "gs://acme-reports",
		Prefixes:      true,
		Conditions:    true, // with uniform bucket-level access, which the name does not tell
		SuppliesName:  true,
		ConditionType: "storage.googleapis.com/Bucket",
		Testable:      []string{"storage.buckets.", "storage.folders.", "storage.managedFolders.", "storage.multipartUploads.", "storage.objects."},
		API: PolicyAPI{
			Dialect: Bucket, Host: "storage.googleapis.com", VersionIn: VersionInCompactQuery,
			GetVerb: "GET", GetPath: "storage/v1/b/{bucket}/iam",
			SetVerb: "PUT", SetPath: "storage/v1/b/{bucket}/iam",
			TestVerb: "GET", TestPath: "storage/v1/b/{bucket}/iam/testPermissions",
		},
	},
	{
		Kind:          "dataset",
		Service:       "bigquery.googleapis.com",
		Pattern:       "projects/{project}/datasets/{dataset}",
		Short:         []string{"bq://{project}.{dataset}", "bq://{project}:{dataset}"},
		Example:       "bq://acme-agents.sales",
		Conditions:    true,
		SuppliesName:  true,
		ConditionType: "bigquery.googleapis.com/Dataset",
		API: PolicyAPI{
			Dialect: Dataset, Host: "bigquery.googleapis.com", VersionIn: VersionInAccessQuery,
			GetVerb: "GET", GetPath: "bigquery/v2/projects/{project}/datasets/{dataset}",
			SetVerb: "PATCH", SetPath: "bigquery/v2/projects/{project}/datasets/{dataset}",
		},
	},
	{
		Kind:          "table",
		Service:       "bigquery.googleapis.com",
		Pattern:       "projects/{project}/datasets/{dataset}/tables/{table}",
		Example:       "projects/acme-agents/datasets/sales/tables/orders",
		SuppliesName:  true, // to the conditions of what it is in; its own policy takes none
		ConditionType: "bigquery.googleapis.com/Table",
		Testable:      []string{"bigquery.tables."},
		API:           standard("bigquery.googleapis.com", "POST", "bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}", VersionInBody),
	},
	{
		Kind:     "topic",
		Service:  "pubsub.googleapis.com",
		Pattern:  "projects/{project}/topics/{topic}",
		Example:  "projects/acme-agents/topics/reports",
		Testable: []string{"pubsub.topics."},
		API:      standard("pubsub.googleapis.com", "GET", "v1/projects/{project}/topics/{topic}", VersionInQuery),
	},
	{
		Kind:     "subscription",
		Service:  "pubsub.googleapis.com",
		Pattern:  "projects/{project}/subscriptions/{subscription}",
		Example:  "projects/acme-agents/subscriptions/reports-worker",
		Testable: []string{"pubsub.subscriptions."},
		API:      standard("pubsub.googleapis.com", "GET", "v1/projects/{project}/subscriptions/{subscription}", VersionInQuery),
	},
	{
		Kind:           "secret",
		Service:        "secretmanager.googleapis.com",
		Pattern:        "projects/{project}/secrets/{secret}",
		Example:        "projects/acme-agents/secrets/api-key",
		Conditions:     true,
		SuppliesName:   true,
		NumbersProject: true,
		ConditionType:  "secretmanager.googleapis.com/Secret",
		Testable:       []string{"secretmanager.secrets.", "secretmanager.versions."},
		API:            standard("secretmanager.googleapis.com", "GET", "v1/projects/{project}/secrets/{secret}", VersionInQuery),
	},
	{
		Kind:       "service account",
		Service:    "iam.googleapis.com",
		Pattern:    "projects/{project}/serviceAccounts/{account}",
		Example:    "projects/acme-agents/serviceAccounts/robot@acme-agents.iam.gserviceaccount.com",
		Conditions: true,
		Testable:   []string{"iam.serviceAccounts.", "iam.serviceAccountKeys."},
		// A POST without a body: the version goes into the query all the same.
		API: standard("iam.googleapis.com", "POST", "v1/projects/{project}/serviceAccounts/{account}", VersionInQuery),
	},
}

// standard is the API of a type that follows google.iam.v1: :getIamPolicy with the
// given verb, and POST for :setIamPolicy and :testIamPermissions.
func standard(host, get, path string, version VersionIn) PolicyAPI {
	return PolicyAPI{
		Dialect: Standard, Host: host, VersionIn: version,
		GetVerb: get, GetPath: path + ":getIamPolicy",
		SetVerb: "POST", SetPath: path + ":setIamPolicy",
		TestVerb: "POST", TestPath: path + ":testIamPermissions",
	}
}
