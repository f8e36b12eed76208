package review

import (
	"fmt"
	"slices"
	"strings"
)

// actAs lets code run as a service account, for whoever can run code.
const actAs = "iam.serviceAccounts.actAs"

// marks are the permissions of a grant that lead to one finding.
type marks struct {
	grade          Grade
	gravest, lower []string // each sorted
}

// marked returns what the classes of a grant's permissions lead to, by finding.
func (j *grantReview) marked() map[string]marks {
	out := map[string]marks{}
	near := !atLarge(j.g.Resource)
	narrow := near || narrowed(j.g)
	for _, p := range j.seen.having(j.g, func(string) bool { return true }) {
		class, _ := ClassOf(p)
		for _, mark := range class.Marks {
			grade := mark.Grade
			// What stops is not taken for less on the word of a condition.
			if mark.Near != "" && (near || narrow && grade != Stop) {
				grade = mark.Near
			}
			if grade == None {
				continue
			}
			m, there := out[mark.Finding]
			switch {
			case !there || weight(grade) < weight(m.grade):
				m.grade, m.gravest, m.lower = grade, []string{p}, append(m.gravest, m.lower...)
			case grade == m.grade:
				m.gravest = append(m.gravest, p)
			default:
				m.lower = append(m.lower, p)
			}
			out[mark.Finding] = m
		}
	}
	return out
}

// classes finds what the classes of the grant's permissions lead to.
func (j *grantReview) classes(runs bool) {
	found := j.marked()
	acts := len(j.seen.having(j.g, func(p string) bool { return p == actAs })) > 0
	j.runsCodeAs(acts, runs, found[RunsCodeAs])
	for _, rule := range Rules {
		m, there := found[rule.Name]
		if !there || rule.Name == RunsCodeAs || rule.Name == RunsCodeAlone && acts {
			continue
		}
		j.add(rule.Name, m.grade, "it holds "+withWhat(m), "")
	}
}

// runsCodeAs finds that the task can run code as another account, or may act as one.
func (j *grantReview) runsCodeAs(acts, runs bool, there marks) {
	kind := j.g.Resource.Type().Kind
	wide := atLarge(j.g.Resource)
	names := []string{RunsCodeAs}
	f := Finding{
		Name: RunsCodeAs, Grade: there.grade,
		Instead: "a role that does not run code there, or a grant on the one resource that the code is for",
	}
	switch {
	case acts && runs:
		f.Grade = Stop
		f.Why = "iam.serviceAccounts.actAs together with a permission that runs code lets the task run as another " +
			"service account"
		f.Instead = "remove one of the two grants, or accept it if the code is to run as this account"
		if wide {
			f.Instead = "a grant on the one service account that the code must run as, and accept it there"
		}
	case acts && wide:
		f.Grade = Stop
		f.Why = "iam.serviceAccounts.actAs on a " + kind + " lets code run as every service account in it, also as " +
			"those that are created later"
		f.Instead = "a grant on the one service account that is needed"
		names = append(names, actsAs)
	case acts:
		f.Grade = Warn
		f.Why = "iam.serviceAccounts.actAs allows everybody who can also run code somewhere to run it as this " +
			"service account"
		f.Instead = "nothing, if code is to run as it; this task itself runs none"
		names = append(names, actsAs)
	case len(there.gravest) > 0:
		f.Why = "it holds " + withWhat(there)
	default:
		return
	}
	j.addAs(names, f)
}

// withWhat names permissions with what they do: the gravest first, and no more than three that do not do the same.
func withWhat(m marks) string {
	var parts []string
	said := map[string]bool{}
	for _, p := range append(slices.Clone(m.gravest), m.lower...) {
		_, does := ClassOf(p)
		if len(parts) == 3 {
			break
		}
		if !said[does] {
			said[does] = true
			parts = append(parts, p+", which "+does)
		}
	}
	return strings.Join(parts, "; ") + more(len(m.gravest)+len(m.lower)-len(parts))
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("; and %d more", n)
}
