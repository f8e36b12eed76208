package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lifecycle"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/view"
)

// script is a shell script in the making.
type script struct{ strings.Builder }

func (s *script) line(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

// comment adds text as comments. Each line of it is one, so that nothing in a manifest gets
// out of them.
func (s *script) comment(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		s.line("#   %s", line)
	}
}

// gcloudScript returns what up would do, in its order, as a POSIX shell script of gcloud
// commands: but for the journal, the proof and the credential.
func gcloudScript(p *lifecycle.Preview) string {
	var (
		s       script
		plan    = p.Plan
		project = quoteShell(plan.Task.Project)
		undo    []string
		byHand  int
	)
	s.line("#!/bin/sh")
	s.line("# What taskiam up would do for task %s, as gcloud commands. Nothing ends it but what is", plan.Task.Name)
	s.line("# bound with a condition, and the lines at the end.")
	s.line("set -eu")
	if len(p.Refusals) > 0 {
		s.line("\n# up would refuse it:")
		for _, err := range p.Refusals {
			s.comment("%v", err)
		}
		s.line("echo 'taskiam up would refuse this: see the comments in the script' >&2\nexit 1")
	}
	s.line("\n# Google takes a new account, or a new role, up to minutes after it was made.")
	s.line(`again() { for wait in 0 5 10 20 40; do sleep "$wait"; if "$@"; then return 0; fi; done; return 1; }`)
	s.line("")
	for _, name := range slices.Sorted(maps.Keys(p.Custom)) {
		roleByGcloud(&s, p.Custom[name])
	}
	s.line("gcloud iam service-accounts create %s --project=%s --display-name=%s --description=%s", plan.AccountID, project, quoteShell("taskiam: "+plan.Task.Name), quoteShell(plan.Mark().String()))
	for _, edit := range plan.Edits {
		target, ok := gcloudTarget(edit.Resource)
		if !ok {
			s.line("")
			undo = append(undo, byREST(&s, edit, plan.Email))
			byHand++
			continue
		}
		for _, b := range edit.Bindings {
			// Flags of bq stand before what they are about.
			flags := []string{"--member=" + quoteShell(b.Member), "--role=" + quoteShell(b.Role)}
			if c := gcloudCondition(edit.Resource.Type(), b.Condition); c != "" {
				flags = append(flags, c)
			}
			words := strings.Join(append(flags, target[1:]...), " ")
			s.line("again %s add-iam-policy-binding %s", target[0], words)
			undo = append(undo, target[0]+" remove-iam-policy-binding "+words)
		}
	}
	s.line("\n# A credential, for one who may mint tokens of the account:")
	s.comment("gcloud auth print-access-token --impersonate-service-account=%s", plan.Email)
	s.line("# or with a key of your own making, whose certificate should end at %s:", view.Moment(plan.Expires))
	s.comment("gcloud iam service-accounts keys upload CERTIFICATE.pem --iam-account=%s --project=%s", plan.Email, project)
	s.line("\n# To take it away again, the account first, since that ends its tokens:")
	s.comment("gcloud iam service-accounts disable %s --project=%s", plan.Email, project)
	for _, u := range undo {
		s.comment("%s", u)
	}
	s.comment("gcloud iam service-accounts delete %s --project=%s --quiet", plan.Email, project)
	if byHand > 0 {
		s.line("\necho 'not done: what stands in comments, since gcloud has no command for it' >&2\nexit 1")
	}
	return s.String()
}

// roleByGcloud adds what makes a custom role, if it is not there. It stays when the task
// is over, as after down: others use it too.
func roleByGcloud(s *script, c lifecycle.CustomRole) {
	project, id, _ := strings.Cut(strings.TrimPrefix(c.Name, "projects/"), "/roles/")
	switch c.State {
	case lifecycle.RoleMissing:
		r := grants.CustomRole(project, c.Permissions, 0)
		s.line("gcloud iam roles create %s --project=%s --stage=%s --title=%s --description=%s --permissions=%s --quiet", id, quoteShell(project), r.Stage, quoteShell(r.Title),
			quoteShell(r.Description), quoteShell(strings.Join(r.Permissions, ",")))
	case lifecycle.RoleDeleted:
		s.line("gcloud iam roles undelete %s --project=%s", id, quoteShell(project))
	case lifecycle.RoleThere:
	}
}

// byREST adds, in comments, how bindings are made on what gcloud has no command for: the
// policy that is written back has to be the one that was read, by its etag, with these
// entries more. It returns how they are taken out again.
func byREST(s *script, edit grants.Edit, email string) (undo string) {
	name := edit.Resource
	api := name.Type().API
	dataset := api.Dialect == resource.Dataset
	var entries []any
	for _, b := range edit.Bindings {
		entry := map[string]any{"role": b.Role, "members": []string{b.Member}}
		if dataset {
			entry = map[string]any{"role": b.Role, "userByEmail": email}
		}
		if !b.Condition.IsZero() {
			entry["condition"] = b.Condition
		}
		entries = append(entries, entry)
	}
	member := asJSON("serviceAccount:" + email)
	add := ".version = 3 | .bindings += " + asJSON(entries)
	remove := "del(.bindings[]?.members[] | select(. == " + member + ")) | del(.bindings[]? | select(.members == []))"
	switch api.Dialect {
	case resource.Standard:
		add, remove = "{policy: ("+add+")}", "{policy: ("+remove+")}"
	case resource.Dataset:
		add = "{access: (.access + " + asJSON(entries) + ")}"
		remove = "{access: [.access[] | select(.userByEmail != " + asJSON(email) + ")]}"
	case resource.Bucket:
	}
	s.line("# gcloud has no command for this on %s. Read the policy, add to it, and write it", name.Type().A())
	s.line("# back with the etag that was read: if it has changed meanwhile, Google refuses, and one")
	s.line("# begins again. On %s:", name)
	s.comment("%s", restEdit(name, add))
	return restEdit(name, remove)
}

// restEdit returns the commands that read a policy, pass it through jq and write it.
func restEdit(name resource.Name, filter string) string {
	api := name.Type().API
	const login = `-H "Authorization: Bearer $(gcloud auth print-access-token)"`
	const content = `-H 'Content-Type: application/json'`
	root := "https://" + name.Host() + "/"
	get, set := root+name.Expand(api.GetPath), root+name.Expand(api.SetPath)
	body, match := "", ""
	switch api.VersionIn {
	case resource.VersionInQuery:
		get += "?options.requestedPolicyVersion=3"
	case resource.VersionInCompactQuery:
		get += "?optionsRequestedPolicyVersion=3"
	case resource.VersionInBody:
		body = " " + content + ` --data '{"options":{"requestedPolicyVersion":3}}'`
	case resource.VersionInAccessQuery:
		get += "?accessPolicyVersion=3"
		set += "?accessPolicyVersion=3&updateMode=UPDATE_ACL"
		match = ` -H "If-Match: $(jq -r .etag policy.json)"`
	}
	if api.GetVerb != "GET" && body == "" {
		body = " --data ''" // without a body curl names no length
	}
	return strings.Join([]string{
		fmt.Sprintf("curl -sSf -X %s %s%s %s >policy.json", api.GetVerb, login, body, quoteShell(get)),
		fmt.Sprintf("jq %s policy.json >changed.json", quoteShell(filter)),
		fmt.Sprintf("curl -sSf -X %s %s %s%s --data @changed.json %s", api.SetVerb, login, content, match, quoteShell(set)),
	}, "\n")
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
