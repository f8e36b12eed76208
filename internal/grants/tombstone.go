package grants

import (
	"strings"

	"github.com/taskiam/taskiam/internal/policy"
)

// Tombstone is a deleted service account as policies go on to name it:
// "deleted:serviceAccount:EMAIL?uid=ID" (iam/docs/deleted-principals).
type Tombstone struct {
	Email    string
	UniqueID string
}

// ParseTombstone returns the deleted service account that a member is, and whether it
// is one.
func ParseTombstone(member string) (Tombstone, bool) {
	rest, dead := strings.CutPrefix(member, policy.DeletedPrefix+policy.Member(""))
	email, uid, ok := strings.Cut(rest, "?uid=")
	if !dead || !ok || email == "" || uid == "" {
		return Tombstone{}, false
	}
	return Tombstone{email, uid}, true
}

// RunOf returns the run whose account would have this email in the project, and whether
// the email has the form of one. The form proves nothing: anybody can give it to an
// account.
func RunOf(email, project string) (RunID, bool) {
	id, _, _ := strings.Cut(email, "@")
	const prefix, length = "ti-", 15
	at := len(id) - length
	if !strings.HasPrefix(id, prefix) || at <= len(prefix) {
		return "", false
	}
	run, err := ParseRunID(id[at:])
	task := id[len(prefix) : at-1]
	if err != nil || task == "" || email != AccountEmail(AccountID(task, run), project) {
		return "", false
	}
	return run, true
}
