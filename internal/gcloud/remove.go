package gcloud

import (
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/shell"
)

// Remove returns the commands that take a run's account and its bindings away, in the order in which they are to
// be called: the account is disabled first, because that ends its tokens, and deleted last.
func Remove(email, project string, edits []grants.Edit) []string {
	of := shell.Quote(email) + " --project=" + shell.Quote(project)
	out := []string{"gcloud iam service-accounts disable " + of}
	for _, edit := range edits {
		if _, _, ok := target(edit.Resource); !ok {
			out = append(out, strings.Split(byREST(&text{}, edit, email), "\n")...)
			continue
		}
		for _, b := range edit.Bindings {
			_, remove := bind(edit.Resource, b)
			out = append(out, remove)
		}
	}
	return append(out, "gcloud iam service-accounts delete "+of+" --quiet")
}
