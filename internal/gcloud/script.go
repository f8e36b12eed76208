package gcloud

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/shell"
)

// text is a shell script in the making.
type text struct{ strings.Builder }

func (s *text) line(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

// comment adds text as comments. Each line of it is one, so that nothing in a manifest gets
// out of them.
func (s *text) comment(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		s.line("#   %s", line)
	}
}

// Script is what an up would do.
type Script struct {
	Plan     grants.Plan
	Refusals []error       // why it would not do it
	Create   []grants.Role // custom roles that it would make
	Undelete []grants.Role // custom roles that it would take back
}

// String returns what up would do, in its order, as a POSIX shell script: all but the
// journal, the proof and the credential.
func (p Script) String() string {
	var (
		s       text
		plan    = p.Plan
		project = shell.Quote(plan.Task.Project)
	)
	s.line("#!/bin/sh")
	s.line("# What taskiam up would do for task %s, as gcloud commands. Only bindings with a condition", plan.Task.Name)
	s.line("# expire; for everything else there are the commands at the end.")
	s.line("set -eu")
	p.refuse(&s)
	s.line("\n# A new account or role can take minutes until Google accepts it.")
	s.line(`again() { for wait in 0 5 10 20 40; do sleep "$wait"; if "$@"; then return 0; fi; done; return 1; }`)
	s.line("")
	// The roles stay when the task is over, as after down: others use them too.
	for _, r := range p.Create {
		s.line("%s --quiet", CreateRole(r))
	}
	for _, r := range p.Undelete {
		s.line("%s", UndeleteRole(r))
	}
	s.line("gcloud iam service-accounts create %s --project=%s --display-name=%s --description=%s",
		plan.AccountID, project, shell.Quote("taskiam: "+plan.Task.Name), shell.Quote(plan.Mark().String()))
	undo, byHand := p.bind(&s)
	s.line("\n# A credential, if you may mint tokens of the account:")
	s.comment("gcloud auth print-access-token --impersonate-service-account=%s", plan.Email)
	s.line("# or a key that you make yourself, with a certificate that expires at %s:",
		plan.Expires.UTC().Format("2006-01-02 15:04:05 UTC"))
	s.comment("gcloud iam service-accounts keys upload CERTIFICATE.pem --iam-account=%s --project=%s",
		plan.Email, project)
	s.line("\n# To remove it again, the account first, because that ends its tokens:")
	s.comment("gcloud iam service-accounts disable %s --project=%s", plan.Email, project)
	for _, u := range undo {
		s.comment("%s", u)
	}
	s.comment("gcloud iam service-accounts delete %s --project=%s --quiet", plan.Email, project)
	if byHand {
		s.line("\necho 'not done: what is in comments, because gcloud has no command for it' >&2\nexit 1")
	}
	return s.String()
}

// refuse adds why up would refuse, if it would, and ends the script there.
func (p Script) refuse(s *text) {
	if len(p.Refusals) == 0 {
		return
	}
	s.line("\n# up would refuse it:")
	for _, err := range p.Refusals {
		s.comment("%v", err)
	}
	s.line("echo 'taskiam up would refuse this: see the comments in the script' >&2\nexit 1")
}

// bind adds what makes the bindings. It returns what takes them away again, and whether some
// of them are in comments alone.
func (p Script) bind(s *text) (undo []string, byHand bool) {
	for _, edit := range p.Plan.Edits {
		if _, _, ok := target(edit.Resource); !ok {
			s.line("")
			undo = append(undo, byREST(s, edit, p.Plan.Email))
			byHand = true
			continue
		}
		for _, b := range edit.Bindings {
			add, remove := bind(edit.Resource, b)
			s.line("again %s", add)
			undo = append(undo, remove)
		}
	}
	return undo, byHand
}

// byREST adds, in comments, how to bind where gcloud has no command: read the policy, add
// these entries, write it back with its etag. It returns how to remove them.
func byREST(s *text, edit grants.Edit, email string) (undo string) {
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
	s.line("# back with the etag that was read. If it was changed meanwhile, Google refuses: begin")
	s.line("# again. On %s:", name)
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
		fmt.Sprintf("curl -sSf -X %s %s%s %s >policy.json", api.GetVerb, login, body, shell.Quote(get)),
		fmt.Sprintf("jq %s policy.json >changed.json", shell.Quote(filter)),
		fmt.Sprintf("curl -sSf -X %s %s %s%s --data @changed.json %s",
			api.SetVerb, login, content, match, shell.Quote(set)),
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
