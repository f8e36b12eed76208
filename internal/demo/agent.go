package demo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"google.golang.org/api/cloudresourcemanager/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/iamcredentials/v1"
	"google.golang.org/api/option"
	"google.golang.org/api/pubsub/v1"
	"google.golang.org/api/secretmanager/v1"
	"google.golang.org/api/storage/v1"

	"github.com/taskiam/taskiam/internal/app"
)

// The agent of the demo is what a task would run: a process of its own, in the environment of
// a task, that knows nothing of taskiam. It uses Google's Go client, which finds the credential
// and the emulator as in any other program.

// probe is one thing that the agent tries.
type probe struct {
	What    string // "read gs://b/o"
	Allowed bool   // whether the manifest says that it may
	try     func(context.Context, *clients) error
}

// outcome is the result of a probe.
type outcome struct {
	What    string        `json:"what"`
	Wanted  string        `json:"wanted"` // "allowed" or "refused"
	Got     string        `json:"got"`    // one of these, or "failed"
	Detail  string        `json:"detail,omitempty"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

const (
	allowed = "allowed"
	refused = "refused"
	failed  = "failed" // neither: no answer, or an answer that is not about access
)

// clients are Google's clients. Each finds the credential by itself.
type clients struct {
	storage *storage.Service
	secrets *secretmanager.Service
	pubsub  *pubsub.Service
	minter  *iamcredentials.Service
	crm     *cloudresourcemanager.Service
	iam     *iam.Service
}

func newClients(ctx context.Context, opts ...option.ClientOption) (*clients, error) {
	var c clients
	var errs [6]error
	c.storage, errs[0] = storage.NewService(ctx, opts...)
	c.secrets, errs[1] = secretmanager.NewService(ctx, opts...)
	c.pubsub, errs[2] = pubsub.NewService(ctx, opts...)
	c.minter, errs[3] = iamcredentials.NewService(ctx, opts...)
	c.crm, errs[4] = cloudresourcemanager.NewService(ctx, opts...)
	c.iam, errs[5] = iam.NewService(ctx, opts...)
	return &c, errors.Join(errs[:]...)
}

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// probesDuring is what the agent tries while the run of tasks/demo.toml is up.
func probesDuring(email string) []probe {
	account := "projects/-/serviceAccounts/" + email
	return []probe{
		{"read gs://acme-reports/2026/01.csv", true, read("2026/01.csv")},
		{"read the secret api-key", true, readSecret("api-key")},
		{"publish to the topic reports", true, func(ctx context.Context, c *clients) error {
			_, err := c.pubsub.Projects.Topics.Publish("projects/acme-agents/topics/reports", &pubsub.PublishRequest{
				Messages: []*pubsub.PubsubMessage{{Data: base64.StdEncoding.EncodeToString([]byte("done"))}},
			}).Context(ctx).Do()
			return err
		}},
		{"read another prefix, gs://acme-reports/2025/12.csv", false, read("2025/12.csv")},
		{"read another secret, db-password", false, readSecret("db-password")},
		{"write to the bucket", false, func(ctx context.Context, c *clients) error {
			_, err := c.storage.Objects.Insert("acme-reports", &storage.Object{Name: "2026/new.csv"}).
				Media(strings.NewReader("x")).Context(ctx).Do()
			return err
		}},
		{"mint itself another token", false, func(ctx context.Context, c *clients) error {
			_, err := c.minter.Projects.ServiceAccounts.GenerateAccessToken(account,
				&iamcredentials.GenerateAccessTokenRequest{Scope: []string{cloudPlatform}}).Context(ctx).Do()
			return err
		}},
		{"make itself a key", false, func(ctx context.Context, c *clients) error {
			_, err := c.iam.Projects.ServiceAccounts.Keys.Create(account,
				&iam.CreateServiceAccountKeyRequest{}).Context(ctx).Do()
			return err
		}},
		{"bind itself roles/owner on the project", false, func(ctx context.Context, c *clients) error {
			_, err := c.crm.Projects.SetIamPolicy("projects/acme-agents", &cloudresourcemanager.SetIamPolicyRequest{
				Policy: &cloudresourcemanager.Policy{Bindings: []*cloudresourcemanager.Binding{
					{Role: "roles/owner", Members: []string{"serviceAccount:" + email}},
				}},
			}).Context(ctx).Do()
			return err
		}},
	}
}

// probesAfter is what a thief tries with a copy, once the run is down.
func probesAfter(with string) []probe {
	return []probe{
		{"read gs://acme-reports/2026/01.csv with the copied " + with, false, read("2026/01.csv")},
		{"read the secret api-key with the copied " + with, false, readSecret("api-key")},
	}
}

func read(object string) func(context.Context, *clients) error {
	return func(ctx context.Context, c *clients) error {
		answer, err := c.storage.Objects.Get("acme-reports", object).Context(ctx).Download()
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
}

func readSecret(name string) func(context.Context, *clients) error {
	return func(ctx context.Context, c *clients) error {
		_, err := c.secrets.Projects.Secrets.Versions.Access("projects/acme-agents/secrets/" + name +
			"/versions/latest").Context(ctx).Do()
		return err
	}
}

// run tries one probe and returns the result.
func (p probe) run(ctx context.Context, c *clients, now func() time.Time) outcome {
	o := outcome{What: p.What, Wanted: refused, Got: allowed}
	if p.Allowed {
		o.Wanted = allowed
	}
	begun := now()
	if err := p.try(ctx, c); err != nil {
		o.Got, o.Detail = refusal(err)
	}
	o.Elapsed = now().Sub(begun)
	return o
}

// refusal distinguishes a refusal by Google from every other failure.
func refusal(err error) (got, detail string) {
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		message := e.Message
		if message == "" { // a download's error is its body
			message = e.Body
		}
		detail = fmt.Sprintf("%d %s", e.Code, firstLine(message))
		if e.Code == http.StatusForbidden || e.Code == http.StatusUnauthorized {
			return refused, detail
		}
		return failed, detail
	}
	// The token endpoint has refused the key.
	if e, ok := errors.AsType[*auth.Error](err); ok && e.Response != nil {
		return refused, fmt.Sprintf("%d %s", e.Response.StatusCode, firstLine(string(e.Body)))
	}
	return failed, err.Error()
}

// firstLine returns the first line of an error's text, or the message in it where
// the text is the body of an answer.
func firstLine(text string) string {
	var body struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
	}
	if json.Unmarshal([]byte(text), &body) == nil {
		var inner struct {
			Message string `json:"message"`
		}
		switch {
		case body.Description != "":
			text = body.Description
		case json.Unmarshal(body.Error, &inner) == nil && inner.Message != "":
			text = inner.Message
		}
	}
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSuffix(text, ".")
}

// Arguments and variables of the demo's agent.
const (
	// AgentCommand is the hidden command of this program that has to call [RunAgent].
	AgentCommand   = "demo-agent"
	agentDuring    = "during"
	agentWithKey   = "key"
	agentWithToken = "token"
	// envThief hands the thief's agent the token that it copied.
	envThief = "TASKIAM_DEMO_TOKEN"
)

// RunAgent is the agent in one part of the story. It writes the result of each attempt to out,
// one JSON document on each line.
func RunAgent(ctx context.Context, w app.World, out io.Writer, phase, email string) error {
	var probes []probe
	var opts []option.ClientOption
	switch phase {
	case agentDuring:
		probes = probesDuring(email)
	case agentWithKey:
		probes = probesAfter("key")
	case agentWithToken:
		probes = probesAfter("token")
		opts = append(opts, bareToken(w.Getenv(envThief)))
	default:
		return fmt.Errorf("there is no part %q for the agent of the demo", phase)
	}
	c, err := newClients(ctx, opts...)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	for _, p := range probes {
		if err := enc.Encode(p.run(ctx, c, w.Now)); err != nil {
			return err
		}
	}
	return nil
}

// bareToken makes Google's clients use a token and nothing else.
func bareToken(token string) option.ClientOption {
	return option.WithAuthCredentials(auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: staticToken(token)}))
}

// staticToken is a token that is never renewed.
type staticToken string

// Token returns the token.
func (t staticToken) Token(context.Context) (*auth.Token, error) {
	return &auth.Token{Value: string(t), Type: "Bearer"}, nil
}
