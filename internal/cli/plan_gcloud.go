package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// gcloudGroups are the command groups of gcloud that edit policies, by the service and the
// collection of a resource, with the resource's name in them.
var gcloudGroups = map[string]string{
	"cloudresourcemanager.googleapis.com/projects":      "projects add-iam-policy-binding {project}",
	"cloudresourcemanager.googleapis.com/folders":       "resource-manager folders add-iam-policy-binding {folder}",
	"cloudresourcemanager.googleapis.com/organizations": "organizations add-iam-policy-binding {organization}",
	"storage.googleapis.com/buckets":                    "storage buckets add-iam-policy-binding gs://{bucket}",
	"secretmanager.googleapis.com/secrets":              "secrets add-iam-policy-binding {secret} --project={project}",
	"pubsub.googleapis.com/topics":                      "pubsub topics add-iam-policy-binding {topic} --project={project}",
	"pubsub.googleapis.com/subscriptions":               "pubsub subscriptions add-iam-policy-binding {subscription} --project={project}",
	"iam.googleapis.com/serviceAccounts":                "iam service-accounts add-iam-policy-binding {last} --project={project}",
}

// gcloudScript returns a plan as a POSIX shell script of gcloud commands: what up would do,
// in its order, but for the journal, the proof and the credential.
func gcloudScript(plan grants.Plan) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	mark := plan.Mark().String()
	line("#!/bin/sh")
	line("# What taskiam up would do for task %s, as gcloud commands. Nothing ends it but what is", plan.Task.Name)
	line("# bound with a condition, and the lines at the end.")
	line("set -eu")
	line("conditions=$(mktemp -d)")
	line("")
	line("gcloud iam service-accounts create %s --project=%s --display-name=%s --description=%s", plan.AccountID, quoteShell(plan.Task.Project), quoteShell("taskiam: "+plan.Task.Name), quoteShell(mark))
	var undo []string
	files := 0
	for _, edit := range plan.Edits {
		for _, binding := range edit.Bindings {
			line("")
			command, ok := gcloudCommand(edit.Resource)
			if !ok {
				byREST(&b, edit.Resource, binding)
				continue
			}
			flags := " --member=" + quoteShell(binding.Member) + " --role=" + quoteShell(binding.Role)
			switch {
			case conditioned(binding):
				files++
				// An expression cannot end the document: JSON has it on one line, in quotes.
				line("cat >\"$conditions/%d.json\" <<'CONDITION'\n%s\nCONDITION", files, asJSON(binding.Condition))
				flags += fmt.Sprintf(" --condition-from-file=\"$conditions/%d.json\"", files)
			case edit.Resource.Type().Conditions:
				flags += " --condition=None"
			}
			line("gcloud %s%s", command, flags)
			undo = append(undo, "gcloud "+strings.Replace(command, " add-iam-policy-binding ", " remove-iam-policy-binding ", 1)+flags)
		}
	}
	line("")
	line("# A credential, for one who may mint tokens of the account:")
	line("#   gcloud auth print-access-token --impersonate-service-account=%s", plan.Email)
	line("# or with a key of your own making, whose certificate should end at %s:", moment(plan.Expires))
	line("#   gcloud iam service-accounts keys upload CERTIFICATE.pem --iam-account=%s --project=%s", plan.Email, quoteShell(plan.Task.Project))
	line("")
	line("# To take it away again, the account first, since that ends its tokens:")
	line("#   gcloud iam service-accounts disable %s --project=%s", plan.Email, quoteShell(plan.Task.Project))
	for _, u := range undo {
		line("#   %s", u)
	}
	line("#   gcloud iam service-accounts delete %s --project=%s --quiet", plan.Email, quoteShell(plan.Task.Project))
	return b.String()
}

func conditioned(b grants.Binding) bool { return !b.Condition.IsZero() }

// gcloudCommand returns what of gcloud adds a binding to a resource's policy.
func gcloudCommand(name resource.Name) (string, bool) {
	segments := strings.Split(name.Relative(), "/")
	template, ok := gcloudGroups[name.Type().Service+"/"+segments[len(segments)-2]]
	if !ok {
		return "", false
	}
	for _, v := range []string{"project", "folder", "organization", "bucket", "secret", "topic", "subscription"} {
		template = strings.ReplaceAll(template, "{"+v+"}", quoteShell(name.Var(v)))
	}
	return strings.ReplaceAll(template, "{last}", quoteShell(segments[len(segments)-1])), true
}

// byREST says how a binding is made on what gcloud has no command for: by hand, since
// the policy that is written back has to be the one that was read, and one binding more.
func byREST(b *strings.Builder, name resource.Name, binding grants.Binding) {
	api := name.Type().API
	url := "https://" + api.Host + "/"
	login := `-H "Authorization: Bearer $(gcloud auth print-access-token)"`
	get := quoteShell(url + name.Expand(api.GetPath))
	entry := map[string]any{"role": binding.Role, "members": []string{binding.Member}}
	place := "bindings, with version 3"
	if api.Dialect == resource.Dataset {
		get = quoteShell(url + name.Expand(api.GetPath) + "?accessPolicyVersion=3")
		_, email, _ := strings.Cut(binding.Member, ":")
		entry = map[string]any{"role": binding.Role, "userByEmail": email}
		place = "access"
	}
	if conditioned(binding) {
		entry["condition"] = binding.Condition
	}
	fmt.Fprintf(b, "# gcloud has no command for a %s. Read what is there, add to its %s\n#   %s\n# and write it back with the etag that was read:\n", name.Type().Kind, place, asJSON(entry))
	fmt.Fprintf(b, "#   curl -X %s %s %s\n", api.GetVerb, login, get)
	set := url + name.Expand(api.SetPath)
	if api.Dialect == resource.Dataset {
		set += "?accessPolicyVersion=3"
	}
	fmt.Fprintf(b, "#   curl -X %s %s -H 'Content-Type: application/json' --data @FILE %s\n", api.SetVerb, login, quoteShell(set))
}

// asJSON returns v on one line, without the escapes that are for HTML.
func asJSON(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // strings always encode
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
