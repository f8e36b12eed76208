// Package surroundings finds where the resources of a plan and its account are: what they inherit access from.
//
// It reads and it writes nothing. What cannot be seen is no error: it is named.
package surroundings

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

// Found is where a plan's resources and its account are, as far as that can be seen.
type Found struct {
	review.Surroundings
	missing []string
}

// Names returns all of it, sorted, each once.
func (a *Found) Names() []resource.Name {
	set := map[resource.Name]bool{}
	for name, above := range a.Above {
		for _, n := range append([]resource.Name{name}, above...) {
			if _, twice := a.Same[n]; !twice {
				set[n] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(set),
		func(a, b resource.Name) int { return strings.Compare(a.Full(), b.Full()) })
}

// Missing returns, in words, what of it cannot be seen.
func (a *Found) Missing() []string { return slices.Compact(slices.Sorted(slices.Values(a.missing))) }

// Find finds, for the plan's resources and the project of its account, what each
// inherits access from.
func Find(ctx context.Context, cloud *gcp.Client, plan grants.Plan) *Found {
	a := &Found{Surroundings: review.Surroundings{
		Above: map[resource.Name][]resource.Name{}, Same: map[resource.Name]resource.Name{},
		Numbers:  map[string]string{},
		Bindings: map[resource.Name][]policy.Binding{}, Unseen: map[resource.Name][]string{},
	}}
	places := placesOf(ctx, cloud, plan)
	projects := projectsOf(ctx, cloud, places)
	for id, p := range projects {
		if p.number != "" {
			a.Numbers[id] = p.number
		}
	}
	for _, p := range places {
		a.put(p, projects[p.project].chain)
	}
	a.complete()
	return a
}

// place says where a resource is.
type place struct {
	name    resource.Name
	project string // its id or its number; "" if the resource is in none, or in an unknown one
	unknown string // what cannot be found, in words
}

// placesOf finds in which projects the plan's resources are. A bucket has to be asked for.
func placesOf(ctx context.Context, cloud *gcp.Client, plan grants.Plan) []place {
	var places []place
	host, _, err := resource.Parse("projects/" + plan.Task.Project)
	if err == nil {
		places = append(places, place{name: host, project: plan.Task.Project})
	}
	for _, edit := range plan.Edits {
		if edit.Resource != host {
			places = append(places, place{name: edit.Resource, project: edit.Resource.Project()})
		}
	}
	var wg sync.WaitGroup
	for i := range places {
		p := &places[i]
		switch {
		case p.name.Type().Kind == "folder":
			p.project, p.unknown = "", "the parents of "+p.name.String()
		case p.name.Var("bucket") != "" && p.project == "":
			wg.Go(func() {
				bucket, _ := p.name.Bucket()
				b, err := cloud.Bucket(ctx, bucket)
				if err != nil || b.Project == "" {
					p.unknown = "the project of " + bucket.String()
					return
				}
				p.project = b.Project
			})
		}
	}
	wg.Wait()
	return places
}

// projectAround is what can be seen of one project.
type projectAround struct {
	chain  []resource.Name // the project and what is above it; nil if that cannot be found
	number string          // "" if it cannot be found
}

// projectsOf looks at each project of the places once.
func projectsOf(ctx context.Context, cloud *gcp.Client, places []place) map[string]projectAround {
	var (
		out = map[string]projectAround{}
		mu  sync.Mutex
		wg  sync.WaitGroup
	)
	for _, p := range places {
		if _, twice := out[p.project]; !twice {
			out[p.project] = projectAround{}
		}
	}
	delete(out, "")
	for _, id := range slices.Collect(maps.Keys(out)) {
		wg.Go(func() {
			var found projectAround
			if chain, err := cloud.Ancestors(ctx, id); err == nil {
				found.chain = chain
			}
			if number, err := cloud.ProjectNumber(ctx, id); err == nil {
				found.number = number
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = found
		})
	}
	wg.Wait()
	return out
}

// put notes what a resource inherits access from: what contains it, and the chain of its
// project.
func (a *Found) put(p place, chain []resource.Name) {
	above := review.Containers(p.name)
	self, _, err := resource.Parse("projects/" + p.project)
	named := p.project != "" && err == nil
	if len(chain) == 0 {
		unknown := p.unknown
		if unknown == "" && p.project != "" {
			unknown = "project " + p.project + " and its parents"
		}
		if unknown != "" {
			a.missing = append(a.missing, unknown)
			a.Unseen[p.name] = append(a.Unseen[p.name], unknown)
		}
		if named && p.name != self {
			above = append(above, self)
		}
		a.Above[p.name] = above
		return
	}
	if named && chain[0] != self {
		a.Same[self] = chain[0]
	}
	if chain[0] == p.name {
		chain = chain[1:]
	}
	a.Above[p.name] = append(above, chain...)
}

// complete adds the projects and folders on the way up: each is a resource of its own, above
// which is the rest of the chain. What one resource shows is not missing any more.
func (a *Found) complete() {
	for _, chain := range slices.Collect(maps.Values(a.Above)) {
		for i, n := range chain {
			if rest := chain[i+1:]; len(a.Above[n]) < len(rest) || len(rest) == 0 && a.Above[n] == nil {
				a.Above[n] = rest
				delete(a.Unseen, n)
			}
		}
	}
	unseen := map[string]bool{}
	for _, list := range a.Unseen {
		for _, what := range list {
			unseen[what] = true
		}
	}
	a.missing = slices.DeleteFunc(a.missing, func(what string) bool { return !unseen[what] })
}
