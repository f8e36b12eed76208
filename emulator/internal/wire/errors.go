package wire

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"unicode"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// Error is a refusal in Google's shape.
type Error struct {
	Code     int
	status   string // canonical: "PERMISSION_DENIED"
	Reason   string // of the legacy envelope: "forbidden"
	Message  string
	details  []any
	Header   http.Header
	location string // the header that a precondition came by, for the legacy envelope
	// oauth replaces the envelope by that of RFC 6749, section 5.2.
	oauth string
}

// Error is the error on one line.
func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Code, e.status, e.Message) }

// Fail builds a refusal. A reason in capitals ("IAM_PERMISSION_DENIED") becomes a
// google.rpc.ErrorInfo; any other is that of the legacy envelope; "" is derived
// from the status.
func Fail(code int, status, reason, format string, args ...any) *Error {
	e := &Error{Code: code, status: status, Message: fmt.Sprintf(format, args...)}
	if reason != "" && unicode.IsUpper(rune(reason[0])) {
		e.details = append(e.details, ErrorInfo(reason, "googleapis.com", nil))
	} else {
		e.Reason = reason
	}
	return e
}

// httpCodes are the HTTP codes of the statuses with which IAM refuses.
var httpCodes = map[string]int{
	"INVALID_ARGUMENT": http.StatusBadRequest, "FAILED_PRECONDITION": http.StatusBadRequest,
	"PERMISSION_DENIED": http.StatusForbidden, "ABORTED": http.StatusConflict,
}

// ErrorOf returns err as it is answered: a refusal of IAM in Google's shape, and any
// other error as an internal one.
func ErrorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if r, ok := errors.AsType[*iam.Refusal](err); ok && httpCodes[r.Status] != 0 {
		return &Error{Code: httpCodes[r.Status], status: r.Status, Message: r.Message, details: r.Details}
	}
	return Fail(http.StatusInternalServerError, "INTERNAL", "backendError", "%v", err)
}

// WithDetails adds details of the newer envelope.
func (e *Error) WithDetails(details ...any) *Error {
	e.details = append(e.details, details...)
	return e
}

// ErrorInfo is a detail of type google.rpc.ErrorInfo.
func ErrorInfo(reason, domain string, metadata map[string]string) map[string]any {
	m := map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain}
	if len(metadata) > 0 {
		m["metadata"] = metadata
	}
	return m
}

// NotFound is a 404.
func NotFound(format string, args ...any) *Error {
	return Fail(http.StatusNotFound, "NOT_FOUND", "notFound", format, args...)
}

// AlreadyExists is a 409.
func AlreadyExists(format string, args ...any) *Error {
	return Fail(http.StatusConflict, "ALREADY_EXISTS", "alreadyExists", format, args...)
}

// Invalid is a 400.
func Invalid(format string, args ...any) *Error {
	return Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "badRequest", format, args...)
}

// Precondition is the refusal that lasts until something else changes (400).
func Precondition(format string, args ...any) *Error {
	return Fail(http.StatusBadRequest, "FAILED_PRECONDITION", "failedPrecondition", format, args...)
}

// ConditionNotMet is the answer of storage and BigQuery to a stale etag or generation.
func ConditionNotMet() *Error {
	e := Fail(http.StatusPreconditionFailed, "FAILED_PRECONDITION", "conditionNotMet",
		"At least one of the pre-conditions you specified did not hold.")
	e.location = "If-Match"
	return e
}

// Forbidden is a 403 that names neither permission nor resource.
func Forbidden(format string, args ...any) *Error {
	return Fail(http.StatusForbidden, "PERMISSION_DENIED", "forbidden", format, args...)
}

// denied is the 403 of a missing permission, in the words of the service at host.
func (st *State) denied(host string, who *iam.Principal, permission string, n iam.Node) *Error {
	if s := st.Service(host); s != nil && s.Denied != nil {
		return s.Denied(who, permission, n)
	}
	return Forbidden("Permission '%s' denied on resource '%s' (or it may not exist).", permission, n.Full).WithDetails(
		ErrorInfo("IAM_PERMISSION_DENIED", iam.Host,
			map[string]string{"permission": permission, "resource": n.Relative()}))
}

// unauthenticated is a 401. The reason is the ErrorInfo's.
func unauthenticated(host, reason, message string) *Error {
	e := &Error{Code: http.StatusUnauthorized, status: "UNAUTHENTICATED", Reason: "authError", Message: message,
		Header: http.Header{"Www-Authenticate": {`Bearer realm="https://accounts.google.com/"`}}}
	if reason == "CREDENTIALS_MISSING" {
		e.Reason = "required"
	}
	return e.WithDetails(ErrorInfo(reason, "googleapis.com", map[string]string{"service": host}))
}

// LoginRequired is the 401 of a call without a login that takes more than everybody may.
func LoginRequired(format string, args ...any) *Error {
	e := unauthenticated("", "CREDENTIALS_MISSING", fmt.Sprintf(format, args...))
	e.location, e.details = "Authorization", nil
	return e
}

// OAuthError is a refusal of the token endpoint.
func OAuthError(code int, kind, format string, args ...any) *Error {
	return &Error{Code: code, oauth: kind, Message: fmt.Sprintf(format, args...)}
}

// ResourceInfo is the type of the detail that names a resource.
const ResourceInfo = "type.googleapis.com/google.rpc.ResourceInfo"

var legacyReasons = map[string]string{
	"INVALID_ARGUMENT": "badRequest", "FAILED_PRECONDITION": "failedPrecondition", "NOT_FOUND": "notFound",
	"ALREADY_EXISTS": "alreadyExists", "ABORTED": "aborted", "PERMISSION_DENIED": "forbidden",
	"UNAUTHENTICATED": "authError", "RESOURCE_EXHAUSTED": "rateLimitExceeded", "UNIMPLEMENTED": "notImplemented",
	"INTERNAL": "backendError",
}

// envelope returns the JSON form of e for a request. Two are common: the older one,
// with errors[], answers storage and BigQuery and the discovery-based clients,
// which send prettyPrint; the newer one, with details, answers transcoded gRPC.
func (e *Error) envelope(form ErrorForm, r *http.Request) any {
	if e.oauth != "" {
		return map[string]any{"error": e.oauth, "error_description": e.Message}
	}
	body := map[string]any{"code": e.Code, "message": e.Message}
	q := r.URL.Query()
	details := e.details
	if form == StorageErrors || form == LegacyErrors || (q.Has("prettyPrint") && !q.Has("$alt")) {
		reason := e.Reason
		if reason == "" {
			reason = legacyReasons[e.status]
		}
		item := map[string]any{"domain": "global", "message": e.Message, "reason": reason}
		if e.location != "" {
			item["locationType"], item["location"] = "header", e.location
		}
		body["errors"] = []any{item}
		// The older one says what is in the way, and nothing of the resource it is about.
		details = slices.DeleteFunc(slices.Clone(details), func(d any) bool {
			m, ok := d.(map[string]any)
			return ok && m["@type"] == ResourceInfo
		})
	}
	if form != StorageErrors {
		body["status"] = e.status
		if len(details) > 0 {
			body["details"] = details
		}
	}
	return map[string]any{"error": body}
}
