package emulator

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"unicode"
)

// apiError is a refusal in Google's shape.
type apiError struct {
	code     int
	status   string // canonical: "PERMISSION_DENIED"
	reason   string // of the legacy envelope: "forbidden"
	message  string
	details  []any
	header   http.Header
	location string // the header that a precondition came by, for the legacy envelope
	// oauth replaces the envelope by that of RFC 6749, section 5.2.
	oauth string
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.code, e.status, e.message) }

// fail builds a refusal. A reason in capitals ("IAM_PERMISSION_DENIED") becomes a
// google.rpc.ErrorInfo; any other is that of the legacy envelope; "" is derived
// from the status.
func fail(code int, status, reason, format string, args ...any) *apiError {
	e := &apiError{code: code, status: status, message: fmt.Sprintf(format, args...)}
	if reason != "" && unicode.IsUpper(rune(reason[0])) {
		e.details = append(e.details, errorInfo(reason, "googleapis.com", nil))
	} else {
		e.reason = reason
	}
	return e
}

// httpCodes are the HTTP codes of the statuses with which IAM refuses.
var httpCodes = map[string]int{
	"INVALID_ARGUMENT": http.StatusBadRequest, "FAILED_PRECONDITION": http.StatusBadRequest,
	"PERMISSION_DENIED": http.StatusForbidden, "ABORTED": http.StatusConflict,
}

// errorOf returns err as it is answered: a refusal of IAM in Google's shape, and what
// nobody foresaw as an internal error.
func errorOf(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if r, ok := errors.AsType[*refusal](err); ok && httpCodes[r.Status] != 0 {
		return &apiError{code: httpCodes[r.Status], status: r.Status, message: r.Message, details: r.Details}
	}
	return fail(http.StatusInternalServerError, "INTERNAL", "backendError", "%v", err)
}

func (e *apiError) withDetails(details ...any) *apiError {
	e.details = append(e.details, details...)
	return e
}

func errorInfo(reason, domain string, metadata map[string]string) map[string]any {
	m := map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain}
	if len(metadata) > 0 {
		m["metadata"] = metadata
	}
	return m
}

func notFound(format string, args ...any) *apiError {
	return fail(http.StatusNotFound, "NOT_FOUND", "notFound", format, args...)
}

func alreadyExists(format string, args ...any) *apiError {
	return fail(http.StatusConflict, "ALREADY_EXISTS", "alreadyExists", format, args...)
}

func invalid(format string, args ...any) *apiError {
	return fail(http.StatusBadRequest, "INVALID_ARGUMENT", "badRequest", format, args...)
}

// precondition is the refusal that lasts until something else changes (400).
func precondition(format string, args ...any) *apiError {
	return fail(http.StatusBadRequest, "FAILED_PRECONDITION", "failedPrecondition", format, args...)
}

// conditionNotMet is the answer of storage and BigQuery to a stale etag or generation.
func conditionNotMet() *apiError {
	e := fail(http.StatusPreconditionFailed, "FAILED_PRECONDITION", "conditionNotMet",
		"At least one of the pre-conditions you specified did not hold.")
	e.location = "If-Match"
	return e
}

// forbidden is a 403 that names neither permission nor resource.
func forbidden(format string, args ...any) *apiError {
	return fail(http.StatusForbidden, "PERMISSION_DENIED", "forbidden", format, args...)
}

// denied is the 403 of a missing permission, in the words of the service at host.
func (st *state) denied(host string, who *principal, permission string, n node) *apiError {
	if s := st.service(host); s != nil && s.Denied != nil {
		return s.Denied(who, permission, n)
	}
	return forbidden("Permission '%s' denied on resource '%s' (or it may not exist).", permission, n.full).withDetails(
		errorInfo("IAM_PERMISSION_DENIED", iamHost, map[string]string{"permission": permission, "resource": n.relative()}))
}

// unauthenticated is a 401. The reason is the ErrorInfo's.
func unauthenticated(host, reason, message string) *apiError {
	e := &apiError{code: http.StatusUnauthorized, status: "UNAUTHENTICATED", reason: "authError", message: message,
		header: http.Header{"Www-Authenticate": {`Bearer realm="https://accounts.google.com/"`}}}
	if reason == "CREDENTIALS_MISSING" {
		e.reason = "required"
	}
	return e.withDetails(errorInfo(reason, "googleapis.com", map[string]string{"service": host}))
}

// oauthError is a refusal of the token endpoint.
func oauthError(code int, kind, format string, args ...any) *apiError {
	return &apiError{code: code, oauth: kind, message: fmt.Sprintf(format, args...)}
}

// resourceInfo is the type of the detail that names a resource.
const resourceInfo = "type.googleapis.com/google.rpc.ResourceInfo"

var legacyReasons = map[string]string{
	"INVALID_ARGUMENT": "badRequest", "FAILED_PRECONDITION": "failedPrecondition", "NOT_FOUND": "notFound",
	"ALREADY_EXISTS": "alreadyExists", "ABORTED": "aborted", "PERMISSION_DENIED": "forbidden",
	"UNAUTHENTICATED": "authError", "RESOURCE_EXHAUSTED": "rateLimitExceeded", "UNIMPLEMENTED": "notImplemented",
	"INTERNAL": "backendError",
}

// envelope returns the JSON form of e for a request. Two are common: the older one,
// with errors[], answers storage and BigQuery and the discovery-based clients,
// which send prettyPrint; the newer one, with details, answers transcoded gRPC.
func (e *apiError) envelope(form errorForm, r *http.Request) any {
	if e.oauth != "" {
		return map[string]any{"error": e.oauth, "error_description": e.message}
	}
	body := map[string]any{"code": e.code, "message": e.message}
	q := r.URL.Query()
	details := e.details
	if form == storageErrors || form == legacyErrors || (q.Has("prettyPrint") && !q.Has("$alt")) {
		reason := e.reason
		if reason == "" {
			reason = legacyReasons[e.status]
		}
		item := map[string]any{"domain": "global", "message": e.message, "reason": reason}
		if e.location != "" {
			item["locationType"], item["location"] = "header", e.location
		}
		body["errors"] = []any{item}
		// The older one says what is in the way, and nothing of the resource it is about.
		details = slices.DeleteFunc(slices.Clone(details), func(d any) bool {
			m, ok := d.(map[string]any)
			return ok && m["@type"] == resourceInfo
		})
	}
	if form != storageErrors {
		body["status"] = e.status
		if len(details) > 0 {
			body["details"] = details
		}
	}
	return map[string]any{"error": body}
}
