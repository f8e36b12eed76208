package emulator

import (
	"slices"
	"strings"
)

// containers returns the relative names, by number, of a project and what it lies in.
func (s *company) containers(p *project) []string {
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

const resourceManagerHost = "cloudresourcemanager.googleapis.com"

// projectBy returns the project of that id or number, or nil.
func (s *company) projectBy(id string) *project {
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

// projectNode returns a project, by id or number, as IAM sees it. A project that
// does not exist is not told from one out of reach: 403.
func (s *company) projectNode(id string) (node, *project, error) {
	p := s.projectBy(id)
	if p == nil {
		return node{}, nil, refuseUnknown()
	}
	return s.containerNode("projects/" + p.Number), p, nil
}

// containerNode returns a project, folder or organization, by its number, with its
// ancestors. The zero node is none. Conditions see the type of a project, and else
// nothing of the three (iam/docs/conditions-resource-attributes).
func (s *company) containerNode(name string) node {
	kind, number, _ := strings.Cut(name, "/")
	const service = "//" + resourceManagerHost + "/"
	switch kind {
	case "projects":
		if p := s.projectBy(number); p != nil {
			return s.containerNode(p.Parent).child(service+"projects/"+p.ID, "", resourceManagerHost+"/Project", &p.Policy)
		}
	case "folders":
		if f := s.Folders[number]; f != nil {
			return s.containerNode(f.Parent).child(service+name, "", "", &f.Policy)
		}
	case "organizations":
		if o := s.Organizations[number]; o != nil {
			return node{}.child(service+name, "", "", &o.Policy)
		}
	}
	return node{}
}
