package certify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/wait"
)

const (
	iamAt     = "https://iam.googleapis.com/v1/"
	mintAt    = "https://iamcredentials.googleapis.com/v1/"
	managerAt = "https://cloudresourcemanager.googleapis.com/v1/projects/"
	storageAt = "https://storage.googleapis.com/storage/v1/b"
	uploadAt  = "https://storage.googleapis.com/upload/storage/v1/b/"
	secretsAt = "https://secretmanager.googleapis.com/v1/"
)

// site is the project while probes are at work in it.
type site struct {
	*Survey
	mu       sync.Mutex // of made, which several goroutines add to
	id       string     // of the certification, in the ids of its evidence
	doubt    string     // that is being probed
	asked    int        // exchanges recorded of it
	made     []made
	evidence []evidence.Exchange
	secrets  []secret.String

	bucketName, secretName string
	owns                   bool // the operator may have been made an owner of the project
	accounts               map[string]*account
	crowd                  []*account
}

func (s *Survey) site() *site { return &site{Survey: s, accounts: map[string]*account{}} }

// names are what must not be written, and what stands in their places.
func (w *site) names() map[string]string {
	out := map[string]string{w.cfg.Project: "{project}", w.number: "{project-number}", w.suffix: "{suffix}"}
	if w.operator.Email != "" {
		out[w.operator.Email] = "{operator}"
	}
	for _, a := range w.accounts {
		out[a.email] = "{account}"
	}
	return out
}

// request is one call, as it is to be made.
type request struct {
	as      *gcp.Client // nil is the operator
	method  string
	url     string
	body    any // JSON
	raw     []byte
	header  http.Header
	about   string   // what it shows, if it is evidence
	given   []string // what the evidence takes for granted
	quotaed bool     // an answer 429 is what is looked for
}

// answer is what came back.
type answer struct {
	gcp.Answer
	request
	json map[string]any
}

// failure returns the status, or the reason, of an error by its name.
func (a answer) failure() string {
	e, _ := a.json["error"].(map[string]any)
	if s, ok := e["status"].(string); ok {
		return s
	}
	list, _ := e["errors"].([]any)
	for _, v := range list {
		first, _ := v.(map[string]any)
		s, _ := first["reason"].(string)
		return s
	}
	return ""
}

// detail reports whether an error has a detail of this type.
func (a answer) detail(kind string) bool {
	e, _ := a.json["error"].(map[string]any)
	list, _ := e["details"].([]any)
	for _, v := range list {
		d, _ := v.(map[string]any)
		if s, _ := d["@type"].(string); strings.HasSuffix(s, "/"+kind) {
			return true
		}
	}
	return false
}

// constrained reports whether an organization policy refused.
func (a answer) constrained() bool {
	return a.failure() == "FAILED_PRECONDITION" && (strings.Contains(string(a.Body), "constraints/") ||
		strings.Contains(a.message(), "not allowed"))
}

func (a answer) message() string {
	e, _ := a.json["error"].(map[string]any)
	s, _ := e["message"].(string)
	return s
}

// short is the answer in a few words.
func (a answer) short() string { return strings.TrimSpace(strconv.Itoa(a.Status) + " " + a.failure()) }

// unexpected is the error that an answer is while doing something.
func (a answer) unexpected(doing string) error {
	err := fmt.Errorf("%s: %s %s was answered %s: %s", doing, a.method, withoutQuery(a.url), a.short(), a.message())
	if a.detail("google.rpc.ErrorInfo") && strings.Contains(string(a.Body), disabled) {
		return fault.WithHint(err, "gcloud services enable iam.googleapis.com iamcredentials.googleapis.com "+
			"cloudresourcemanager.googleapis.com storage.googleapis.com secretmanager.googleapis.com")
	}
	if a.Status == http.StatusForbidden {
		return fault.WithHint(err, "certify needs roles/owner on the project")
	}
	return err
}

func withoutQuery(url string) string {
	before, _, _ := strings.Cut(url, "?")
	return before
}

// ask makes a call, again where Google asks for that.
func (w *site) ask(ctx context.Context, r request) (answer, error) {
	who, header, body := r.as, r.header, r.raw
	if who == nil {
		who = w.op
	}
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return answer{}, err
		}
		body, header = b, http.Header{"Content-Type": {"application/json"}}
	}
	for try := 0; ; try++ {
		got, err := who.Exchange(ctx, r.method, r.url, header, body)
		again := fault.Is(err, fault.Unavailable) || err == nil && (got.Status >= http.StatusInternalServerError ||
			got.Status == http.StatusTooManyRequests && !r.quotaed)
		if !again || try == maxTries || got.Status == http.StatusNotImplemented {
			if err != nil {
				return answer{}, err
			}
			a := answer{Answer: got, request: r}
			_ = json.Unmarshal(got.Body, &a.json) // an answer of another form has no fields
			return a, w.record(a, body)
		}
		if err := w.cfg.Wait(ctx, wait.Jitter(time.Second, try, 20*time.Second)); err != nil {
			return answer{}, err
		}
	}
}

const maxTries = 5

// record keeps the exchange as evidence, if it is any.
func (w *site) record(a answer, body []byte) error {
	if a.about == "" {
		return nil
	}
	names := map[string]string{w.cfg.Project: "project", w.number: "project-number"}
	x, err := evidence.Describe(evidence.Raw{
		Method: a.method, URL: a.url, Request: body, Status: a.Status, Answer: a.Body,
	}, evidence.Terms{Operator: w.operator.Email, Names: names, NoEtags: true})
	if err != nil {
		return err
	}
	w.asked++
	x.ID, x.About = fmt.Sprintf("%s/%s-%d", w.id, w.doubt, w.asked), a.about
	x.Recorded = w.cfg.App.Now().UTC().Format(time.DateOnly)
	x.Grade, x.Source = "A", "taskiam emulator certify"
	if w.Cloud != "google" { // an emulator proves nothing about Google
		x.Grade, x.Source = "D", "taskiam emulator certify, against the emulator"
	}
	x.Given = append(x.Given, a.given...)
	w.evidence = append(w.evidence, x)
	return nil
}

// done makes a call that has to come off. What is new may not be seen everywhere yet: it is tried again for a while.
func (w *site) done(ctx context.Context, doing string, r request) (answer, error) {
	var last answer
	_, err := w.until(ctx, doing, settle, func() (bool, error) {
		var err error
		if last, err = w.ask(ctx, r); err != nil {
			return false, fmt.Errorf("%s: %w", doing, err)
		}
		switch {
		case last.Status/100 == 2:
			return true, nil
		case last.constrained():
			return false, untried("an organization policy refuses it (" + doing + "): " + last.message())
		case last.Status == http.StatusNotFound, last.Status == http.StatusConflict && last.failure() == "ABORTED",
			last.Status == http.StatusBadRequest && strings.Contains(last.message(), "does not exist"):
			return false, nil
		}
		return false, last.unexpected(doing)
	})
	if err == nil || last.Status == 0 || !errors.Is(err, errNotYet) {
		return last, err
	}
	return last, last.unexpected(doing)
}

// How long it may take until everything at Google knows of a change, and how often one looks.
const (
	settle = 3 * time.Minute
	pause  = 5 * time.Second
)

var errNotYet = errors.New("it has not come about")

// until tries until it is done, and says after how long.
func (w *site) until(
	ctx context.Context, what string, limit time.Duration, try func() (bool, error),
) (time.Duration, error) {
	for waited := time.Duration(0); ; waited += pause {
		if done, err := try(); done || err != nil {
			return waited, err
		}
		if waited >= limit {
			return waited, fmt.Errorf("%s: %w after %s", what, errNotYet, limit)
		}
		if err := w.cfg.Wait(ctx, pause); err != nil {
			return waited, err
		}
	}
}

// untried is why a doubt cannot be tried here.
type untried string

func (u untried) Error() string { return string(u) }

// account is a service account of the certification.
type account struct {
	email string
	as    *gcp.Client // with a token of its own, once it has a key
	keyID string
}

func (a *account) member() string { return "serviceAccount:" + a.email }

func (w *site) accountURL(email string) string {
	return iamAt + "projects/" + w.cfg.Project + "/serviceAccounts/" + email
}

// mark says whose the account is.
const mark = "made by taskiam emulator certify, and to be deleted"

// create asks for an account, and remembers it before.
func (w *site) create(ctx context.Context, name string, r request) (*account, answer, error) {
	id := "tc-" + w.suffix + "-" + name
	a := &account{email: id + "@" + w.cfg.Project + ".iam.gserviceaccount.com"}
	w.remember("service account "+a.email, w.accountURL(a.email))
	r.method, r.url = http.MethodPost, iamAt+"projects/"+w.cfg.Project+"/serviceAccounts"
	r.body = map[string]any{"accountId": id, "serviceAccount": map[string]any{"description": mark}}
	got, err := w.ask(ctx, r)
	return a, got, err
}

// account makes an account, or returns the one of that name.
func (w *site) account(ctx context.Context, name string) (*account, error) {
	if a := w.accounts[name]; a != nil {
		return a, nil
	}
	a, got, err := w.create(ctx, name, request{})
	switch doing := "creating service account " + a.email; {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", doing, err)
	case got.constrained():
		return nil, untried("an organization policy refuses service accounts: " + got.message())
	case got.Status != http.StatusOK:
		return nil, got.unexpected(doing)
	}
	w.accounts[name] = a
	return a, nil
}

// keyed makes an account with a key, and a token made with that.
func (w *site) keyed(ctx context.Context, name string) (*account, error) {
	a, err := w.account(ctx, name)
	if err != nil || a.as != nil {
		return a, err
	}
	got, err := w.done(ctx, "creating a key of "+a.email, request{
		method: http.MethodPost, url: w.accountURL(a.email) + "/keys", body: map[string]any{},
	})
	if err != nil {
		return nil, err
	}
	path, _ := got.json["name"].(string)
	data, _ := got.json["privateKeyData"].(string)
	file, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil, fmt.Errorf("reading the key of %s: %w", a.email, err)
	}
	a.keyID = path[strings.LastIndex(path, "/")+1:]
	private := secret.New(string(file))
	w.secrets = append(w.secrets, private, secret.New(data))
	_, err = w.until(ctx, "exchanging the key of "+a.email, settle, func() (bool, error) {
		t, err := w.op.KeyToken(ctx, private)
		if fault.Is(err, fault.Unauthenticated) && !fault.Local(err) { // the key is not seen yet
			return false, nil
		}
		if err != nil {
			return false, err
		}
		w.secrets = append(w.secrets, t.Value)
		a.as = w.op.As(gcp.StaticToken(t.Value))
		return true, nil
	})
	return a, err
}

// bucket makes the bucket, once.
func (w *site) bucket(ctx context.Context) (string, error) {
	if w.bucketName != "" {
		return w.bucketName, nil
	}
	name := "taskiam-certify-" + w.suffix
	w.rememberBucket(name)
	_, err := w.done(ctx, "creating bucket "+name, request{
		method: http.MethodPost, url: storageAt + "?project=" + w.cfg.Project, body: map[string]any{
			"name": name, "location": "US", "labels": map[string]any{"taskiam": "certify"},
			"iamConfiguration": map[string]any{"uniformBucketLevelAccess": map[string]any{"enabled": true}},
		},
	})
	if err == nil {
		w.bucketName = name
	}
	return name, err
}

// secret makes the secret with its version, once.
func (w *site) secret(ctx context.Context) (string, error) {
	if w.secretName != "" {
		return w.secretName, nil
	}
	name := "tc-" + w.suffix + "-secret"
	parent := secretsAt + "projects/" + w.cfg.Project + "/secrets"
	w.remember("secret "+name, parent+"/"+name)
	if _, err := w.done(ctx, "creating secret "+name, request{
		method: http.MethodPost, url: parent + "?secretId=" + url.QueryEscape(name), body: map[string]any{
			"replication": map[string]any{"automatic": map[string]any{}},
			"labels":      map[string]any{"taskiam": "certify"},
		},
	}); err != nil {
		return name, err
	}
	_, err := w.done(ctx, "adding a version to secret "+name, request{
		method: http.MethodPost, url: parent + "/" + name + ":addVersion",
		body: map[string]any{"payload": map[string]any{"data": "eA=="}},
	})
	if err == nil {
		w.secretName = name
	}
	return name, err
}
