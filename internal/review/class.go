package review

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Class is what a permission is good for. The rules in classes.txt give every permission one.
type Class struct {
	Name  string
	Group Group
	// Does says what a permission of the class does, where its rule does not; it is read after "which".
	Does string
	// Marks are the findings of a grant that holds such a permission.
	Marks []Mark
	// Runs says that the permission runs something as a service account that one may act as.
	Runs bool
}

// Mark is a finding that a class leads to.
type Mark struct {
	Finding string
	Grade   Grade
	// Near is the grade on the one resource that the permission is about, where that differs from the grade on
	// a project, folder or organization.
	Near Grade
}

// Classes are all classes. A permission with several sides is in the class of its gravest.
var Classes = []Class{
	{Name: "policy", Group: GrantsAccess, Does: "changes who has access, and can give access that outlasts the run",
		Marks: []Mark{{Finding: Escalates, Grade: Stop}}},
	{Name: "impersonation", Group: GrantsAccess, Does: "makes tokens or signatures of a service account",
		Marks: []Mark{{Finding: Escalates, Grade: Stop}}},
	{Name: "account-key", Group: GrantsAccess, Does: "makes or enables what a service account logs in with",
		Marks: []Mark{{Finding: Escalates, Grade: Stop}}},
	{Name: "federation", Group: GrantsAccess, Does: "lets in identities from other systems",
		Marks: []Mark{{Finding: Escalates, Grade: Stop}}},
	{Name: "custom-role", Group: GrantsAccess, Does: "changes what a role holds",
		Marks: []Mark{{Finding: Escalates, Grade: Stop}}},
	{Name: "guard-rail", Group: GrantsAccess, Does: "removes what limits access",
		Marks: []Mark{{Finding: Escalates, Grade: Stop}}},
	{Name: "placement", Group: GrantsAccess, Does: "moves it to where other policies are inherited",
		Marks: []Mark{{Finding: Escalates, Grade: Stop}}},
	{Name: "strong-code", Group: RunsCode, Does: "runs code as an account with wide access, without being asked for actAs",
		Marks: []Mark{{Finding: Escalates, Grade: Stop}}, Runs: true},

	{Name: "act-as", Group: GrantsAccess, Does: "lets code run as a service account"}, // see [grantReview.runsCodeAs]
	{Name: "code-there", Group: RunsCode, Does: "runs code under the identity of what is there, without being asked for actAs",
		Marks: []Mark{{Finding: RunsCodeAs, Grade: Stop, Near: Warn}}, Runs: true},
	{Name: "code", Group: RunsCode, Does: "runs code of the task",
		Marks: []Mark{{Finding: RunsCodeAlone, Grade: Warn}}, Runs: true},
	{Name: "service", Group: RunsCode, Does: "leaves something that runs code, and that goes on after down",
		Marks: []Mark{{Finding: RunsCodeAlone, Grade: Warn}, {Finding: Outlives, Grade: Warn}}, Runs: true},
	{Name: "start", Group: RunsCode, Does: "starts code that is there, under an identity which is not the task's",
		Marks: []Mark{{Finding: RunsCodeAlone, Grade: Warn}}},
	{Name: "borrow", Group: RunsCode, Does: "acts with a login that is not the task's",
		Marks: []Mark{{Finding: RunsCodeAlone, Grade: Warn}}},
	{Name: "supply", Group: RunsCode, Does: "changes code or images that others build and run",
		Marks: []Mark{{Finding: RunsCodeAlone, Grade: Warn}}},

	{Name: "credential", Group: GrantsAccess, Does: "gives a credential",
		Marks: []Mark{{Finding: HandsOutCredentials, Grade: Stop}}},
	{Name: "id-token", Group: GrantsAccess, Does: "makes ID tokens of a service account, with which it is that account to other services",
		Marks: []Mark{{Finding: HandsOutCredentials, Grade: Stop, Near: Warn}}},
	{Name: "certificate", Group: GrantsAccess, Does: "issues certificates, which are good for longer than the run",
		Marks: []Mark{{Finding: HandsOutCredentials, Grade: Warn}}},
	{Name: "secret", Group: Reads, Does: "reads secrets", // on the one secret it is what the grant is for
		Marks: []Mark{{Finding: HandsOutCredentials, Grade: Warn, Near: None}}},

	{Name: "appointment", Group: Writes, Does: "has something called later, again and again",
		Marks: []Mark{{Finding: Outlives, Grade: Warn}}, Runs: true},
	{Name: "standing", Group: Writes, Does: "leaves something that goes on acting",
		Marks: []Mark{{Finding: Outlives, Grade: Warn}}},

	{Name: "user", Group: GrantsAccess, Does: "gives access outside of IAM, which outlasts the run",
		Marks: []Mark{{Finding: AccessElsewhere, Grade: Stop}}},
	{Name: "rule", Group: Writes, Does: "changes rules outside of IAM",
		Marks: []Mark{{Finding: AccessElsewhere, Grade: Warn}}},
	{Name: "tool", Group: Writes, Does: "calls tools that no role names",
		Marks: []Mark{{Finding: AccessElsewhere, Grade: Warn}}},
	{Name: "tag", Group: Writes, Does: "attaches tags to it, on which conditions and denials can depend",
		Marks: []Mark{{Finding: AccessElsewhere, Grade: Inform}}},
	{Name: "object-acl", Group: Writes, Does: "edits the ACLs of objects"}, // see [grantReview.objectACLs]

	{Name: "end", Group: Deletes, Does: "deletes everything in it", Marks: []Mark{{Finding: Destroys, Grade: Stop}}},
	{Name: "destroy", Group: Deletes, Does: "deletes data", Marks: []Mark{{Finding: Destroys, Grade: Warn}}},

	{Name: "delete", Group: Deletes, Does: "deletes"},
	{Name: "write", Group: Writes, Does: "writes"},
	{Name: "read", Group: Reads, Does: "reads"},
}

// unreviewed is the class of a permission that no rule fits: it is newer than the rules. It may do anything.
var unreviewed = Class{Name: "unreviewed", Group: Writes, Does: "is newer than what taskiam knows",
	Marks: []Mark{{Finding: Unreviewed, Grade: Warn}}}

//go:embed classes.txt
var classesText string

// pattern is one way to be of a class.
type pattern struct {
	text  string
	class *Class
	does  string
	order int
	parts [3][]glob // of the service, the collection and the verb; empty for the first word of a verb
}

// ruleBook holds the patterns by what is looked up first. Each list is in the order of the rules.
type ruleBook struct {
	byService map[string][]pattern // whose service is one name
	general   []pattern
	byWord    map[string]pattern
}

// rules is read once. It panics if the embedded text is malformed, which a test rules out.
var rules = sync.OnceValue(func() ruleBook {
	book, err := parseRules(classesText)
	if err != nil {
		panic(err)
	}
	return book
})

func parseRules(text string) (ruleBook, error) {
	book := ruleBook{byService: map[string][]pattern{}, byWord: map[string]pattern{}}
	var class *Class
	var does string
	order := 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
			continue
		case !strings.HasPrefix(line, "\t"):
			name, said, _ := strings.Cut(line, ":")
			i := slices.IndexFunc(Classes, func(c Class) bool { return c.Name == name })
			if i < 0 {
				return ruleBook{}, fmt.Errorf("reading the classes of permissions: there is no class %q", name)
			}
			class, does = &Classes[i], strings.TrimSpace(said)
			if does == "" {
				does = class.Does
			}
			continue
		case class == nil:
			return ruleBook{}, fmt.Errorf("reading the classes of permissions: %q is in no class", line)
		}
		for field := range strings.FieldsSeq(line) {
			order++
			p := pattern{text: field, class: class, does: does, order: order}
			if !strings.Contains(field, ".") {
				if _, twice := book.byWord[field]; twice {
					return ruleBook{}, fmt.Errorf("reading the classes of permissions: %q is there twice", field)
				}
				book.byWord[field] = p
				continue
			}
			parts := strings.Split(field, ".")
			if len(parts) != len(p.parts) {
				return ruleBook{}, fmt.Errorf("reading the classes of permissions: %q has %d parts", field, len(parts))
			}
			for i, part := range parts {
				var err error
				if p.parts[i], err = globs(part); err != nil {
					return ruleBook{}, fmt.Errorf("reading the classes of permissions: %w", err)
				}
			}
			if strings.ContainsAny(parts[0], "*") {
				book.general = append(book.general, p)
				continue
			}
			for _, service := range p.parts[0] {
				book.byService[service.head] = append(book.byService[service.head], p)
			}
		}
	}
	return book, nil
}

// find returns the first pattern that fits a permission.
func (b ruleBook) find(permission string) (first pattern, found bool) {
	service, collection, verb := split(permission)
	first, found = b.byWord[firstWord(verb)]
	for _, list := range [][]pattern{b.general, b.byService[service]} {
		for _, p := range list {
			if found && p.order > first.order {
				break
			}
			if fits(p.parts[0], service) && fits(p.parts[2], verb) && fits(p.parts[1], collection) {
				first, found = p, true
				break
			}
		}
	}
	return first, found
}

// ClassOf returns the class of a permission, and what the permission does, to be read after "which".
func ClassOf(permission string) (c Class, does string) {
	p, found := rules().find(permission)
	if !found {
		return unreviewed, unreviewed.Does
	}
	return *p.class, p.does
}

// split returns the parts of a permission. In the collection of some, the host of the service is repeated.
func split(permission string) (service, collection, verb string) {
	service, rest, _ := strings.Cut(permission, ".")
	at := strings.LastIndexByte(rest, '.')
	if at < 0 {
		return service, "", rest
	}
	collection, verb = rest[:at], rest[at+1:]
	return service, collection[strings.LastIndexByte(collection, '/')+1:], verb
}

// firstWord returns the first word of a name in camel case.
func firstWord(name string) string {
	if at := strings.IndexFunc(name, unicode.IsUpper); at > 0 {
		return name[:at]
	}
	return strings.ToLower(name)
}

// glob is a name, or with a star the beginning and the end of one.
type glob struct {
	head, tail string
	star       bool
}

// globs reads alternatives, which | separates.
func globs(text string) ([]glob, error) {
	var out []glob
	for alternative := range strings.SplitSeq(text, "|") {
		head, tail, star := strings.Cut(alternative, "*")
		if strings.Contains(tail, "*") {
			return nil, fmt.Errorf("%q has two stars", alternative)
		}
		out = append(out, glob{head, tail, star})
	}
	return out, nil
}

// fits reports whether one of some alternatives is the whole of a name.
func fits(alternatives []glob, name string) bool {
	for _, g := range alternatives {
		if !g.star && g.head == name || g.star && len(name) >= len(g.head)+len(g.tail) &&
			strings.HasPrefix(name, g.head) && strings.HasSuffix(name, g.tail) {
			return true
		}
	}
	return false
}
