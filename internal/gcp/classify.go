package gcp

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cloud.google.com/go/auth"
	"google.golang.org/api/googleapi"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcloud"
)

// classify turns whatever an attempt failed with into a [fault.Error], with the hints
// that are known. It decides by code, status and reason alone; what Google says in
// words changes without notice, and is only passed on.
func (c *Client) classify(err error) error {
	var known *fault.Error
	if errors.As(err, &known) { // classified where it arose, such as in a TokenSource
		return unwrapURL(err)
	}
	var api *googleapi.Error
	if errors.As(err, &api) {
		r := answer(api.Code, api.Header, []byte(api.Body))
		r.Err = err
		return c.hint(r)
	}
	var refusal *auth.Error
	if errors.As(err, &refusal) && refusal.Response != nil {
		r := answer(refusal.Response.StatusCode, refusal.Response.Header, refusal.Body)
		r.Message, r.Err, r.Unsent = "fetching a token: "+r.Message, err, true
		return c.hint(r)
	}
	var login loginError
	if errors.As(err, &login) && !unreachable(login.error) {
		return c.hint(refused{Error: &fault.Error{
			Kind: fault.Unauthenticated, Message: "fetching a token: " + login.Error(), Err: login, Unsent: true,
		}})
	}
	f := c.classifyNetwork(err)
	if e, ok := errors.AsType[*fault.Error](f); ok && login.error != nil {
		e.Unsent = true
	}
	return f
}

// classifyNetwork is for what failed before Google answered.
//
// A machine that cannot connect at its first call has no network, or a wrong proxy, and
// waiting mends neither. Once the cloud has answered, the connection is known to work, and
// a failure is one that passes.
func (c *Client) classifyNetwork(err error) error {
	if c.cfg.EmulatorHost != "" && errors.Is(err, syscall.ECONNREFUSED) {
		return fault.WithHint(&fault.Error{
			Kind:    fault.Unavailable,
			Message: "no emulator listens at " + c.cfg.EmulatorHost,
			Lasting: true, // waiting does not start one
			Unsent:  true,
			Err:     err,
		}, "taskiam emulator", "unset TASKIAM_EMULATOR_HOST to speak to Google Cloud")
	}
	f := &fault.Error{Message: unwrapURL(err).Error(), Err: err}
	host := "Google Cloud"
	if u := innermost(err); u != nil {
		f.Message = u.Err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			f.Message = fmt.Sprintf("no answer within %s", c.retry.timeout)
		}
		if at, perr := url.Parse(u.URL); perr == nil {
			host = at.Host
			f.Message = at.Host + ": " + f.Message
		}
	}
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &certificate), errors.As(err, &plain): // it will be as wrong in a second
		f.Kind, f.Lasting, f.Unsent = fault.Unavailable, true, true
		return fault.WithHint(f, "behind a proxy that opens TLS, set SSL_CERT_FILE to its certificate")
	case unconnected(err):
		f.Kind, f.Unsent, f.Lasting = fault.Unavailable, true, !c.base.reached()
		if f.Lasting {
			f.Message = "reaching " + f.Message
			return fault.WithHint(f, "check that this machine can reach https://"+host+
				"; where only a proxy can, set HTTPS_PROXY")
		}
	case unreachable(err):
		f.Kind = fault.Unavailable
	}
	return f
}

// unconnected reports whether err came before there was a connection, so that nothing was sent.
func unconnected(err error) bool {
	var name *net.DNSError
	if errors.As(err, &name) {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// unreachable reports whether err came from the connection and not from what was said
// over it. That includes an answer that ends too early, and this attempt's deadline;
// the caller's was looked at before.
func unreachable(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded)
}

// innermost returns the last [url.Error] in err's chain: that of the token endpoint,
// where a call failed because its token could not be fetched.
func innermost(err error) *url.Error {
	var u *url.Error
	if !errors.As(err, &u) {
		return nil
	}
	if deeper := innermost(u.Err); deeper != nil {
		return deeper
	}
	return u
}

// unwrapURL takes the URL off an error of net/http's: what was asked is said in
// better words by the caller.
func unwrapURL(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

// body is an error as Google words it. It holds both envelopes, that of the older
// APIs (errors) and that of the newer ones (status and details), and the OAuth
// endpoint's, where error is a string.
type body struct {
	Error       json.RawMessage `json:"error"`
	Description string          `json:"error_description"`
	Subtype     string          `json:"error_subtype"`
}

type envelope struct {
	Message string `json:"message"`
	Status  string `json:"status"`
	Errors  []struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"errors"`
	Details []detail `json:"details"`
}

// detail is any of google.rpc's error details (google/rpc/error_details.proto).
type detail struct {
	Type       string            `json:"@type"`
	Reason     string            `json:"reason"`     // ErrorInfo
	Metadata   map[string]string `json:"metadata"`   // ErrorInfo
	RetryDelay string            `json:"retryDelay"` // RetryInfo: "3.5s"
	Member     string            `json:"member"`     // ProjectIamPolicyError
	Violations []struct {        // PreconditionFailure
		Type        string `json:"type"`
		Subject     string `json:"subject"` // "orgpolicy:projects/p?configvalue=MEMBER"
		Description string `json:"description"`
	} `json:"violations"`
}

// refused is Google's answer, before hints.
type refused struct {
	*fault.Error
	info  map[string]string // ErrorInfo's metadata
	under string            // where the organisation policy that refused is in force: "projects/p"
}

// answer classifies a response that is not a success.
func answer(code int, header http.Header, data []byte) refused {
	r := refused{Error: &fault.Error{Code: code, RetryAfter: retryAfter(header)}}
	var b body
	var e envelope
	var oauth string
	if json.Unmarshal(data, &b) == nil && json.Unmarshal(b.Error, &e) != nil {
		_ = json.Unmarshal(b.Error, &oauth) // no JSON of Google's: the code alone has to do
	}
	switch {
	case oauth != "":
		r.Reason, r.Message = oauth, cmp.Or(b.Description, oauth)
		if slices.Contains(sessionOver, b.Subtype) {
			r.Message = "the session of the login is over, as its organization has set that (" + b.Subtype + ")"
		}
	case e.Message != "":
		r.Message = e.Message
	default:
		r.Message = cmp.Or(http.StatusText(code), "an answer without a reason")
	}
	r.Status = e.Status
	for _, d := range e.Details {
		if d.Reason != "" {
			r.Reason, r.info = d.Reason, d.Metadata
		}
		r.Member = cmp.Or(r.Member, d.Member)
		for _, v := range d.Violations {
			if strings.HasPrefix(v.Type, "constraints/") {
				r.Constraint = v.Type
				under, _, _ := strings.Cut(strings.TrimPrefix(v.Subject, "orgpolicy:"), "?")
				r.under = under
				if v.Description != "" && !strings.Contains(r.Message, v.Description) {
					r.Message += " " + v.Description
				}
			}
		}
		if delay, err := time.ParseDuration(d.RetryDelay); err == nil {
			r.RetryAfter = max(r.RetryAfter, delay)
		}
	}
	if r.Reason == "" && len(e.Errors) > 0 {
		r.Reason = e.Errors[0].Reason
	}
	r.Kind = kind(code, r.Status, r.Reason)
	return r
}

// Reasons under which a 403 is a matter of time. BigQuery and Compute Engine report
// their rate limits so; other services send 429.
var throttling = []string{"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}

// Reasons under which an API is not switched on in the project.
var notEnabled = []string{"SERVICE_DISABLED", "accessNotConfigured"}

// The reason under which a project that a call counts for is shut down, or does not exist.
const noConsumer = "CONSUMER_INVALID"

// OAuth's words for a grant that is no good (any more): RFC 6749, section 5.2, and
// tokeninfo's.
var badGrant = []string{"invalid_grant", "invalid_token", "invalid_client", "unauthorized_client"}

// OAuth's subtypes for a login of a person whose organization has them log in again from time to time.
var sessionOver = []string{"invalid_rapt", "rapt_required"}

// kind maps code, status and reason, in this order of trust: reason, status, code.
func kind(code int, status, reason string) fault.Kind {
	switch {
	case slices.Contains(throttling, reason):
		return fault.Throttled
	case slices.Contains(notEnabled, reason) || reason == noConsumer:
		return fault.Precondition
	case slices.Contains(badGrant, reason):
		return fault.Unauthenticated
	}
	switch code {
	case http.StatusBadRequest:
		if status == "FAILED_PRECONDITION" || reason == "failedPrecondition" {
			return fault.Precondition
		}
		return fault.Invalid
	case http.StatusUnauthorized:
		return fault.Unauthenticated
	case http.StatusForbidden:
		return fault.Denied
	case http.StatusNotFound, http.StatusGone:
		return fault.NotFound
	case http.StatusConflict:
		if status == "ALREADY_EXISTS" || reason == "alreadyExists" || reason == "duplicate" {
			return fault.Exists
		}
		return fault.Conflict
	case http.StatusPreconditionFailed:
		// Storage and BigQuery say so of a stale etag. Storage also refuses conditions so
		// where a bucket lacks uniform access, which Bucket tells beforehand.
		return fault.Conflict
	case http.StatusTooManyRequests:
		return fault.Throttled
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fault.Unavailable
	}
	return fault.Other // 501 among them: asking again does not implement it
}

// retryAfter reads the header in either of its forms, seconds or a date
// (RFC 9110, section 10.2.3).
func retryAfter(header http.Header) time.Duration {
	v := header.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// hint adds the next step to an answer, where it is known.
func (c *Client) hint(r refused) error {
	err := error(r.Error)
	switch {
	case slices.Contains(notEnabled, r.Reason):
		service, project := r.info["service"], strings.TrimPrefix(r.info["consumer"], "projects/")
		if service == "" || project == "" {
			return err
		}
		return fault.WithHint(err, gcloud.EnableServices(project, service))
	case r.Reason == noConsumer:
		project := strings.TrimPrefix(r.info["consumer"], "projects/")
		if project == "" {
			return err
		}
		if project == c.cfg.QuotaProject {
			return fault.WithHint(err, "GOOGLE_CLOUD_QUOTA_PROJECT says that project "+project+
				" pays, which is shut down or does not exist")
		}
		return fault.WithHint(err, "project "+project+" is shut down or does not exist",
			gcloud.DescribeProject(project), gcloud.UndeleteProject(project)+"   # within 30 days")
	case r.Constraint != "" && strings.HasPrefix(r.under, "projects/"):
		return fault.WithHint(err, gcloud.DescribeConstraint(strings.TrimPrefix(r.under, "projects/"),
			strings.TrimPrefix(r.Constraint, "constraints/")))
	case r.Reason == "USER_PROJECT_DENIED" && c.cfg.QuotaProject != "":
		return fault.WithHint(err, "GOOGLE_CLOUD_QUOTA_PROJECT says that project "+c.cfg.QuotaProject+
			" pays: unset it, or name one in which you have roles/serviceusage.serviceUsageConsumer")
	case r.Reason == "USER_PROJECT_DENIED":
		return fault.WithHint(err, "gcloud auth application-default set-quota-project PROJECT")
	case r.Kind == fault.Denied && r.info["permission"] != "":
		return fault.WithHint(err, "this needs the permission "+r.info["permission"])
	case r.Kind == fault.Unauthenticated:
		if h, ok := c.cfg.Credential.(loginHinter); ok {
			return fault.WithHint(err, h.loginHints()...)
		}
	}
	return err
}
