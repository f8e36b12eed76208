package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// A bucket's policy travels by itself, not wrapped in a request, and its etag is the bucket's
// metageneration. Otherwise it is an allow policy like any other.

func getBucketPolicy(c *wire.Call) (any, error) {
	version, err := c.RequestedVersion()
	if err != nil {
		return nil, err
	}
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	if err := c.Require("storage.buckets.getIamPolicy", n); err != nil {
		return nil, err
	}
	// Other services hide conditions from readers of version 1; Cloud Storage refuses them.
	if version < 3 && b.Policy.Conditional() {
		return nil, wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid",
			"Requested policy version (%d) cannot be less than the existing policy version (3).", version)
	}
	return b.policyAnswer()
}

func setBucketPolicy(c *wire.Call) (any, error) {
	var w iam.PolicyJSON
	if err := c.Decode(&w); err != nil {
		return nil, err
	}
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	changed := wire.ChangedRoles(b.Policy.Bindings, iam.MergeBindings(w.Bindings))
	if err := c.RequireWith("storage.buckets.setIamPolicy", n,
		map[string]any{wire.ModifiedGrantsByRole: changed}); err != nil {
		return nil, err
	}
	if w.Etag != "" && !iam.SameEtag(w.Etag, wire.CounterEtag(b.Metageneration)) {
		return nil, wire.ConditionNotMet()
	}
	if !b.Uniform && slices.ContainsFunc(w.Bindings, func(b iam.Binding) bool { return b.Condition != nil }) {
		return nil, wire.Fail(http.StatusPreconditionFailed, "FAILED_PRECONDITION", "conditionNotMet",
			"PreconditionFailed: conditional bindings require uniform bucket-level access on the bucket.")
	}
	if b.Prevention && addsPublic(b.Policy.Bindings, w.Bindings) {
		return nil, wire.Fail(http.StatusPreconditionFailed, "FAILED_PRECONDITION", "conditionNotMet",
			"The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is "+
				"enforced.")
	}
	o := iam.WriteOptions{
		Conditions: true, Public: true, Convenience: true, Service: "storage.", SkipEtag: true,
		Ignore: []string{"kind", "resourceId"},
		Within: n.Holders,
	}
	if err := b.Policy.Write(c.Company(), c.Now, w, o); err != nil {
		if r, ok := errors.AsType[*iam.Refusal](err); ok && r.Status == "FAILED_PRECONDITION" {
			// Cloud Storage says so with the code of a stale etag, and without details.
			return nil, wire.Fail(http.StatusPreconditionFailed, r.Status, "conditionNotMet", "%s", r.Message)
		}
		return nil, err
	}
	b.Metageneration++
	b.Updated = c.Now
	return b.policyAnswer()
}

// addsPublic reports whether a role is granted to everybody that was not before. What was there when public access
// prevention came stays there, and is worth nothing (storage/docs/public-access-prevention).
func addsPublic(before, after []iam.Binding) bool {
	var had []string
	for _, b := range before {
		if b.Public() {
			for _, m := range b.Members {
				had = append(had, b.Role+" "+m)
			}
		}
	}
	return slices.ContainsFunc(after, func(b iam.Binding) bool {
		return b.Public() && slices.ContainsFunc(b.Members, func(m string) bool {
			return (m == iam.AllUsers || m == iam.AllAuthenticatedUsers) && !slices.Contains(had, b.Role+" "+m)
		})
	})
}

// policyAnswer writes the policy of b, conditions included. The etag is in a header too.
func (b *bucket) policyAnswer() (any, error) {
	w := iam.PolicyJSON{
		Version: 1, Bindings: b.Policy.Bindings, Etag: wire.CounterEtag(b.Metageneration),
		Extra: map[string]json.RawMessage{},
	}
	if b.Policy.Conditional() {
		w.Version = 3
	}
	for name, value := range map[string]string{"kind": "storage#policy", "resourceId": "projects/_/buckets/" + b.Name} {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encoding the policy of bucket %s: %w", b.Name, err)
		}
		w.Extra[name] = raw
	}
	for name, raw := range b.Policy.Extra {
		w.Extra[name] = raw
	}
	body, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encoding the policy of bucket %s: %w", b.Name, err)
	}
	header := http.Header{"Content-Type": {"application/json; charset=UTF-8"}, "Etag": {w.Etag}}
	return &wire.Raw{Header: header, Body: body}, nil
}

func testBucketPermissions(c *wire.Call) (any, error) {
	_, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	answer, err := c.AnswerHeld(c.Request.URL.Query()["permissions"], n, nil)
	if err != nil {
		return nil, err
	}
	if m, ok := answer.(map[string]any); ok {
		m["kind"] = "storage#testIamPermissionsResponse"
	}
	return answer, nil
}
