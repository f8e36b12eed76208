package lifecycle

import (
	"fmt"
	"maps"

	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

func newSurvey(plan grants.Plan) *survey {
	return &survey{
		plan:     plan,
		custom:   &customrole.Set{},
		roles:    map[string]grants.Role{},
		policies: map[resource.Name]policy.Document{},
		unread:   map[resource.Name]error{},
		absent:   map[string]bool{},
		seen: review.Seen{
			Unreadable: map[string]bool{}, Uniform: map[resource.Name]bool{},
			Homes: map[resource.Name]string{}, Numbers: map[string]string{}, Ungrantable: map[int]bool{},
			Candidates: map[resource.Name][]grants.Role{}, Ambient: map[resource.Name]map[string]bool{},
		},
	}
}

// addRoles puts the custom roles that were found into the plan.
func (s *survey) addRoles() {
	maps.Copy(s.roles, s.custom.Planned())
	s.plan = s.plan.WithRoles(s.custom.Names())
}

// judge makes findings of what was seen, and refusals of those that stop an up.
func (s *survey) judge() {
	task := s.plan.Task
	s.seen.Roles = s.roles
	s.findings = review.Findings(task, s.seen)
	for _, f := range s.findings {
		// What cannot be bound was refused with what Google said.
		if f.Stops() && f.Name != review.NotGrantable {
			g := task.Grants[f.Grant]
			s.refusals = append(s.refusals, fault.WithHint(
				fault.New(fault.Precondition, "granting %s on %s (grant %d): %s: %s", g.Gives(), g.Resource, f.Grant+1,
					f.Name, f.Why),
				"write instead: "+f.Instead,
				fmt.Sprintf("or accept it in this [[grant]]: accept = { %s = \"WHY\" }", f.Name)))
		}
	}
}

// accepted returns what a task accepts of one grant, as the journal keeps it.
func accepted(task grants.Task, grant int) []string {
	var out []string
	for _, a := range task.Accept {
		if a.Grant == grant {
			out = append(out, a.Finding+": "+a.Reason)
		}
	}
	return out
}

// tellAccepted tells of the findings that the manifest accepts by name.
func (e *Engine) tellAccepted(task grants.Task, s *survey) {
	for _, f := range s.findings {
		if f.AcceptedAs != "" {
			e.report("accepted "+f.Name+" ("+f.Accepted+")",
				task.Grants[f.Grant].Gives()+" on "+task.Grants[f.Grant].Resource.String(), Known, nil)
		}
	}
}
