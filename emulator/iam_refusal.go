package emulator

import "fmt"

// refusal is why IAM does not do what it was asked.
type refusal struct {
	Status  string // one of google.rpc.Code: "INVALID_ARGUMENT"
	Message string
	Details []any
}

func (r *refusal) Error() string { return r.Status + ": " + r.Message }

// with adds details.
func (r *refusal) with(details ...any) *refusal {
	r.Details = append(r.Details, details...)
	return r
}

func refuse(status, format string, args ...any) *refusal {
	return &refusal{Status: status, Message: fmt.Sprintf(format, args...)}
}

func refuseInvalid(format string, args ...any) *refusal {
	return refuse("INVALID_ARGUMENT", format, args...)
}

// refuseStale is the answer to an etag that is no longer that of the policy.
func refuseStale() *refusal {
	return refuse("ABORTED",
		"There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.")
}

// refuseUnknown is the answer about a container that does not exist. It is the same as about
// one that the caller must not see.
func refuseUnknown() *refusal {
	return refuse("PERMISSION_DENIED", "The caller does not have permission")
}

// refuseByPolicy is the refusal by an organization policy (iam/docs/troubleshoot-org-policies).
func refuseByPolicy(constraint, subject, message string) *refusal {
	return refuse("FAILED_PRECONDITION", "%s", message).with(map[string]any{
		"@type":      "type.googleapis.com/google.rpc.PreconditionFailure",
		"violations": []any{map[string]any{"type": constraintsName + constraint, "subject": subject, "description": message}},
	})
}
