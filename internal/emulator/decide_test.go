package emulator

import (
	"cmp"
	"testing"
	"time"
)

// family is a company with all kinds of principals, and no grants.
const family = `
[operator]
member = "user:olivia@acme.example"
[organization]
number = "1"
domain = "acme.example"
[[folder]]
number = "20"
parent = "organizations/1"
[[folder]]
number = "21"
parent = "folders/20"
[[project]]
id = "agents"
number = "300"
parent = "folders/21"
[[project]]
id = "other"
number = "301"
parent = "organizations/1"
[[service_account]]
project = "agents"
id = "worker"
[[service_account]]
project = "other"
id = "stranger"
[[group]]
email = "inner@acme.example"
members = ["serviceAccount:worker@agents.iam.gserviceaccount.com", "user:mara@acme.example"]
[[group]]
email = "outer@acme.example"
members = ["group:inner@acme.example"]
`

func TestDecide(t *testing.T) {
	t.Parallel()
	const (
		worker   = "serviceAccount:worker@agents.iam.gserviceaccount.com"
		stranger = "serviceAccount:stranger@other.iam.gserviceaccount.com"
		olivia   = "user:olivia@acme.example"
		viewer   = "roles/storage.objectViewer"
		get      = "storage.objects.get"
		set      = "principalSet://cloudresourcemanager.googleapis.com/"
	)
	tests := []struct {
		name       string
		on         string // where the binding is: organization, folder, project, bucket; project unless said
		role       string // viewer unless said
		member     string // worker unless said
		condition  string
		who        string // worker unless said; "nobody" is anonymous
		permission string // get unless said
		object     string // "2026/a" unless said; "-" asks on the bucket
		at         time.Duration
		want       bool
	}{
		{name: "on the bucket", on: "bucket", want: true},
		{name: "on the project", on: "project", want: true},
		{name: "on the folder", on: "folder", want: true},
		{name: "on the upper folder", on: "upper", want: true},
		{name: "on the organization", on: "organization", want: true},
		{name: "on another project", on: "elsewhere", want: false},
		{name: "somebody else", who: stranger, want: false},
		{name: "a permission that the role lacks", permission: "storage.objects.delete", want: false},
		{name: "a permission that does not exist", permission: "storage.objects.frobnicate", want: false},
		{name: "another role", role: "roles/pubsub.publisher", want: false},
		{name: "a role that does not exist", role: "roles/nonsense", want: false},
		{name: "owner holds no object permissions", role: "roles/owner", want: false},
		{name: "owner sets policies", role: "roles/owner", permission: "iam.serviceAccounts.setIamPolicy", want: true},
		{name: "owner mints no tokens", role: "roles/owner", permission: "iam.serviceAccounts.getAccessToken", want: false},
		{name: "editor mints no tokens", role: "roles/editor", permission: "iam.serviceAccounts.getAccessToken", want: false},
		{name: "token creator mints", role: "roles/iam.serviceAccountTokenCreator", permission: "iam.serviceAccounts.getAccessToken", want: true},
		{name: "a user", member: olivia, who: olivia, want: true},
		{name: "a user in capitals", member: "user:Olivia@Acme.example", who: olivia, want: true},
		{name: "a user is no account", member: "user:worker@agents.iam.gserviceaccount.com", want: false},

		{name: "all users", member: allUsers, want: true},
		{name: "all users, nobody in particular", member: allUsers, who: "nobody", want: true},
		{name: "all authenticated users", member: allAuthenticatedUsers, want: true},
		{name: "all authenticated users, a person", member: allAuthenticatedUsers, who: olivia, want: true},
		{name: "all authenticated users, nobody", member: allAuthenticatedUsers, who: "nobody", want: false},
		{name: "a group", member: "group:inner@acme.example", want: true},
		{name: "a group in a group", member: "group:outer@acme.example", want: true},
		{name: "a group that it is not in", member: "group:inner@acme.example", who: olivia, want: false},
		{name: "a group that nobody knows", member: "group:unknown@acme.example", want: false},
		{name: "the domain", member: "domain:acme.example", who: olivia, want: true},
		{name: "another domain", member: "domain:example.com", who: olivia, want: false},
		{name: "an account is of no domain", member: "domain:agents.iam.gserviceaccount.com", want: false},
		{name: "accounts of the project", member: set + "projects/300/type/ServiceAccount", want: true},
		{name: "accounts of the project, by id", member: set + "projects/agents/type/ServiceAccount", want: false},
		{name: "accounts of the project, another's", member: set + "projects/300/type/ServiceAccount", who: stranger, want: false},
		{name: "accounts of the project, a person", member: set + "projects/300/type/ServiceAccount", who: olivia, want: false},
		{name: "accounts of the folder", member: set + "folders/21/type/ServiceAccount", want: true},
		{name: "accounts of the upper folder", member: set + "folders/20/type/ServiceAccount", want: true},
		{name: "accounts of the folder, a stranger", member: set + "folders/20/type/ServiceAccount", who: stranger, want: false},
		{name: "accounts of the organization", member: set + "organizations/1/type/ServiceAccount", who: stranger, want: true},
		{name: "service agents", member: set + "projects/300/type/ServiceAgent", want: false},
		{name: "a tombstone", member: "deleted:" + worker + "?uid=1", want: false},

		{name: "before the end", condition: `request.time < timestamp("2026-03-03T12:00:00Z")`, want: true},
		{name: "after the end", condition: `request.time < timestamp("2026-03-03T12:00:00Z")`, at: time.Hour, want: false},
		{name: "an hour of the day", condition: `request.time.getHours("Europe/Berlin") == 12`, want: true},
		{name: "another hour of the day", condition: `request.time.getHours("Europe/Berlin") == 11`, want: false},
		{name: "a zone that does not exist", condition: `request.time.getHours("Europe/Atlantis") >= 0`, want: false},
		{name: "a prefix", condition: `resource.name.startsWith("projects/_/buckets/b/objects/2026/")`, want: true},
		{name: "another prefix", condition: `resource.name.startsWith("projects/_/buckets/b/objects/2026/")`, object: "2025/a", want: false},
		{name: "listing is decided on the bucket", condition: `resource.name.startsWith("projects/_/buckets/b/objects/2026/")`, permission: "storage.objects.list", object: "-", want: false},
		{name: "the type", condition: `resource.type == "storage.googleapis.com/Object"`, want: true},
		{name: "the service", condition: `resource.service == "storage.googleapis.com"`, want: true},
		{name: "extract", condition: `resource.name.extract("/objects/{folder}/") == "2026"`, want: true},
		{name: "extract, no match", condition: `resource.name.extract("/nothing/{folder}/") == ""`, want: true},
		{name: "no tags", condition: `resource.matchTag("1/env", "prod")`, want: false},
		{name: "an attribute with a default", condition: `api.getAttribute("storage.googleapis.com/objectListPrefix", "none") == "none"`, want: true},
		{name: "an attribute that is missing", condition: `request.path.startsWith("/")`, want: false},
		{name: "a missing attribute beside a true", condition: `request.path.startsWith("/") || true`, want: true},
		{name: "a missing attribute beside a false", condition: `request.path.startsWith("/") || false`, want: false},
		{name: "a service account has no name", permission: "iam.serviceAccounts.get", role: "roles/iam.serviceAccountViewer",
			condition: `resource.name.startsWith("")`, object: "account", want: false},
		{name: "a service account has no type", permission: "iam.serviceAccounts.get", role: "roles/iam.serviceAccountViewer",
			condition: `resource.type != "storage.googleapis.com/Object"`, object: "account", want: false},
		{name: "a project has a type", permission: "resourcemanager.projects.get", condition: `resource.type == "cloudresourcemanager.googleapis.com/Project"`, object: "project", want: true},
		{name: "a project has no name", permission: "resourcemanager.projects.get", condition: `resource.name == "projects/300"`, object: "project", want: false},
		{name: "time reaches a service account", permission: "iam.serviceAccounts.get", role: "roles/iam.serviceAccountViewer",
			condition: `request.time > timestamp("2026-01-01T00:00:00Z")`, object: "account", want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(c *Config) { c.Seed = []byte(family) })
			s := &l.state
			bucketPolicy := &policy{}
			project, _, err := l.projectNode("agents")
			if err != nil {
				t.Fatal(err)
			}
			holder := map[string]*policy{
				"": &s.Projects["agents"].Policy, "project": &s.Projects["agents"].Policy, "elsewhere": &s.Projects["other"].Policy,
				"folder": &s.Folders["21"].Policy, "upper": &s.Folders["20"].Policy,
				"organization": &s.Organizations["1"].Policy, "bucket": bucketPolicy,
			}[tt.on]
			b := binding{Role: cmp.Or(tt.role, viewer), Members: []string{cmp.Or(tt.member, worker)}}
			if tt.condition != "" {
				if err := compileCondition(tt.condition); err != nil {
					t.Fatal(err)
				}
				b.Condition = &condition{Title: "c", Expression: tt.condition}
			}
			holder.Bindings = append(holder.Bindings, b)

			const bucketName = "projects/_/buckets/b"
			n := project.child("//storage.googleapis.com/"+bucketName, bucketName, "storage.googleapis.com/Bucket", bucketPolicy)
			switch object := cmp.Or(tt.object, "2026/a"); object {
			case "-":
			case "project":
				n = project
			case "account":
				if n, err = l.accountNode(s.accountByEmail("worker@agents.iam.gserviceaccount.com")); err != nil {
					t.Fatal(err)
				}
			default:
				n = n.child(n.full+"/objects/"+object, bucketName+"/objects/"+object, "storage.googleapis.com/Object", nil)
			}
			who := &principal{}
			switch cmp.Or(tt.who, worker) {
			case worker, stranger:
				a := s.accountByEmail(cmp.Or(tt.who, worker)[len("serviceAccount:"):])
				who = &principal{member: a.member(), email: a.Email, account: a}
			case olivia:
				who = &principal{member: olivia, email: olivia[len("user:"):]}
			}
			got := s.decide(who, cmp.Or(tt.permission, get), n, epoch.Add(tt.at), nil)
			if got.allowed != tt.want {
				t.Errorf("decided %v by %q, want %v", got.allowed, got.by, tt.want)
			}
			if got.allowed != (got.by != "") {
				t.Errorf("allowed is %v, but the deciding binding is %q", got.allowed, got.by)
			}
		})
	}
}

func TestConvenienceMembers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	bucket := &policy{Bindings: []binding{{Role: "roles/storage.legacyBucketOwner", Members: []string{"projectOwner:acme-data"}}}}
	project, _, err := l.projectNode("acme-data")
	if err != nil {
		t.Fatal(err)
	}
	n := project.child("//storage.googleapis.com/projects/_/buckets/b", "projects/_/buckets/b", "storage.googleapis.com/Bucket", bucket)
	for email, want := range map[string]bool{"olivia@acme.example": true, "noah@acme.example": false} {
		who := &principal{member: "user:" + email, email: email}
		if got := l.state.decide(who, "storage.objects.list", n, epoch, nil); got.allowed != want {
			t.Errorf("%s: decided %v, want %v", email, got.allowed, want)
		}
	}
}
