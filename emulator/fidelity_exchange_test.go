package emulator

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// knownExchanges are what this repository knows of Google's answers.
const knownExchanges = "evidence"

// exchange is one request and the answer that is known for it, with names in the places of what was replaced.
type exchange struct {
	evidence.Exchange

	path     []string        // without the custom verb
	verb     string          // the custom verb, or ""
	host     string          // that is asked
	request  json.RawMessage // the JSON that was sent, or nil
	response json.RawMessage
	want     map[string]any // response, decoded
}

var (
	digits        = regexp.MustCompile(`^[0-9]+$`)
	replacedName  = regexp.MustCompile(`\{([a-z-]+)([0-9]*)\}`)
	projectOfName = regexp.MustCompile(`@([A-Za-z0-9_-]+)\.iam\.gserviceaccount\.com`)
)

// Names that the worlds of exchanges know from the start.
const (
	recordedProject      = "recorded-project"
	recordedNumber       = "100000000001"
	recordedOrganization = "200000000002"
	recordedFolder       = "300000000003"
	recordedPerson       = "user@google.com"
)

// standIn is a name for the nth of its kind.
func standIn(kind string, n int) string {
	name := ""
	switch kind {
	case "operator":
		return recordedPerson
	case "user":
		return fmt.Sprintf("user%d@example.com", n)
	case "uid":
		return fmt.Sprintf("117777777777777%06d", n)
	case "key":
		return fmt.Sprintf("%040x", 0xabcdef00+n)
	case "project-number":
		return fmt.Sprintf("10000000%04d", n)
	case "version":
		return strconv.Itoa(n)
	case "organization":
		name = recordedOrganization
	case "folder":
		name = recordedFolder
	case "billing-account":
		name = "010101-020202-030303"
	case "role", "dataset", "table":
		name = "recorded_" + kind
	default:
		name = "recorded-" + kind
	}
	if n == 1 {
		return name
	}
	if digits.MatchString(name) {
		return name[:len(name)-4] + fmt.Sprintf("%04d", n+10)
	}
	return name + strings.Map(func(r rune) rune {
		if strings.Contains(name, "_") {
			return '_'
		}
		return r
	}, "-") + strconv.Itoa(n)
}

// readExchanges returns the exchanges that are known.
func readExchanges(t *testing.T) []*exchange {
	t.Helper()
	known, err := evidence.Read(knownExchanges)
	if err != nil {
		t.Fatal(err)
	}
	var out []*exchange
	for _, x := range known {
		named, err := newExchange(x)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, named)
	}
	return out
}

// newExchange names what was replaced in x.
func newExchange(x evidence.Exchange) (*exchange, error) {
	raw, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	raw = replacedName.ReplaceAllFunc(raw, func(word []byte) []byte {
		m := replacedName.FindSubmatch(word)
		n := 1
		if len(m[2]) > 0 {
			n, _ = strconv.Atoi(string(m[2]))
		}
		return []byte(standIn(string(m[1]), n))
	})
	out := exchange{host: x.Host}
	if err := json.Unmarshal(raw, &out.Exchange); err != nil {
		return nil, fmt.Errorf("exchange %s: %w", x.ID, err)
	}
	if out.Request != nil {
		if out.request, err = json.Marshal(out.Request); err != nil {
			return nil, err
		}
	}
	if out.response, err = json.Marshal(out.Answer); err != nil {
		return nil, err
	}
	out.want, _ = out.Answer.(map[string]any)
	out.path = strings.Split(strings.TrimPrefix(out.Path, "/"), "/")
	last := len(out.path) - 1
	out.path[last], out.verb, _ = strings.Cut(out.path[last], ":")
	return &out, nil
}

// given reports whether the answer tells this of the state before.
func (x *exchange) given(fact string) bool { return slices.Contains(x.Given, fact) }

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
	u, q := "https://"+x.address(), x.Query
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

// policy is the policy of a recorded answer.
func (x *exchange) policy() (iam.PolicyJSON, error) {
	var w iam.PolicyJSON
	err := json.Unmarshal(x.response, &w)
	return w, err
}

// reason is the status that an error gives by name.
func (x *exchange) reason() string {
	e, _ := x.want["error"].(map[string]any)
	s, _ := e["status"].(string)
	return s
}
