package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// whereRolesAre tells a person how to get the input of roles.txt.
const whereRolesAre = `the list of Google's predefined roles has to be named with -list FILE.
Get it from the IAM API, page after page, into one file:

	token= file=predefined_roles.json; : >"$file"
	while :; do
		curl -sSfG -H "Authorization: Bearer $(gcloud auth print-access-token)" --data-urlencode "pageToken=$token" \
			'https://iam.googleapis.com/v1/roles?view=FULL&pageSize=1000' >page.json || break
		cat page.json >>"$file"; token="$(jq -r '.nextPageToken // empty' page.json)"
		[ -n "$token" ] || break
	done

then: TASKIAM_ROLES="$PWD/$file" go generate ./emulator/internal/iam`

// role is a predefined role of the list.
type role struct {
	Name, Title, Stage  string
	IncludedPermissions []string
}

// readRoles reads a list of predefined roles: pages of iam.roles.list one after another,
// lists of such roles, or the form of the data set that joins them, which numbers
// permissions.
func readRoles(path string) ([]role, error) {
	if path == "" {
		return nil, errors.New(whereRolesAre)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w\n%s", err, whereRolesAre)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buffered := bufio.NewReader(f)
	var in io.Reader = buffered
	if magic, _ := buffered.Peek(2); string(magic) == "\x1f\x8b" {
		if in, err = gzip.NewReader(buffered); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	var all []role
	for documents := json.NewDecoder(in); ; {
		var raw json.RawMessage
		if err := documents.Decode(&raw); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		roles, err := rolesOf(raw)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		all = append(all, roles...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no roles\n%s", path, whereRolesAre)
	}
	for _, r := range all {
		if len(r.IncludedPermissions) > 0 {
			return all, nil
		}
	}
	return nil, fmt.Errorf("the roles in %s have no permissions, as when view=FULL was left out\n%s",
		path, whereRolesAre)
}

// rolesOf reads one JSON document of a list.
func rolesOf(raw json.RawMessage) ([]role, error) {
	var list []role
	if raw[0] == '[' {
		return list, json.Unmarshal(raw, &list)
	}
	var page struct {
		Permissions []string
		Roles       json.RawMessage
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		return nil, err
	}
	if page.Permissions == nil {
		if page.Roles == nil {
			return nil, nil // the last page may be empty
		}
		return list, json.Unmarshal(page.Roles, &list)
	}
	var numbered map[string]struct {
		Title, Stage string
		P            []int // indices of Permissions
	}
	if err := json.Unmarshal(page.Roles, &numbered); err != nil {
		return nil, err
	}
	for name, n := range numbered {
		r := role{Name: name, Title: n.Title, Stage: n.Stage}
		for _, i := range n.P {
			r.IncludedPermissions = append(r.IncludedPermissions, page.Permissions[i])
		}
		list = append(list, r)
	}
	return list, nil
}

// roleTable makes roles.txt of a list of predefined roles.
func roleTable(path string) ([]byte, error) {
	all, err := readRoles(path)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(r role) bool {
		return strings.HasSuffix(strings.ToLower(r.Name), "serviceagent")
	})
	slices.SortFunc(all, func(a, b role) int { return strings.Compare(a.Name, b.Name) })

	held := map[string]bool{}
	for _, r := range all {
		for _, p := range r.IncludedPermissions {
			held[p] = true
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
	for _, r := range all {
		var lines []int
		for _, p := range r.IncludedPermissions {
			lines = append(lines, line[p])
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", r.Name, r.Title, r.Stage, spans(lines))
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
