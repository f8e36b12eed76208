package iam

import (
	"slices"
	"strings"
	"time"
)

// Containers returns the relative names, by number, of a project and what it lies in.
func (s *Company) Containers(p *Project) []string {
	out := []string{"projects/" + p.Number}
	for parent := p.Parent; parent != "" && !slices.Contains(out, parent); {
		out = append(out, parent)
		if f := s.Folders[strings.TrimPrefix(parent, "folders/")]; f != nil {
			parent = f.Parent
			continue
		}
		break
	}
	return out
}

// ResourceManagerHost is the service that keeps projects, folders and organizations.
const ResourceManagerHost = "cloudresourcemanager.googleapis.com"

// IsDeleted reports whether p was shut down.
func (p *Project) IsDeleted() bool { return !p.Deleted.IsZero() }

// IsGone reports whether p was shut down too long ago to be restored
// (resource-manager/docs/creating-managing-projects).
func (p *Project) IsGone(now time.Time) bool {
	return p.IsDeleted() && !now.Before(p.Deleted.Add(UndeletePeriod))
}

// duringDeletion are the permissions that are still worth something on a project that was
// shut down: it can be seen, and restored.
var duringDeletion = []string{"resourcemanager.projects.get", "resourcemanager.projects.getIamPolicy",
	"resourcemanager.projects.delete", "resourcemanager.projects.undelete"}

// shutDown reports whether n is, or lies in, a project that was shut down, so that nobody
// holds the permission on it.
func (s *Company) shutDown(n Node, permission string, now time.Time) bool {
	const projects = "//" + ResourceManagerHost + "/projects/"
	for _, holder := range n.Holders {
		id, ok := strings.CutPrefix(holder, projects)
		if !ok {
			continue
		}
		p := s.Projects[id]
		if p != nil && p.IsDeleted() && (p.IsGone(now) || !slices.Contains(duringDeletion, permission)) {
			return true
		}
	}
	return false
}

// ProjectBy returns the project of that id or number, or nil.
func (s *Company) ProjectBy(id string) *Project {
	if p := s.Projects[id]; p != nil {
		return p
	}
	for _, p := range s.Projects {
		if p.Number == id {
			return p
		}
	}
	return nil
}

// ProjectNode returns a project, by id or number, as IAM sees it. A project that
// does not exist is not told from one out of reach: 403.
func (s *Company) ProjectNode(id string) (Node, *Project, error) {
	p := s.ProjectBy(id)
	if p == nil {
		return Node{}, nil, refuseUnknown()
	}
	return s.ContainerNode("projects/" + p.Number), p, nil
}

// ContainerNode returns a project, folder or organization, by its number, with its
// ancestors. The zero node is none. Conditions see the type of a project, and else
// nothing of the three (iam/docs/conditions-resource-attributes).
func (s *Company) ContainerNode(name string) Node {
	kind, number, _ := strings.Cut(name, "/")
	const service = "//" + ResourceManagerHost + "/"
	switch kind {
	case "projects":
		if p := s.ProjectBy(number); p != nil {
			return s.ContainerNode(p.Parent).Child(service+"projects/"+p.ID, "", ResourceManagerHost+"/Project",
				&p.Policy)
		}
	case "folders":
		if f := s.Folders[number]; f != nil {
			return s.ContainerNode(f.Parent).Child(service+name, "", "", &f.Policy)
		}
	case "organizations":
		if o := s.Organizations[number]; o != nil {
			return Node{}.Child(service+name, "", "", &o.Policy)
		}
	}
	return Node{}
}
