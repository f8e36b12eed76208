package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

const rolesHead = `# The predefined roles, after Google's list of them.
# Service agents' roles are left out: they cannot be granted to anybody else.
# First the permissions, one a line; then, after an empty line, the roles:
# name, title, stage, and the numbers of the lines of its permissions, from 0.
`

// roleTable makes roles.txt of a list of predefined roles.
func roleTable(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	var list struct {
		Permissions []string
		Roles       map[string]struct {
			Title, Stage string
			P            []int // indices of Permissions
		}
	}
	if err := json.NewDecoder(z).Decode(&list); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	maps.DeleteFunc(list.Roles, func(name string, _ struct {
		Title, Stage string
		P            []int
	}) bool {
		return strings.HasSuffix(strings.ToLower(name), "serviceagent")
	})

	held := map[string]bool{}
	for _, r := range list.Roles {
		for _, i := range r.P {
			held[list.Permissions[i]] = true
		}
	}
	permissions := slices.Sorted(maps.Keys(held))
	var b bytes.Buffer
	b.WriteString(rolesHead)
	line := map[string]int{}
	for i, p := range permissions {
		line[p] = i
		b.WriteString(p + "\n")
	}
	b.WriteString("\n")
	for _, name := range slices.Sorted(maps.Keys(list.Roles)) {
		r := list.Roles[name]
		var lines []int
		for _, i := range r.P {
			lines = append(lines, line[list.Permissions[i]])
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", name, r.Title, r.Stage, spans(lines))
	}
	return b.Bytes(), nil
}

// spans writes numbers as "3,5-9,12".
func spans(numbers []int) string {
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	var out []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if i == j {
			out = append(out, fmt.Sprint(numbers[i]))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", numbers[i], numbers[j]))
		}
		i = j + 1
	}
	return strings.Join(out, ",")
}
