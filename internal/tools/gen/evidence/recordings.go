package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/emulator/evidence"
)

// recording is one line of the file.
type recording struct {
	N        int               `json:"n"`
	Grade    string            `json:"grade"`
	Op       string            `json:"op"`
	Method   string            `json:"method"`
	URL      string            `json:"url"`
	Status   int               `json:"status"`
	Request  json.RawMessage   `json:"request"`
	Response json.RawMessage   `json:"response"`
	Headers  map[string]string `json:"headers"`
	Note     string            `json:"note"` // says that it was edited, or what of it is unusual
	Inferred []string          `json:"inferred"`
	Recorded string            `json:"recorded"`
	Source   string            `json:"source"`
}

// Recordings have names for what their authors took out; these stand in for them.
var placeholders = map[string]string{
	"projectId": "recorded-project", "projectNumber": "100000000001", "uniqueId": "x1y2z3",
	"organizationID": "200000000002", "folderID": "300000000003", "billingAccountID": "010101-020202-030303",
	"serviceAccountKeyID": "0123456789abcdef0123456789abcdef01234567", "operationID": "operation-1",
}

// kinds are those of the names that stand where an exchange does not tell what they name.
var kinds = map[string]string{"projectId": "project", "projectNumber": "project-number", "folderID": "folder"}

// terms are those in which recordings are told.
var terms = evidence.Terms{
	Operator: "user@google.com", Placeholder: "abcdef0123A=",
}

var (
	placeholder  = regexp.MustCompile(`\$\{(\w+)\}`)
	recordedName = regexp.MustCompile(`(?:Dataset \$\{projectId\}:|"datasetId": ?")(\w+(?:\$\{uniqueId\})?)`)
	recordedJob  = regexp.MustCompile(`/jobs/([\w-]+\$\{uniqueId\})`)
	fromFileName = "(from file name) "
	standInEmail = regexp.MustCompile(`/projects/([^/]+)/serviceAccounts/([A-Z_]+)([:/]|$)`)
)

// read returns the recordings in the order of their numbers.
func read(path string) ([]recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []recording
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r, err := parse(lines.Text())
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b recording) int { return a.N - b.N })
	return out, lines.Err()
}

func parse(line string) (recording, error) {
	// The same name is written in full in one place and by a placeholder in another.
	if m := recordedName.FindStringSubmatch(line); m != nil {
		line = strings.ReplaceAll(line, "${datasetID}", m[1])
	}
	if m := recordedJob.FindStringSubmatch(line); m != nil {
		line = strings.ReplaceAll(line, "${jobID}", m[1])
	}
	var source struct {
		Source string `json:"source"`
	}
	if err := json.Unmarshal([]byte(line), &source); err != nil {
		return recording{}, fmt.Errorf("reading a recorded exchange: %w", err)
	}
	line = placeholder.ReplaceAllStringFunc(line, func(s string) string {
		name := s[2 : len(s)-1]
		if v, ok := placeholders[name]; ok {
			return v
		}
		return strings.ToLower(name)
	})
	var r recording
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return recording{}, fmt.Errorf("reading a recorded exchange: %w", err)
	}
	r.Source = source.Source
	return r, nil
}

// facts are what a recording tells.
func (r recording) facts() (evidence.Exchange, error) {
	request := []byte(r.Request)
	if len(request) > 0 && request[0] == '"' { // a form
		var text string
		if err := json.Unmarshal(request, &text); err != nil {
			return evidence.Exchange{}, err
		}
		request = []byte(strings.ReplaceAll(text, "<percent-encoded JSON accessBoundary>", "BOUNDARY"))
	}
	t := terms
	// Of an edited recording, and of a document, the format proves more than the values.
	t.Documented = r.Grade == "B" || r.Note != ""
	t.Names = map[string]string{}
	for name, kind := range kinds {
		if v := placeholders[name]; strings.Contains(r.URL+string(r.Request)+string(r.Response), v) {
			t.Names[v] = kind
		}
	}
	x, err := evidence.Describe(evidence.Raw{
		Method: r.Method, URL: r.url(), Request: request,
		Status: r.Status, Headers: r.headers(), Answer: bytes.TrimSpace(r.Response),
	}, t)
	x.ID, x.Grade, x.About, x.Source = strconv.Itoa(r.N), r.Grade, r.Op, r.Source
	x.Recorded, x.Inferred = r.Recorded, r.Inferred
	return x, err
}

// headers are those that clients look at.
func (r recording) headers() map[string]string {
	out := map[string]string{}
	for _, k := range []string{"content-type", "etag"} {
		if v := r.Headers[k]; v != "" {
			out[k] = v
		}
	}
	return out
}

// url is the address of the request. Some recordings are known by the name of a file alone, and documents write SA
// where an e-mail address belongs.
func (r recording) url() string {
	url := r.URL
	if name, ok := strings.CutPrefix(url, fromFileName); ok {
		url = pathOfFile(name)
	}
	return standInEmail.ReplaceAllStringFunc(url, func(s string) string {
		m := standInEmail.FindStringSubmatch(s)
		project := m[1]
		if project == "-" {
			project = placeholders["projectId"]
		}
		return "/projects/" + m[1] + "/serviceAccounts/" + m[2] + "@" + project + ".iam.gserviceaccount.com" + m[3]
	})
}

var (
	fileCollections = []string{
		"v1", "v2", "v3", "storage", "b", "projects", "folders", "organizations", "serviceAccounts", "keys", "roles", "instances",
		"tables", "databases", "topics", "subscriptions", "locations", "keyRings", "cryptoKeys", "secrets", "global", "images", "zones",
	}
	fileVerbs = []string{"getIamPolicy", "setIamPolicy", "testIamPermissions", "disable", "enable", "undelete", "upload"}
)

// pathOfFile is the URL in the name of a file, in which the slashes and the colon of the path became hyphens. It
// has no host if the path alone does not tell it.
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
	return "https://" + hostOf(path) + path
}

// hostOf is the service that has such a path, or "".
func hostOf(path string) string {
	switch {
	case strings.HasPrefix(path, "/storage/"):
		return "storage.googleapis.com"
	case strings.Contains(path, "/serviceAccounts"), strings.Contains(path, "/roles"):
		return "iam.googleapis.com"
	case strings.Contains(path, "/topics"), strings.Contains(path, "/subscriptions"):
		return "pubsub.googleapis.com"
	case strings.Contains(path, "/keyRings/"):
		return "cloudkms.googleapis.com"
	case strings.HasPrefix(path, "/v1/projects/") && strings.Contains(path, "/instances/"):
		return "spanner.googleapis.com"
	case strings.HasPrefix(path, "/v2/projects/") && strings.Contains(path, "/instances/"):
		return "bigtableadmin.googleapis.com"
	case strings.Count(path, "/") == 3:
		return "cloudresourcemanager.googleapis.com" // a project, folder or organization by itself
	}
	return ""
}
