package search

import (
	"context"
	"slices"
	"sync"

	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/resource"
)

// Answer is what a search over all policies says of an account: what binds it that its journal
// does not know, because somebody has done that by hand.
type Answer struct {
	Scope   resource.Name // what was searched; zero if nothing could be
	Matches []gcp.Match
	Why     error // why no more was searched; nil if all was
}

// Above searches a project and all that is above it at once for an email, so that it takes two round trips. The answer
// is that of the topmost that may be searched.
func Above(ctx context.Context, cloud *gcp.Client, project resource.Name, email string) Answer {
	search := func(scope resource.Name) Answer {
		found, err := cloud.SearchPolicies(ctx, scope, email)
		if err != nil {
			return Answer{Why: err}
		}
		return Answer{Scope: scope, Matches: found}
	}
	var beneath Answer
	var wg sync.WaitGroup
	wg.Go(func() { beneath = search(project) })
	scopes, err := cloud.Ancestors(ctx, project.Project()) // the project, and what is above it
	if err == nil && len(scopes) > 0 {
		scopes = scopes[1:]
	}
	above := make([]Answer, len(scopes))
	for i, scope := range scopes {
		wg.Go(func() { above[i] = search(scope) })
	}
	wg.Wait()
	best := Answer{Why: err}
	for _, s := range slices.Backward(append([]Answer{beneath}, above...)) {
		if best.Why == nil {
			best.Why = s.Why
		}
		if !s.Scope.IsZero() {
			return Answer{Scope: s.Scope, Matches: s.Matches, Why: best.Why}
		}
	}
	return best
}
