package emulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// recordedExchanges are answers of Google, one JSON object a line. They are no part
// of this repository.
const recordedExchanges = "../../shared/gcp/recorded.jsonl"

// exchange is one request and the answer that was recorded for it.
type exchange struct {
	N        int               `json:"n"`
	Grade    string            `json:"grade"`
	Op       string            `json:"op"`
	Method   string            `json:"method"`
	URL      string            `json:"url"`
	Status   int               `json:"status"`
	Request  json.RawMessage   `json:"request"`
	Response json.RawMessage   `json:"response"`
	Headers  map[string]string `json:"headers"`
	Note     string            `json:"note"`
	Inferred []string          `json:"inferred"`

	path  []string       // of the URL, without the custom verb
	verb  string         // the custom verb, or ""
	query string         // of the URL
	host  string         // of the URL
	want  map[string]any // Response, decoded
}

// Recordings have names for what their authors took out; these stand in for them.
var placeholders = map[string]string{
	"projectId": "recorded-project", "projectNumber": "100000000001", "uniqueId": "x1y2z3",
	"organizationID": "200000000002", "folderID": "300000000003", "billingAccountID": "010101-020202-030303",
	"serviceAccountKeyID": "0123456789abcdef0123456789abcdef01234567", "operationID": "operation-1",
}

const normalisedEtag = "abcdef0123A="

var (
	placeholder   = regexp.MustCompile(`\$\{(\w+)\}`)
	recordedName  = regexp.MustCompile(`(?:Dataset \$\{projectId\}:|"datasetId": ?")(\w+(?:\$\{uniqueId\})?)`)
	recordedJob   = regexp.MustCompile(`/jobs/([\w-]+\$\{uniqueId\})`)
	fromFileName  = "(from file name) "
	standInEmail  = regexp.MustCompile(`^[A-Z_]+$`)
	projectOfName = regexp.MustCompile(`@([A-Za-z0-9_-]+)\.iam\.gserviceaccount\.com`)
)

// readExchanges returns the recorded exchanges, or skips the test where there are none.
func readExchanges(t *testing.T) []*exchange {
	t.Helper()
	f, err := os.Open(recordedExchanges)
	if os.IsNotExist(err) {
		t.Skipf("the recorded exchanges are not at %s", recordedExchanges)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []*exchange
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		x, err := parseExchange(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out, func(a, b *exchange) int { return a.N - b.N })
	return out
}

func parseExchange(line string) (*exchange, error) {
	// The same name is written in full in one place and by a placeholder in another.
	if m := recordedName.FindStringSubmatch(line); m != nil {
		line = strings.ReplaceAll(line, "${datasetID}", m[1])
	}
	if m := recordedJob.FindStringSubmatch(line); m != nil {
		line = strings.ReplaceAll(line, "${jobID}", m[1])
	}
	line = placeholder.ReplaceAllStringFunc(line, func(s string) string {
		name := s[2 : len(s)-1]
		if v, ok := placeholders[name]; ok {
			return v
		}
		return strings.ToLower(name)
	})
	// Some recordings name what no client could create.
	line = strings.NewReplacer("bigquerytable-", "bigquerytable_", "/b/B/", "/b/bucket/").Replace(line)
	var x exchange
	if err := json.Unmarshal([]byte(line), &x); err != nil {
		return nil, fmt.Errorf("reading a recorded exchange: %w", err)
	}
	if string(x.Request) == "null" {
		x.Request = nil
	}
	if err := json.Unmarshal(x.Response, &x.want); err != nil {
		return nil, fmt.Errorf("reading the answer of line %d: %w", x.N, err)
	}
	x.resolve()
	return &x, nil
}

// resolve takes the URL apart. Some recordings are known by the name of a file
// alone, in which the slashes and the colon of the path became hyphens.
func (x *exchange) resolve() {
	// An id of one character stands for one of three at least.
	x.Request = bytes.Replace(x.Request, []byte(`"roleId": "x"`), []byte(`"roleId": "old_role"`), 1)
	url := x.URL
	if name, ok := strings.CutPrefix(url, fromFileName); ok {
		url = pathOfFile(name)
	}
	rest, _ := strings.CutPrefix(url, "https://")
	rest, x.query, _ = strings.Cut(rest, "?")
	x.host, rest, _ = strings.Cut(rest, "/")
	x.path = strings.Split(rest, "/")
	last := len(x.path) - 1
	x.path[last], x.verb, _ = strings.Cut(x.path[last], ":")
	// Documentation writes SA where an address belongs.
	if i := slices.Index(x.path, "serviceAccounts"); i >= 0 && i < last && standInEmail.MatchString(x.path[i+1]) {
		project := x.path[i-1]
		if project == "-" {
			project = placeholders["projectId"]
		}
		id := strings.ToLower(strings.ReplaceAll(x.path[i+1], "_", "-"))
		x.path[i+1] = id + "-account@" + project + ".iam.gserviceaccount.com"
	}
}

var (
	fileCollections = []string{
		"v1", "v2", "v3", "storage", "b", "projects", "folders", "organizations", "serviceAccounts", "keys", "roles", "instances",
		"tables", "databases", "topics", "subscriptions", "locations", "keyRings", "cryptoKeys", "secrets", "global", "images", "zones",
	}
	fileVerbs = []string{"getIamPolicy", "setIamPolicy", "testIamPermissions", "disable", "enable", "undelete", "upload"}
)

// pathOfFile is the URL in the name of a file. It has no host if the path alone
// does not tell it.
func pathOfFile(name string) string {
	var segments []string
	verb, open := "", false // open: the segment that names a resource may go on
	words := strings.Split(name, "-")
	for i, word := range words {
		switch {
		case i > 0 && i == len(words)-1 && slices.Contains(fileVerbs, word):
			verb = ":" + word
		case slices.Contains(fileCollections, word) || word == "iam" && i == len(words)-1:
			segments, open = append(segments, word), false
		case open:
			segments[len(segments)-1] += "-" + word
		default:
			segments, open = append(segments, word), true
		}
	}
	path := "/" + strings.Join(segments, "/") + verb
	host := ""
	switch {
	case strings.HasPrefix(path, "/storage/"):
		host = hostStorage
	case strings.Contains(path, "/serviceAccounts"), strings.Contains(path, "/roles"):
		host = hostIAM
	case strings.Contains(path, "/topics"), strings.Contains(path, "/subscriptions"):
		host = hostPubsub
	case strings.Contains(path, "/keyRings/"):
		host = "cloudkms.googleapis.com"
	case strings.HasPrefix(path, "/v1/projects/") && strings.Contains(path, "/instances/"):
		host = "spanner.googleapis.com"
	case strings.HasPrefix(path, "/v2/projects/") && strings.Contains(path, "/instances/"):
		host = "bigtableadmin.googleapis.com"
	case strings.Count(path, "/") == 3:
		host = hostManager // a project, folder or organization by itself
	}
	return "https://" + host + path
}

// after returns the segment of the path that follows a collection, or "".
func (x *exchange) after(collection string) string {
	if i := slices.Index(x.path, collection); i >= 0 && i+1 < len(x.path) {
		return x.path[i+1]
	}
	return ""
}

// last is what the path ends with, its custom verb apart.
func (x *exchange) last() string { return x.path[len(x.path)-1] }

// address is host and path.
func (x *exchange) address() string {
	u := x.host + "/" + strings.Join(x.path, "/")
	if x.verb != "" {
		u += ":" + x.verb
	}
	return u
}

// url is what is asked of the emulator.
func (x *exchange) url() string {
	u, q := "https://"+x.address(), x.query
	// Where a document shows the older form of an error, its client asked for it.
	if e, ok := x.want["error"].(map[string]any); ok && x.Grade == "B" && q == "" && e["errors"] != nil {
		q = "prettyPrint=false"
	}
	if q != "" {
		u += "?" + q
	}
	return u
}

// onPolicy reports whether the call is about an allow policy.
func (x *exchange) onPolicy() bool {
	return strings.HasSuffix(x.verb, "IamPolicy") || x.last() == "getIamPolicy" || x.last() == "setIamPolicy" ||
		x.host == hostStorage && x.last() == "iam"
}

// setsPolicy reports whether the call writes one.
func (x *exchange) setsPolicy() bool {
	return x.onPolicy() && (x.verb == "setIamPolicy" || x.last() == "setIamPolicy" || x.Method == "PUT")
}

// message is what an error says.
func (x *exchange) message() string {
	e, _ := x.want["error"].(map[string]any)
	s, _ := e["message"].(string)
	return s
}

// policy is the policy of a recorded answer.
func (x *exchange) policy() (iam.PolicyJSON, error) {
	var w iam.PolicyJSON
	err := json.Unmarshal(x.Response, &w)
	return w, err
}

// reason is the status that an error gives by name.
func (x *exchange) reason() string {
	e, _ := x.want["error"].(map[string]any)
	s, _ := e["status"].(string)
	return s
}
