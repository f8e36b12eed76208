// Command findings prints every predefined role by its gravest finding, as if a manifest bound it on a project, so
// that the classes of permissions can be reviewed role by role. With -permissions it prints the class of every
// permission instead, with -why what the findings say, and with -docs it writes the counts into docs/findings.md.
package main

//go:generate go run . -roles ../../../emulator/internal/iam/roles.txt -docs ../../../docs/findings.md

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/review"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "findings:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("findings", flag.ContinueOnError)
	from := flags.String("roles", "emulator/internal/iam/roles.txt", "the table of predefined roles")
	on := flags.String("on", "projects/acme-agents", "the resource that each role is bound on")
	byPermission := flags.Bool("permissions", false, "print the class of every permission")
	why := flags.Bool("why", false, "print what each finding says")
	docs := flags.String("docs", "", "write the counts into this file, between its marks")
	if err := flags.Parse(args); err != nil {
		return err
	}
	roles, err := readRoles(*from)
	if err != nil {
		return err
	}
	maps.DeleteFunc(roles, func(name string, _ grants.Role) bool {
		begins := func(with string) bool { return strings.HasPrefix(name, with) }
		return flags.NArg() > 0 && !slices.ContainsFunc(flags.Args(), begins)
	})
	name, _, err := resource.Parse(*on)
	if err != nil {
		return err
	}
	if *docs != "" {
		text, err := os.ReadFile(*docs)
		if err != nil {
			return fmt.Errorf("reading what the counts are for: %w", err)
		}
		made, err := document(string(text), classTable(roles), roleTable(judgeAll(roles, name)))
		if err != nil {
			return fmt.Errorf("writing the counts into %s: %w", *docs, err)
		}
		return os.WriteFile(*docs, []byte(made), 0o644)
	}
	w := bufio.NewWriter(out)
	if *byPermission {
		printPermissions(w, roles)
	} else {
		printRoles(w, judgeAll(roles, name), name, *why)
	}
	return w.Flush()
}

// readRoles reads the emulator's table, whose head says what is in it.
func readRoles(path string) (map[string]grants.Role, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the predefined roles (run this from the root of the repository): %w", err)
	}
	var permissions []string
	roles := map[string]grants.Role{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		fields := strings.Split(line, "\t")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case len(fields) == 1:
			permissions = append(permissions, line)
		case len(fields) == 4:
			held, err := spans(fields[3], permissions)
			if err != nil {
				return nil, fmt.Errorf("reading %s from %s: %w", fields[0], path, err)
			}
			roles[fields[0]] = grants.Role{Name: fields[0], Stage: fields[2], Permissions: held}
		default:
			return nil, fmt.Errorf("reading %s: %d columns in %q", path, len(fields), line)
		}
	}
	return roles, nil
}

// spans returns the elements of all that "3,5-9" names.
func spans(text string, all []string) ([]string, error) {
	var out []string
	for span := range strings.SplitSeq(text, ",") {
		if span == "" {
			continue
		}
		first, last, ranged := strings.Cut(span, "-")
		if !ranged {
			last = first
		}
		i, errFirst := strconv.Atoi(first)
		j, errLast := strconv.Atoi(last)
		if err := errors.Join(errFirst, errLast); err != nil {
			return nil, err
		}
		if i < 0 || j < i || j >= len(all) {
			return nil, fmt.Errorf("there are no lines %s", span)
		}
		out = append(out, all[i:j+1]...)
	}
	return out, nil
}

// onlyAbout leaves out findings that are about where a role is bound, and not about the role.
var onlyAbout = map[string]bool{review.ReachesBeyond: true, review.DoesNotEnd: true}

// judge returns what is found of a role that is bound on a resource.
func judge(role grants.Role, on resource.Name) []review.Finding {
	task := grants.Task{Grants: []grants.Grant{{Role: role.Name, Resource: on}}}
	found := review.Findings(task, review.Seen{Roles: map[string]grants.Role{role.Name: role}})
	return slices.DeleteFunc(found, func(f review.Finding) bool { return onlyAbout[f.Name] })
}

// judgeAll returns what is found of each role.
func judgeAll(roles map[string]grants.Role, on resource.Name) map[string][]review.Finding {
	found := map[string][]review.Finding{}
	for name, role := range roles {
		found[name] = judge(role, on)
	}
	return found
}

func printRoles(out io.Writer, found map[string][]review.Finding, on resource.Name, why bool) {
	type row struct {
		role  string
		found []review.Finding
	}
	var rows []row
	count := map[string]int{}
	for name, f := range found {
		rows = append(rows, row{name, f})
		count[gravest(f)]++
	}
	order := func(found []review.Finding) int {
		if len(found) == 0 {
			return len(review.Rules)
		}
		grade := slices.Index([]review.Grade{review.Stop, review.Warn, review.Inform}, found[0].Grade)
		return grade*100 + slices.IndexFunc(review.Rules, func(r review.Rule) bool { return r.Name == found[0].Name })
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(order(a.found), order(b.found)), strings.Compare(a.role, b.role))
	})
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		var also []string
		for _, f := range r.found[min(1, len(r.found)):] {
			also = append(also, string(f.Grade)+" "+f.Name)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", gravest(r.found), r.role, strings.Join(also, ", "))
		if why {
			for _, f := range r.found {
				fmt.Fprintf(w, "\t  %s\n", f.Name+": "+f.Why)
			}
		}
	}
	fmt.Fprintf(w, "\n%d roles by their gravest finding, bound on %s\n", len(rows), on)
	for _, name := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(w, "%d\t%s\n", count[name], name)
	}
	// The table is on its way to a bufio.Writer, whose Flush tells of errors.
	_ = w.Flush()
}

// gravest names the gravest finding.
func gravest(found []review.Finding) string {
	if len(found) == 0 {
		return "none"
	}
	return string(found[0].Grade) + " " + found[0].Name
}

// classesOf returns the class of every permission that some role holds.
func classesOf(roles map[string]grants.Role) map[string]string {
	classes := map[string]string{}
	for _, role := range roles {
		for _, p := range role.Permissions {
			if _, known := classes[p]; !known {
				c, _ := review.ClassOf(p)
				classes[p] = c.Name
			}
		}
	}
	return classes
}

func printPermissions(out io.Writer, roles map[string]grants.Role) {
	classes := classesOf(roles)
	count := map[string]int{}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, p := range slices.Sorted(maps.Keys(classes)) {
		count[classes[p]]++
		_, does := review.ClassOf(p)
		fmt.Fprintf(w, "%s\t%s\t%s\n", classes[p], p, does)
	}
	fmt.Fprintf(w, "\n%d permissions by class\n", len(classes))
	for _, name := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(w, "%d\t%s\n", count[name], name)
	}
	_ = w.Flush()
}

// document returns a page with its tables made anew, each between a mark with its name and the next end mark.
func document(page, classes, roles string) (string, error) {
	for name, table := range map[string]string{"classes": classes, "roles": roles} {
		mark := "<!-- " + name + ": made by go generate ./internal/tools/findings -->\n"
		before, rest, found := strings.Cut(page, mark)
		_, after, ended := strings.Cut(rest, "<!-- end -->")
		if !found || !ended {
			return "", fmt.Errorf("there is no place for the table of %s: %q and an end mark", name, mark)
		}
		page = before + mark + table + "<!-- end -->" + after
	}
	return page, nil
}

func classTable(roles map[string]grants.Role) string {
	count := map[string]int{}
	for _, class := range classesOf(roles) {
		count[class]++
	}
	var b strings.Builder
	b.WriteString("| class | a permission of it | finding | permissions |\n| --- | --- | --- | --- |\n")
	for _, c := range review.Classes {
		var marks []string
		for _, m := range c.Marks {
			mark := "`" + m.Finding + "`: " + string(m.Grade)
			if m.Near != "" {
				mark += ", on the one resource " + string(m.Near)
			}
			marks = append(marks, mark)
		}
		switch c.Name {
		case "act-as":
			marks = []string{"`runs-code-as`: see the table above"}
		case "object-acl":
			marks = []string{"`object-acls`: see the table above"}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d |\n", c.Name, c.Does, strings.Join(marks, "; "), count[c.Name])
	}
	return b.String()
}

func roleTable(found map[string][]review.Finding) string {
	count := map[string]int{}
	for _, f := range found {
		count[gravest(f)]++
	}
	var b strings.Builder
	b.WriteString("| gravest finding | roles |\n| --- | --- |\n")
	for _, grade := range []review.Grade{review.Stop, review.Warn, review.Inform} {
		for _, rule := range review.Rules {
			if n := count[string(grade)+" "+rule.Name]; n > 0 {
				fmt.Fprintf(&b, "| %s `%s` | %d |\n", grade, rule.Name, n)
			}
		}
	}
	fmt.Fprintf(&b, "| none | %d |\n", count["none"])
	return b.String()
}
