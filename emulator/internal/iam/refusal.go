package iam

import "fmt"

// Refusal is why IAM does not do what it was asked.
type Refusal struct {
	Status  string // one of google.rpc.Code: "INVALID_ARGUMENT"
	Message string
	Details []any
}

func (r *Refusal) Error() string { return r.Status + ": " + r.Message }

// with adds details.
func (r *Refusal) with(details ...any) *Refusal {
	r.Details = append(r.Details, details...)
	return r
}

func refuse(status, format string, args ...any) *Refusal {
	return &Refusal{Status: status, Message: fmt.Sprintf(format, args...)}
}

func refuseInvalid(format string, args ...any) *Refusal {
	return refuse("INVALID_ARGUMENT", format, args...)
}

// RefuseStale is the answer to an etag that is no longer that of the policy.
func RefuseStale() *Refusal {
	return refuse("ABORTED",
		"There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.")
}

// refuseUnknown is the answer about a container that does not exist. It is the same as about
// one that the caller must not see.
func refuseUnknown() *Refusal {
	return refuse("PERMISSION_DENIED", "The caller does not have permission")
}

// RefuseByOrgPolicy is the refusal by an organization policy (iam/docs/troubleshoot-org-policies).
func RefuseByOrgPolicy(constraint, subject, message string) *Refusal {
	return refuse("FAILED_PRECONDITION", "%s", message).with(map[string]any{
		"@type": "type.googleapis.com/google.rpc.PreconditionFailure",
		"violations": []any{map[string]any{"type": ConstraintsName + constraint, "subject": subject,
			"description": message}},
	})
}
