package wire

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// Page is the part of a list that was asked for.
type Page struct {
	Size  int // 0 means the default
	Token string
}

// ListPage reads pageSize and pageToken from the query.
func (c *Call) ListPage() (Page, error) {
	p := Page{Token: c.Query("pageToken")}
	if q := c.Query("pageSize"); q != "" {
		n, err := strconv.Atoi(q)
		if err != nil {
			return p, Invalid("Invalid value at 'page_size' (TYPE_INT32), %q", q)
		}
		p.Size = n
	}
	return p, nil
}

// Paginate returns that part of all, and the token of the next. size is what a page
// holds by default, limit the most.
func Paginate[T any](all []T, p Page, size, limit int) (part []T, next string, err error) {
	if p.Size < 0 {
		return nil, "", Invalid("The page size must not be negative.")
	}
	if p.Size > 0 {
		size = min(p.Size, limit)
	}
	from := 0
	if p.Token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(p.Token)
		if err == nil {
			from, err = strconv.Atoi(string(raw))
		}
		if err != nil || from < 0 || from > len(all) {
			return nil, "", Invalid("Invalid page token.")
		}
	}
	to := min(from+size, len(all))
	if to < len(all) {
		next = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to)))
	}
	return all[from:to], next, nil
}

// Time is how Google writes a time: whole seconds and Z, which every client reads.
func Time(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// PEM encodes DER.
func PEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// NamesBelow returns the names in a map that begin with prefix, sorted.
func NamesBelow[V any](m map[string]V, prefix string) []string {
	var names []string
	for name := range m {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// DecodeKnown reads a JSON object into the pointers in known. A field that is not among them and says
// something is a field whose meaning the emulator would lose: that is refused.
func (c *Call) DecodeKnown(data []byte, known map[string]any) error {
	if len(data) == 0 {
		return nil
	}
	rest, err := iam.DecodeFields(data, known)
	if err != nil {
		return Invalid("Invalid JSON payload received. %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		switch string(rest[name]) {
		case "null", "false", "0", `""`, "{}", "[]":
		default:
			return c.Unsupported("field " + name)
		}
	}
	return nil
}

// Masked reads a request to change a resource: the body has the resource under a name of its own,
// and the mask that says which of its fields count. Fields that cannot change are refused.
func (c *Call) Masked(resource string, known map[string]any, changeable ...string) ([]string, error) {
	var body json.RawMessage
	var mask string
	if err := c.DecodeKnown(c.Body, map[string]any{resource: &body, "updateMask": &mask}); err != nil {
		return nil, err
	}
	if err := c.DecodeKnown(body, known); err != nil {
		return nil, err
	}
	return CheckMask(mask, changeable...)
}

// CheckMask takes an update mask apart.
func CheckMask(mask string, changeable ...string) ([]string, error) {
	if mask == "" {
		return nil, Invalid("The update_mask in the request must be set, and must contain at least one field.")
	}
	fields := strings.Split(mask, ",")
	for i, f := range fields {
		// Masks may spell fields as protocol buffers do.
		fields[i] = strings.ReplaceAll(strings.ToLower(f), "_", "")
		if !slices.ContainsFunc(changeable, func(name string) bool { return strings.EqualFold(name, fields[i]) }) {
			return nil, Invalid("Invalid update_mask provided in the request: the field %s cannot be changed.", f)
		}
	}
	return fields, nil
}

// Container returns a project, folder or organization by its relative name.
func (c *Call) Container(name string) (iam.Node, error) {
	n := c.State().ContainerNode(name)
	if n.Full == "" {
		return n, Forbidden("The caller does not have permission")
	}
	return n, nil
}

// Enum is how an enumeration is sent: its name, or its number where the client
// asked for numbers ($alt=json;enum-encoding=int).
func (c *Call) Enum(name string, number int) any {
	if strings.Contains(c.Query("$alt"), "enum-encoding=int") {
		return number
	}
	return name
}

// Listing answers a page of resources under a name.
func Listing[T any](c *Call, field string, all []T, resource func(*Call, T) map[string]any) (any, error) {
	asked, err := c.ListPage()
	if err != nil {
		return nil, err
	}
	part, next, err := Paginate(all, asked, 300, 1000)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	var out []any
	for _, v := range part {
		out = append(out, resource(c, v))
	}
	if len(out) > 0 {
		answer[field] = out
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	return answer, nil
}

// CounterEtag is an etag of Cloud Storage: a protocol buffer message whose fields, from 1 on, are the
// given numbers, so that metageneration 2 reads CAI=.
func CounterEtag(counters ...int64) string {
	var b []byte
	for i, n := range counters {
		b = append(b, byte((i+1)<<3)) // the number of the field, and that it is a varint
		b = binary.AppendUvarint(b, uint64(n))
	}
	return base64.StdEncoding.EncodeToString(b)
}

// Unsupported is the answer to a parameter or field that would change the meaning of a call and that the
// emulator does not know.
func (c *Call) Unsupported(what string) error {
	return Fail(http.StatusNotImplemented, "UNIMPLEMENTED", "", "the emulator does not know %s of %s", what,
		c.Method.ID)
}

// Page cuts sorted names down to the page that the request asks for by pageToken and the parameter size,
// which is at most limit and limit if absent. It returns the token of the page after, "" if there is none.
func (c *Call) Page(names []string, size string, limit int) (page []string, next string, err error) {
	most := limit
	if v := c.Query(size); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return nil, "", Invalid("Invalid value for %s: %q", size, v)
		}
		if n > 0 {
			most = min(n, limit)
		}
	}
	after, err := PageKey(c.Query("pageToken"))
	if err != nil {
		return nil, "", err
	}
	start, found := slices.BinarySearch(names, after)
	if found {
		start++
	}
	names = names[start:]
	if len(names) <= most {
		return names, "", nil
	}
	return names[:most], PageToken(names[most-1]), nil
}

// PageToken is the token of the page after the entry key.
func PageToken(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// PageKey returns the last entry before the page of a token, "" for no token.
func PageKey(token string) (string, error) {
	key, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", Invalid("Invalid page token: %q", token)
	}
	return string(key), nil
}

// MergeStrings applies a patch to a map: a value replaces, null takes away, and null in place of the
// whole patch empties the map (RFC 7396).
func MergeStrings(old map[string]string, patch json.RawMessage) (map[string]string, error) {
	if patch == nil {
		return old, nil
	}
	var changes map[string]*string
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, Invalid("Invalid JSON payload received. %v", err)
	}
	next := map[string]string{}
	if changes != nil {
		maps.Copy(next, old)
	}
	for k, v := range changes {
		if v == nil {
			delete(next, k)
		} else {
			next[k] = *v
		}
	}
	return next, nil
}
