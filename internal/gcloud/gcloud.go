// Package gcloud writes commands of gcloud, bq and curl: what a person may paste into a
// shell. It holds the text of every such command that this program prints in a plan, a
// finding or a hint, and calls nothing.
package gcloud

import (
	"strings"

	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/shell"
)

// groups has, by the type of a resource, the commands that edit its policy, and the
// arguments that name it. Not in it are types whose commands take no condition where the type
// does (Cloud Run jobs), or read a policy without asking for its conditions, and would lose
// them (managed folders). Tables have bq's commands.
var groups = map[string]struct{ group, arguments string }{
	"artifactregistry.projects.locations.repositories": {"gcloud artifacts repositories", "{repository} --location={location} --project={project}"},
	"bigquery.tables":                                 {"bq", "{project}:{dataset}.{table}"},
	"bigtableadmin.projects.instances":                {"gcloud bigtable instances", "{instance} --project={project}"},
	"cloudkms.projects.locations.keyRings":            {"gcloud kms keyrings", "{keyRing} --location={location} --project={project}"},
	"cloudkms.projects.locations.keyRings.cryptoKeys": {"gcloud kms keys", "{cryptoKey} --keyring={keyRing} --location={location} --project={project}"},
	"cloudresourcemanager.folders":                    {"gcloud resource-manager folders", "{folder}"},
	"cloudresourcemanager.organizations":              {"gcloud organizations", "{organization}"},
	"cloudresourcemanager.projects":                   {"gcloud projects", "{project}"},
	"cloudtasks.projects.locations.queues":            {"gcloud tasks queues", "{queue} --location={location} --project={project}"},
	"compute.disks":                                   {"gcloud compute disks", "{disk} --zone={zone} --project={project}"},
	"compute.images":                                  {"gcloud compute images", "{image} --project={project}"},
	"compute.instances":                               {"gcloud compute instances", "{instance} --zone={zone} --project={project}"},
	"compute.snapshots":                               {"gcloud compute snapshots", "{snapshot} --project={project}"},
	"compute.subnetworks":                             {"gcloud compute networks subnets", "{subnetwork} --region={region} --project={project}"},
	"iam.projects.serviceAccounts":                    {"gcloud iam service-accounts", "{serviceAccount} --project={project}"},
	"pubsub.projects.subscriptions":                   {"gcloud pubsub subscriptions", "{subscription} --project={project}"},
	"pubsub.projects.topics":                          {"gcloud pubsub topics", "{topic} --project={project}"},
	"run.projects.locations.services":                 {"gcloud run services", "{service} --region={location} --project={project}"},
	"secretmanager.projects.secrets":                  {"gcloud secrets", "{secret} --project={project}"},
	"spanner.projects.instances":                      {"gcloud spanner instances", "{instance} --project={project}"},
	"spanner.projects.instances.databases":            {"gcloud spanner databases", "{database} --instance={instance} --project={project}"},
	"storage.buckets":                                 {"gcloud storage buckets", "gs://{bucket}"},
}

// target returns the group of gcloud's commands for a resource, and the arguments that name
// it. It is false for a resource whose policy no command edits.
func target(n resource.Name) (group string, arguments []string, ok bool) {
	g, ok := groups[n.Type().ID]
	if !ok {
		return "", nil, false
	}
	for _, argument := range strings.Fields(g.arguments) {
		var b strings.Builder
		for argument != "" {
			before, rest, found := strings.Cut(argument, "{")
			b.WriteString(before)
			if !found {
				break
			}
			variable, after, _ := strings.Cut(rest, "}")
			b.WriteString(n.Var(variable))
			argument = after
		}
		arguments = append(arguments, shell.Quote(b.String()))
	}
	return g.group, arguments, true
}

// bind returns the commands that add a binding to the policy of a resource and that remove
// it again. They are empty for a resource whose policy no command edits.
func bind(n resource.Name, b policy.Binding) (add, remove string) {
	group, names, ok := target(n)
	if !ok {
		return "", ""
	}
	flags := []string{"--member=" + shell.Quote(b.Member), "--role=" + shell.Quote(b.Role)}
	if c := condition(n.Type(), b.Condition); c != "" {
		flags = append(flags, c)
	}
	words := append(names, flags...)
	if group == "bq" { // it takes no flag after the name of a table
		words = append(flags, names...)
	}
	rest := strings.Join(words, " ")
	return group + " add-iam-policy-binding " + rest, group + " remove-iam-policy-binding " + rest
}

// Unbind returns the command that takes a binding out of the policy of a resource. On one for
// which there is none it says what to take out.
func Unbind(n resource.Name, b policy.Binding) string {
	if n.Type().API.Dialect == resource.Dataset {
		return "bq query --project_id=" + n.Project() + " --use_legacy_sql=false " +
			shell.Quote("REVOKE `"+b.Role+"` ON SCHEMA `"+n.Project()+"."+n.Var("dataset")+"` FROM \""+b.Member+"\"")
	}
	if _, remove := bind(n, b); remove != "" {
		return remove
	}
	return "take " + b.Member + " (" + b.Role + ") out of the policy of " + n.Full()
}

// condition returns the flag with the condition of a binding; "" for a type of resource that
// takes none.
func condition(t *resource.Type, c policy.Condition) string {
	switch {
	case c.IsZero() && t.Conditions:
		return "--condition=None"
	case c.IsZero():
		return ""
	}
	// gcloud splits at commas, or at what stands between two carets in front (gcloud topic
	// escaping): something that is not in the texts.
	delimiter := "|"
	for strings.Contains(c.Title+c.Description+c.Expression, delimiter) {
		delimiter += "~"
	}
	words := "^" + delimiter + "^title=" + c.Title
	if c.Description != "" {
		words += delimiter + "description=" + c.Description
	}
	return "--condition=" + shell.Quote(words+delimiter+"expression="+c.Expression)
}
