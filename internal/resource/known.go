package resource

import (
	"strings"
	"unicode"
)

// What discovery documents do not say, with its sources.

// familiar are the kinds that stand first in the table.
var familiar = []string{
	"project", "folder", "organization", "bucket", "managed folder", "dataset", "table", "topic", "subscription", "secret",
	"service account", "billing account",
}

// conditional are the APIs whose resources accept conditions in their own policies
// (iam/docs/resource-types-with-conditional-roles). Of BigQuery it is only the datasets
// (bigquery/docs/conditions).
var conditional = map[string]bool{
	"beyondcorp": true, "bigtableadmin": true, "binaryauthorization": true, "clouddeploy": true, "cloudkms": true,
	"cloudresourcemanager": true, "compute": true, "dataproc": true, "dns": true, "iam": true, "iap": true, "logging": true,
	"privateca": true, "run": true, "secretmanager": true, "servicemanagement": true, "spanner": true, "storage": true,
	"workstations": true,
}

// attributes are what conditions see of the types that have attributes
// (iam/docs/conditions-resource-attributes). Types that are not here supply neither
// resource.name nor resource.type, and a condition that asks for them never grants.
var attributes = map[string]struct {
	typ    string // resource.type, "" if it is not documented
	number bool   // in resource.name the project is its number
}{
	"bigquery.datasets": {typ: "bigquery.googleapis.com/Dataset"},
	"bigquery.routines": {typ: "bigquery.googleapis.com/Routine"},
	"bigquery.tables":   {typ: "bigquery.googleapis.com/Table"},
	"bigqueryreservation.projects.locations.reservations":             {typ: "bigqueryreservation.googleapis.com/Reservation"},
	"bigqueryreservation.projects.locations.reservations.assignments": {typ: "bigqueryreservation.googleapis.com/Assignment"},
	"bigtableadmin.projects.instances":                                {typ: "bigtableadmin.googleapis.com/Instance"},
	"bigtableadmin.projects.instances.clusters.backups":               {typ: "bigtableadmin.googleapis.com/Backup"},
	"bigtableadmin.projects.instances.tables":                         {typ: "bigtableadmin.googleapis.com/Table"},
	"binaryauthorization.projects.attestors":                          {typ: "binaryauthorization.googleapis.com/Attestor", number: true},
	"binaryauthorization.projects.policy":                             {typ: "binaryauthorization.googleapis.com/Policy", number: true},
	"clouddeploy.projects.locations.customTargetTypes":                {},
	"clouddeploy.projects.locations.deliveryPipelines":                {},
	"clouddeploy.projects.locations.targets":                          {},
	"cloudkms.projects.locations.keyRings":                            {typ: "cloudkms.googleapis.com/KeyRing"},
	"cloudkms.projects.locations.keyRings.cryptoKeys":                 {typ: "cloudkms.googleapis.com/CryptoKey"},
	// Those of what is in them.
	"cloudresourcemanager.folders":                     {},
	"cloudresourcemanager.organizations":               {},
	"cloudresourcemanager.projects":                    {typ: "cloudresourcemanager.googleapis.com/Project"},
	"compute.backendServices":                          {typ: "compute.googleapis.com/BackendService"},
	"compute.disks":                                    {typ: "compute.googleapis.com/Disk"},
	"compute.images":                                   {typ: "compute.googleapis.com/Image"},
	"compute.instanceTemplates":                        {typ: "compute.googleapis.com/InstanceTemplate"},
	"compute.instances":                                {typ: "compute.googleapis.com/Instance"},
	"compute.regionBackendServices":                    {typ: "compute.googleapis.com/BackendService"},
	"compute.regionDisks":                              {typ: "compute.googleapis.com/Disk"},
	"compute.snapshots":                                {typ: "compute.googleapis.com/Snapshot"},
	"connectors.projects.locations.connections":        {typ: "connectors.googleapis.com/Connection"},
	"container.projects.locations.clusters":            {typ: "container.googleapis.com/Cluster"},
	"container.projects.zones.clusters":                {typ: "container.googleapis.com/Cluster"},
	"dataform.projects.locations.repositories":         {typ: "dataform.googleapis.com/Repository"},
	"firestore.projects.databases":                     {typ: "firestore.googleapis.com/Database"},
	"logging.projects.locations.buckets.views":         {typ: "logging.googleapis.com/LogView"},
	"managedkafka.projects.locations.clusters":         {typ: "managedkafka.googleapis.com/Cluster", number: true},
	"networksecurity.projects.locations.addressGroups": {typ: "networksecurity.googleapis.com/AddressGroup", number: true},
	"parametermanager.projects.locations.parameters":   {typ: "parametermanager.googleapis.com/Parameter", number: true},
	"secretmanager.projects.secrets":                   {typ: "secretmanager.googleapis.com/Secret", number: true},
	"spanner.projects.instances":                       {typ: "spanner.googleapis.com/Instance"},
	"spanner.projects.instances.backups":               {typ: "spanner.googleapis.com/Backup"},
	"spanner.projects.instances.databases":             {typ: "spanner.googleapis.com/Database"},
	"sqladmin.projects.instances":                      {typ: "sqladmin.googleapis.com/Instance"},
	"storage.buckets":                                  {typ: "storage.googleapis.com/Bucket"},
	"storage.managedFolders":                           {typ: "storage.googleapis.com/ManagedFolder"},
	"storage.objects":                                  {typ: "storage.googleapis.com/Object"},
}

// hosts are where the resources of a location are asked for at an endpoint of that
// location, and not at the one for all.
var hosts = map[string]string{
	// vertex-ai/docs/reference/rest, "Service endpoint"
	"aiplatform.projects.locations.": "{location}-aiplatform.googleapis.com",
	// secret-manager/regional-secrets/create-regional-secret
	"secretmanager.projects.locations.": "secretmanager.{location}.rep.googleapis.com",
}

// aliases are other services that stand in full resource names, of Cloud Asset Inventory
// (asset-inventory/docs/asset-names), and in self links.
var aliases = map[string][]string{
	"bigtableadmin.googleapis.com": {"bigtable.googleapis.com"},
	"sqladmin.googleapis.com":      {"cloudsql.googleapis.com", "sql.googleapis.com"},
}

// shortForms are the names that people write beside Google's own.
var shortForms = map[string][]string{
	"storage.buckets":   {"gs://{bucket}"},
	"bigquery.datasets": {"bq://{project}.{dataset}", "bq://{project}:{dataset}"},
}

// readForms are short forms that are read and not printed.
var readForms = map[string][]string{
	"bigquery.tables": {"bq://{project}.{dataset}.{table}", "bq://{project}:{dataset}.{table}"},
	// How encrypting tools name a key (Tink, SOPS).
	"cloudkms.projects.locations.keyRings.cryptoKeys": {"gcp-kms://projects/{project}/locations/{location}/keyRings/{keyRing}/cryptoKeys/{cryptoKey}"},
	// How Docker does a repository (artifact-registry/docs/docker/names).
	"artifactregistry.projects.locations.repositories": {"{location}-docker.pkg.dev/{project}/{repository}"},
}

// testable are the prefixes of the permissions that can be asked about, where they are not
// those of the service and the collection: those of what the methods' reference says that
// the resource guards.
var testable = map[string][]string{
	"artifactregistry.projects.locations.repositories":              {"artifactregistry.repositories.", "artifactregistry.packages.", "artifactregistry.versions.", "artifactregistry.tags.", "artifactregistry.files."},
	"cloudbilling.billingAccounts":                                  {"billing.accounts."},
	"cloudkms.projects.locations.ekmConfig":                         {"cloudkms.ekmConfigs."},
	"cloudkms.projects.locations.keyRings":                          {"cloudkms.keyRings.", "cloudkms.cryptoKeys.", "cloudkms.cryptoKeyVersions.", "cloudkms.importJobs."},
	"cloudkms.projects.locations.keyRings.cryptoKeys":               {"cloudkms.cryptoKeys.", "cloudkms.cryptoKeyVersions."},
	"cloudresourcemanager.folders":                                  {""},
	"cloudresourcemanager.organizations":                            {""},
	"cloudresourcemanager.projects":                                 {""},
	"datamigration.projects.locations.connectionProfiles":           {"datamigration.connectionprofiles."},
	"datamigration.projects.locations.conversionWorkspaces":         {"datamigration.conversionworkspaces."},
	"datamigration.projects.locations.migrationJobs":                {"datamigration.migrationjobs."},
	"datamigration.projects.locations.privateConnections":           {"datamigration.privateconnections."},
	"dataplex.projects.locations.dataScans":                         {"dataplex.datascans."},
	"dns.managedZones":                                              {"dns.managedZones.", "dns.resourceRecordSets.", "dns.changes."},
	"iam.locations.workforcePools":                                  {"iam.googleapis.com/workforcePools."},
	"iam.projects.locations.workloadIdentityPools":                  {"iam.googleapis.com/workloadIdentityPools."},
	"iam.projects.serviceAccounts":                                  {"iam.serviceAccounts.", "iam.serviceAccountKeys."},
	"iap":                                                           {"iap."},
	"logging.projects.locations.buckets.views":                      {"logging.views."},
	"networkmanagement.projects.locations.global.connectivityTests": {"networkmanagement.connectivitytests."},
	"run.projects.locations.services":                               {"run.services.", "run.routes.", "run.revisions.", "run.configurations."},
	"run.projects.locations.jobs":                                   {"run.jobs.", "run.executions.", "run.tasks."},
	"run.projects.locations.workerPools":                            {"run.workerpools."},
	"secretmanager.projects.locations.secrets":                      {"secretmanager.secrets.", "secretmanager.versions."},
	"secretmanager.projects.secrets":                                {"secretmanager.secrets.", "secretmanager.versions."},
	"spanner.projects.instances":                                    {"spanner.instances.", "spanner.databases.", "spanner.backups.", "spanner.sessions."},
	"spanner.projects.instances.databases":                          {"spanner.databases.", "spanner.sessions."},
	"storage.buckets":                                               {"storage.buckets.", "storage.folders.", "storage.managedFolders.", "storage.multipartUploads.", "storage.objects."},
	"storage.managedFolders":                                        {"storage.managedFolders.", "storage.multipartUploads.", "storage.objects."},
}

// permissionService is what permissions begin with where it is not the API's name.
var permissionService = map[string]string{
	"bigqueryconnection": "bigquery", "bigquerydatapolicy": "bigquery", "bigqueryreservation": "bigquery", "bigtableadmin": "bigtable",
	"cloudresourcemanager": "resourcemanager", "sourcerepo": "source",
}

// examples are names that a made-up one would not look like.
var examples = map[string]string{
	"apigee.organizations.environments":             "organizations/acme-agents/environments/my-environment",
	"apigee.organizations.environments.deployments": "organizations/acme-agents/environments/my-environment/deployments/my-deployment",
	"apigee.organizations.spaces":                   "organizations/acme-agents/spaces/my-space",
	"bigquery.routines":                             "projects/acme-agents/datasets/sales/routines/my_routine",
	"bigquery.rowAccessPolicies":                    "projects/acme-agents/datasets/sales/tables/orders/rowAccessPolicies/my_policy",
	"bigquery.datasets":                             "bq://acme-agents.sales",
	"bigquery.tables":                               "projects/acme-agents/datasets/sales/tables/orders",
	"cloudbilling.billingAccounts":                  "billingAccounts/01A2B3-C4D5E6-F7A8B9",
	"firestore.projects.databases":                  "projects/acme-agents/databases/(default)",
	"iam.projects.serviceAccounts":                  "projects/acme-agents/serviceAccounts/robot@acme-agents.iam.gserviceaccount.com",
	"iap":                                           "projects/567890123456/iap_web/compute/services/my-backend",
	"pubsub.projects.subscriptions":                 "projects/acme-agents/subscriptions/reports-worker",
	"pubsub.projects.topics":                        "projects/acme-agents/topics/reports",
	"secretmanager.projects.secrets":                "projects/acme-agents/secrets/api-key",
	"servicebroker":                                 "projects/acme-agents/brokers/my-broker",
	"storage.buckets":                               "gs://acme-reports",
	"storage.managedFolders":                        "projects/_/buckets/acme-reports/managedFolders/2026/",
	"storage.objects":                               "projects/_/buckets/acme-reports/objects/2026/january.csv",
}

// byHand returns the types that have no getIamPolicy in any discovery document: datasets,
// which keep who has access in themselves, and what has no policy of its own, so that
// roles on it are bound on its project.
func byHand() []*Type {
	types := []*Type{{
		ID: "bigquery.datasets", Kind: "dataset", Service: "bigquery.googleapis.com",
		Pattern: "projects/{project}/datasets/{dataset}",
		// bigquery/docs/reference/rest/v2/datasets
		API: PolicyAPI{
			Dialect: Dataset, VersionIn: VersionInAccessQuery,
			GetVerb: "GET", GetPath: "bigquery/v2/projects/{project}/datasets/{dataset}",
			SetVerb: "PATCH", SetPath: "bigquery/v2/projects/{project}/datasets/{dataset}",
		},
	}}
	for _, t := range []struct{ id, kind, pattern string }{
		{"cloudscheduler.projects.locations.jobs", "Cloud Scheduler job",
			"projects/{project}/locations/{location}/jobs/{job}"},
		{"container.projects.locations.clusters", "GKE cluster",
			"projects/{project}/locations/{location}/clusters/{cluster}"},
		{"container.projects.zones.clusters", "zonal GKE cluster",
			"projects/{project}/zones/{zone}/clusters/{cluster}"},
		{"firestore.projects.databases", "Firestore database", "projects/{project}/databases/{database}"},
		{"managedkafka.projects.locations.clusters", "Managed Kafka cluster",
			"projects/{project}/locations/{location}/clusters/{cluster}"},
		{"parametermanager.projects.locations.parameters", "Parameter Manager parameter",
			"projects/{project}/locations/{location}/parameters/{parameter}"},
		{"sqladmin.projects.instances", "Cloud SQL instance", "projects/{project}/instances/{instance}"},
		{"workflows.projects.locations.workflows", "workflow",
			"projects/{project}/locations/{location}/workflows/{workflow}"},
	} {
		service, _, _ := strings.Cut(t.id, ".")
		types = append(types, &Type{ID: t.id, Kind: t.kind, Service: service + ".googleapis.com", Pattern: t.pattern})
	}
	for _, t := range types {
		t.urlPath, t.API.Host = t.Pattern, t.Service
	}
	return types
}

// know adds to a type what is known of it by hand.
func (t *Type) know() {
	if t.ID == "storage.objects" {
		// What an object's policy says is its access control list
		// (storage/docs/access-control/lists), which no bucket with uniform access has.
		t.API = PolicyAPI{Dialect: Standard, Host: t.Service}
	}
	t.segments = segmentsOf(t)
	t.aliases = aliases[t.Service]
	t.Short, t.Also = shortForms[t.ID], readForms[t.ID]
	t.Prefixes = t.ID == "storage.buckets"

	api, _, _ := strings.Cut(t.Service, ".")
	// A type that cannot be read as version 3 does not show what a condition became.
	t.Conditions = t.Bindable() && t.API.VersionIn != "" && (conditional[api] || t.ID == "bigquery.datasets")
	if a, ok := attributes[t.ID]; ok {
		t.SuppliesName, t.ConditionType, t.NumbersProject = true, a.typ, a.number
	}
	for prefix, host := range hosts {
		if strings.HasPrefix(t.ID, prefix) {
			t.API.Host = host
		}
	}
	if t.API.TestPath != "" {
		if t.Testable = testable[t.ID]; t.Testable == nil {
			t.Testable = []string{t.permissions()}
		}
	}
	if t.Example = examples[t.ID]; t.Example == "" {
		t.Example = t.example()
	}
}

// permissions is what the permissions on the type itself begin with, as most services
// spell them: service.collection.
func (t *Type) permissions() string {
	service, _, _ := strings.Cut(t.ID, ".")
	if s := permissionService[service]; s != "" {
		service = s
	}
	collection := t.ID[strings.LastIndexByte(t.ID, '.')+1:]
	if rest, ok := strings.CutPrefix(collection, "region"); ok && service == "compute" {
		collection = strings.ToLower(rest[:1]) + rest[1:] // one permission for both
	}
	if strings.HasSuffix(strings.ToLower(collection), "networkfirewallpolicies") {
		collection = "firewallPolicies"
	}
	return service + "." + collection + "."
}

// example makes a name up. It is the relative name where that is of one type only.
func (t *Type) example() string {
	values := map[string]string{
		"project": "acme-agents", "folder": "345678901234", "organization": "123456789012",
		"billingAccount": "01A2B3-C4D5E6-F7A8B9",
		"location":       "europe-west3", "region": "europe-west3", "zone": "europe-west3-a",
	}
	parts := make([]string, len(t.segments))
	for i, s := range t.segments {
		switch {
		case s.variable == "":
			parts[i] = s.text
		case values[s.variable] != "" && (i == 1 || !containers[s.variable]):
			parts[i] = values[s.variable]
		default:
			parts[i] = "my-" + dashed(s.variable)
		}
	}
	return strings.Join(parts, "/")
}

// dashed writes cryptoKey as crypto-key.
func dashed(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsUpper(r) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
