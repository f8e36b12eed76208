package gcp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"

	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/secret"
)

// said returns an answer as Google's clients report it.
func said(t *testing.T, code int, header http.Header, body string) error {
	t.Helper()
	err := googleapi.CheckResponse(&http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(body))})
	if err == nil {
		t.Fatalf("%d is no error", code)
	}
	return err
}

func TestClassify(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		err    error
		want   fault.Error // but for Err, and Message where it is empty
		hints  []string
		config Config
	}{
		{
			name: "permission denied",
			err: said(t, 403, nil, `{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
				"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"IAM_PERMISSION_DENIED",
				"domain":"iam.googleapis.com","metadata":{"permission":"iam.serviceAccounts.getAccessToken"}}]}}`),
			want:  fault.Error{Kind: fault.Denied, Code: 403, Status: "PERMISSION_DENIED", Reason: "IAM_PERMISSION_DENIED"},
			hints: []string{"this needs the permission iam.serviceAccounts.getAccessToken"},
		},
		{
			name: "API not enabled",
			err: said(t, 403, nil, `{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",
				"reason":"SERVICE_DISABLED","metadata":{"service":"iam.googleapis.com","consumer":"projects/123"}}]}}`),
			want:  fault.Error{Kind: fault.Precondition, Code: 403, Status: "PERMISSION_DENIED", Reason: "SERVICE_DISABLED"},
			hints: []string{"gcloud services enable iam.googleapis.com --project=123"},
		},
		{
			name: "API not enabled, older envelope",
			err:  said(t, 403, nil, `{"error":{"code":403,"errors":[{"reason":"accessNotConfigured","domain":"usageLimits"}]}}`),
			want: fault.Error{Kind: fault.Precondition, Code: 403, Reason: "accessNotConfigured"},
		},
		{
			name: "project shut down",
			err: said(t, 403, nil, `{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",
				"reason":"CONSUMER_INVALID","metadata":{"service":"iam.googleapis.com","consumer":"projects/p"}}]}}`),
			want: fault.Error{Kind: fault.Precondition, Code: 403, Status: "PERMISSION_DENIED", Reason: "CONSUMER_INVALID"},
			hints: []string{"project p is shut down or does not exist", "gcloud projects describe p",
				"gcloud projects undelete p   # within 30 days"},
		},
		{
			name:   "project of the environment shut down",
			config: Config{QuotaProject: "payer"},
			err: said(t, 403, nil, `{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",
				"reason":"CONSUMER_INVALID","metadata":{"service":"iam.googleapis.com","consumer":"projects/payer"}}]}}`),
			want:  fault.Error{Kind: fault.Precondition, Code: 403, Status: "PERMISSION_DENIED", Reason: "CONSUMER_INVALID"},
			hints: []string{"GOOGLE_CLOUD_QUOTA_PROJECT says that project payer pays, which is shut down or does not exist"},
		},
		{
			name: "quota project may not be used",
			err: said(t, 403, nil, `{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",
				"reason":"USER_PROJECT_DENIED","metadata":{"service":"iam.googleapis.com","consumer":"projects/p"}}]}}`),
			want:  fault.Error{Kind: fault.Denied, Code: 403, Status: "PERMISSION_DENIED", Reason: "USER_PROJECT_DENIED"},
			hints: []string{"gcloud auth application-default set-quota-project PROJECT"},
		},
		{
			name:   "quota project of the environment",
			config: Config{QuotaProject: "payer"},
			err: said(t, 403, nil, `{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",
				"reason":"USER_PROJECT_DENIED","metadata":{"service":"iam.googleapis.com","consumer":"projects/payer"}}]}}`),
			want: fault.Error{Kind: fault.Denied, Code: 403, Status: "PERMISSION_DENIED", Reason: "USER_PROJECT_DENIED"},
			hints: []string{"GOOGLE_CLOUD_QUOTA_PROJECT says that project payer pays: unset it, or name one in which you have " +
				"roles/serviceusage.serviceUsageConsumer"},
		},
		{
			name: "organisation policy",
			err: said(t, 400, nil, `{"error":{"code":400,"message":"Key creation is not allowed on this service account.","status":"FAILED_PRECONDITION",
				"details":[{"@type":"type.googleapis.com/google.rpc.PreconditionFailure","violations":[{"type":"constraints/iam.disableServiceAccountKeyUpload"}]}]}}`),
			want: fault.Error{Kind: fault.Precondition, Code: 400, Status: "FAILED_PRECONDITION", Constraint: "constraints/iam.disableServiceAccountKeyUpload"},
		},
		{
			name: "rate limit of Compute Engine's",
			err:  said(t, 403, nil, `{"error":{"code":403,"errors":[{"reason":"rateLimitExceeded","domain":"usageLimits"}]}}`),
			want: fault.Error{Kind: fault.Throttled, Code: 403, Reason: "rateLimitExceeded"},
		},
		{
			name: "rate limit of the newer kind",
			err: said(t, 429, http.Header{"Retry-After": {"3"}}, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[
				{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED"},
				{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"}]}}`),
			want: fault.Error{Kind: fault.Throttled, Code: 429, Status: "RESOURCE_EXHAUSTED", Reason: "RATE_LIMIT_EXCEEDED", RetryAfter: 3 * time.Second},
		},
		{
			name: "conflict without a status",
			err:  said(t, 409, nil, `{"error":{"code":409,"errors":[{"reason":"conflict"}]}}`),
			want: fault.Error{Kind: fault.Conflict, Code: 409, Reason: "conflict"},
		},
		{
			name: "already there, as Storage says it",
			err:  said(t, 409, nil, `{"error":{"code":409,"errors":[{"reason":"duplicate"}]}}`),
			want: fault.Error{Kind: fault.Exists, Code: 409, Reason: "duplicate"},
		},
		{
			name:   "login that Google does not accept",
			err:    said(t, 401, nil, `{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}`),
			config: Config{Credential: EmulatorLogin(secret.New("old"))},
			want:   fault.Error{Kind: fault.Unauthenticated, Code: 401, Status: "UNAUTHENTICATED"},
			hints:  []string{emulatorCommand},
		},
		{
			name: "tokeninfo of a federated token",
			err:  said(t, 400, nil, `{"error":"invalid_token","error_description":"Invalid Value"}`),
			want: fault.Error{Kind: fault.Unauthenticated, Code: 400, Reason: "invalid_token", Message: "Invalid Value"},
		},
		{
			name: "refresh token revoked",
			err: &url.Error{Op: "Post", URL: "https://iam.googleapis.com/v1/x", Err: loginError{&auth.Error{
				Response: &http.Response{StatusCode: 400}, Body: []byte(`{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`)}}},
			config: Config{Credential: &defaultLogin{hints: []string{loginCommand}}},
			want:   fault.Error{Kind: fault.Unauthenticated, Code: 400, Reason: "invalid_grant", Message: "fetching a token: Token has been expired or revoked.", Unsent: true},
			hints:  []string{loginCommand},
		},
		{
			name: "login that cannot even ask",
			err: &url.Error{Op: "Post", URL: "https://iam.googleapis.com/v1/x",
				Err: loginError{errors.New("the subject token's file is empty")}},
			config: Config{Credential: &defaultLogin{hints: []string{loginCommand}}},
			want:   fault.Error{Kind: fault.Unauthenticated, Message: "fetching a token: the subject token's file is empty", Unsent: true},
			hints:  []string{loginCommand},
		},
		{
			name: "token endpoint out of reach",
			err: &url.Error{Op: "Post", URL: "https://iam.googleapis.com/v1/x", Err: loginError{
				&url.Error{Op: "Post", URL: "https://oauth2.googleapis.com/token", Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}}}},
			want:  fault.Error{Kind: fault.Unavailable, Lasting: true, Unsent: true, Message: "reaching oauth2.googleapis.com: dial tcp: network is unreachable"},
			hints: []string{"check that this machine can reach https://oauth2.googleapis.com; where only a proxy can, set HTTPS_PROXY"},
		},
		{
			name: "no answer in time",
			err:  &url.Error{Op: "Get", URL: "https://iam.googleapis.com/v1/x", Err: context.DeadlineExceeded},
			want: fault.Error{Kind: fault.Unavailable, Message: "iam.googleapis.com: no answer within 30s"},
		},
		{
			name: "answer cut off",
			err:  io.ErrUnexpectedEOF,
			want: fault.Error{Kind: fault.Unavailable, Message: "unexpected EOF"},
		},
		{
			name: "certificate of somebody else's",
			err: &url.Error{Op: "Get", URL: "https://iam.googleapis.com/v1/x",
				Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}},
			want:  fault.Error{Kind: fault.Unavailable, Lasting: true, Unsent: true},
			hints: []string{"behind a proxy that opens TLS, set SSL_CERT_FILE to its certificate"},
		},
		{
			name:   "no emulator",
			err:    &url.Error{Op: "Get", URL: "https://iam.googleapis.com/v1/x", Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}},
			config: Config{EmulatorHost: "127.0.0.1:8790"},
			want:   fault.Error{Kind: fault.Unavailable, Message: "no emulator listens at 127.0.0.1:8790", Lasting: true, Unsent: true},
			hints:  []string{"taskiam emulator", "unset TASKIAM_EMULATOR_HOST to speak to Google Cloud"},
		},
		{
			name: "an answer that does not parse",
			err:  &json.SyntaxError{},
			want: fault.Error{Kind: fault.Other},
		},
		{
			name: "XML of a front end's",
			err:  said(t, 404, nil, `<?xml version='1.0'?><Error/>`),
			want: fault.Error{Kind: fault.NotFound, Code: 404, Message: "Not Found"},
		},
		{
			name: "classified already",
			err:  &url.Error{Op: "Get", URL: "https://iam.googleapis.com/v1/x", Err: &fault.Error{Kind: fault.Unauthenticated, Message: "no login"}},
			want: fault.Error{Kind: fault.Unauthenticated, Message: "no login"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := New(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			err = c.classify(tt.err)
			var f *fault.Error
			if !errors.As(err, &f) {
				t.Fatalf("%v is not classified", err)
			}
			got := *f
			got.Err = nil
			if tt.want.Message == "" {
				got.Message = ""
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("fault (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.hints, fault.Hints(err)); diff != "" {
				t.Errorf("hints (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusedEmulatorIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	tries := 0
	c := newTestClient(t, roundTripper(func(*http.Request) (*http.Response, error) {
		tries++
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}), func(cfg *Config) { cfg.EmulatorHost = "127.0.0.1:8790" })
	_, err := c.Role(t.Context(), "roles/viewer")
	if tries != 1 || !fault.Is(err, fault.Unavailable) {
		t.Errorf("%d tries, then %v; want one", tries, err)
	}
	if got, want := err.Error(), "no emulator listens at 127.0.0.1:8790"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestRetryAfterAsDate(t *testing.T) {
	t.Parallel()
	header := http.Header{"Retry-After": {time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)}}
	if got := retryAfter(header); got < 50*time.Second || got > time.Minute {
		t.Errorf("retryAfter = %s, want about a minute", got)
	}
	for _, bad := range []string{"", "soon", "-3", "Mon, 01 Jan 2001 00:00:00 GMT"} {
		if got := retryAfter(http.Header{"Retry-After": {bad}}); got != 0 {
			t.Errorf("retryAfter(%q) = %s, want 0", bad, got)
		}
	}
}

// TestClassifyRecorded classifies answers that Google gave, or documents.
func TestClassifyRecorded(t *testing.T) {
	t.Parallel()
	// What the exchange of this number is. Those not listed are decided by their code.
	special := map[string]fault.Kind{
		"19":  fault.Exists,          // grade A: the id is taken
		"151": fault.Conflict,        // stale etag
		"158": fault.Precondition,    // organisation policy
		"169": fault.Precondition,    // role id marked for deletion
		"167": fault.Exists,          // with ResourceInfo
		"173": fault.Unauthenticated, // token endpoint: invalid_grant
		"176": fault.Conflict,        // Storage: stale etag
	}
	byCode := map[int]fault.Kind{400: fault.Invalid, 401: fault.Unauthenticated, 403: fault.Denied, 404: fault.NotFound, 429: fault.Throttled, 503: fault.Unavailable}
	known, err := evidence.Read("../../emulator/evidence")
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, x := range known {
		if x.Status < 400 {
			continue
		}
		checked++
		want, ok := special[x.ID]
		if !ok {
			want, ok = byCode[x.Status]
		}
		if !ok {
			t.Errorf("%s (%s): nothing says what a %d is", x.ID, x.About, x.Status)
		}
		answer, err := json.Marshal(x.Answer)
		if err != nil {
			t.Fatal(err)
		}
		err = c.classify(said(t, x.Status, nil, string(answer)))
		if got := fault.KindOf(err); got != want {
			t.Errorf("%s (%s): %v is %v, want %v", x.ID, x.About, err, got, want)
		}
		if x.ID == "158" {
			var e *fault.Error
			if errors.As(err, &e); e.Constraint != "constraints/iam.disableServiceAccountKeyCreation" {
				t.Errorf("158: constraint %q", e.Constraint)
			}
		}
		delete(special, x.ID)
	}
	if checked == 0 || len(special) > 0 {
		t.Errorf("%d exchanges checked, never seen: %v", checked, special)
	}
}
