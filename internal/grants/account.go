package grants

import (
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/secret"
)

// RunID names one run of a task: 7 characters for the second, 8 random ones (40
// bits). Ids sort by time and are never used twice.
type RunID string

// Base32 in the order of its digits, so that the text sorts as the number does.
var runEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// NewRunID returns the id for a run that begins at now.
func NewRunID(now time.Time, random [5]byte) RunID {
	// 35 bits hold the seconds until the year 3058; 75 bits in all are 15 characters.
	var b [10]byte
	seconds := uint64(now.Unix()) & (1<<35 - 1)
	binary.BigEndian.PutUint64(b[:8], seconds<<29)
	tail := uint64(random[0])<<32 | uint64(binary.BigEndian.Uint32(random[1:]))
	binary.BigEndian.PutUint64(b[2:], binary.BigEndian.Uint64(b[2:])|tail<<5)
	return RunID(runEncoding.EncodeToString(b[:])[:15])
}

var runPattern = lazy.Regexp(`^[0-9a-v]{15}$`)

// ParseRunID returns s as a run id, or an error if it is not one.
func ParseRunID(s string) (RunID, error) {
	if !runPattern().MatchString(s) {
		return "", fmt.Errorf("%q is not a run id (15 characters of 0-9 and a-v)", s)
	}
	return RunID(s), nil
}

// Started returns the second in which the run began.
func (r RunID) Started() time.Time {
	b, err := runEncoding.DecodeString(string(r) + "0")
	if err != nil || len(b) != 10 {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b[:8])>>29), 0).UTC()
}

// AccountID returns the id of the service account for a run of the task:
// ti-<task cut to 11>-<run>, at most 30 characters, which is Google's limit.
func AccountID(task string, run RunID) string {
	short := strings.TrimRight(task[:min(len(task), 11)], "-")
	return "ti-" + short + "-" + string(run)
}

// AccountEmail returns the email address that Google gives the account.
func AccountEmail(id, project string) string {
	// A project inside a domain is written "example.com:p"; its accounts live at
	// p.example.com.iam.gserviceaccount.com (iam/docs/service-account-types).
	if domain, name, ok := strings.Cut(project, ":"); ok {
		project = name + "." + domain
	}
	return id + "@" + project + ".iam.gserviceaccount.com"
}

// Mark is what an account of ours carries in its description, so that it can be
// told from everybody else's: by run, never by prefix. Google allows 256 bytes.
type Mark struct {
	Version int       `json:"taskiam"`
	Task    string    `json:"task"`
	Run     RunID     `json:"run"`
	Expires time.Time `json:"expires"`
	// Began is when the run began, if that is not when its id says; else zero.
	Began time.Time `json:"began,omitzero"`
	// Job is the CI job that the run is for, as far as there is room for it; empty if
	// there is none. It is for people, and nothing goes by it.
	Job string `json:"job,omitempty"`
}

// maxDescription is how many bytes an account's description may have
// (iam/docs/reference/rest/v1/projects.serviceAccounts).
const maxDescription = 256

// Started returns when the run began, by the clock of the cloud.
func (m Mark) Started() time.Time {
	if m.Began.IsZero() {
		return m.Run.Started()
	}
	return m.Began
}

// MarkVersion is the version that this program writes and understands.
const MarkVersion = 1

// String returns the description. What of the job has no room in it is left out.
func (m Mark) String() string {
	m.Expires, m.Began = m.Expires.UTC().Truncate(time.Second), m.Began.UTC().Truncate(time.Second)
	for {
		b, err := json.Marshal(m)
		if err != nil { // a year outside 0-9999, which no validated task reaches
			panic(err)
		}
		if len(b) <= maxDescription || m.Job == "" {
			return string(b)
		}
		m.Job = strings.ToValidUTF8(m.Job[:max(0, len(m.Job)-(len(b)-maxDescription))], "")
	}
}

// ParseMark returns the mark in an account's description, and whether there is one.
func ParseMark(description string) (Mark, bool) {
	var m Mark
	dec := json.NewDecoder(strings.NewReader(description))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil || m.Version != MarkVersion || !runPattern().MatchString(string(m.Run)) {
		return Mark{}, false
	}
	if _, err := dec.Token(); err != io.EOF { // more than a mark is none
		return Mark{}, false
	}
	return m, true
}

// Account is a service account as Google describes it.
type Account struct {
	Email       string
	UniqueID    string // 21 digits; another account of the same name has another one
	Project     string
	Description string
	Disabled    bool
}

// Member returns the account as policies name it.
func (a Account) Member() string { return policy.Member(a.Email) }

// Key is the public side of a service account key.
type Key struct {
	ID          string
	ValidBefore time.Time
}

// Token is an access token and when it ends.
type Token struct {
	Value   secret.String
	Expires time.Time
}

// Role is a role and the permissions behind it.
type Role struct {
	Name        string // roles/storage.objectViewer
	Title       string
	Description string
	Stage       string // "" is ALPHA
	Permissions []string
	Etag        string // "" if Google sent none
	Deleted     bool
}

// Bucket is what a bucket's metadata says of access to it.
type Bucket struct {
	Uniform bool   // uniform bucket-level access, without which a policy takes no conditions
	Project string // the number of the project that it is in
}

// Identity is a principal that a credential speaks for.
type Identity struct {
	// Member is how policies name it: user:a@example.com, serviceAccount:….
	Member string
	// Email is its address; empty for a federated principal.
	Email string
}

// DefaultAccounts is how many service accounts a project may have, if nobody raised that.
// No API of IAM tells (iam/quotas).
const DefaultAccounts = 100

// Constraint is what a constraint of organisation policies comes to on a project. The
// zero Constraint is not in force.
type Constraint struct {
	Enforced bool
	Allowed  []string // the values that it allows, if it is of those that have values
}

// Longest returns the longest duration that it allows; 0 if it allows none by name.
func (c Constraint) Longest() time.Duration {
	longest := time.Duration(0)
	for _, v := range c.Allowed {
		if d, err := time.ParseDuration(v); err == nil {
			longest = max(longest, d)
		}
	}
	return longest
}

// Span writes a duration without the parts that are zero: 2h, not 2h0m0s.
func Span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
