package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// A bucket's policy travels by itself, not wrapped in a request, and its etag is the bucket's
// metageneration. Otherwise it is an allow policy like any other.

func getBucketPolicy(c *call) (any, error) {
	version, err := c.requestedVersion()
	if err != nil {
		return nil, err
	}
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	if err := c.require("storage.buckets.getIamPolicy", n); err != nil {
		return nil, err
	}
	// Other services hide conditions from readers of version 1; Cloud Storage refuses them.
	if version < 3 && b.Policy.conditional() {
		return nil, fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid",
			"Requested policy version (%d) cannot be less than the existing policy version (3).", version)
	}
	return b.policyAnswer()
}

func setBucketPolicy(c *call) (any, error) {
	var w wirePolicy
	if err := c.decode(&w); err != nil {
		return nil, err
	}
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	changed := changedRoles(b.Policy.Bindings, mergeBindings(w.Bindings))
	if err := c.requireWith("storage.buckets.setIamPolicy", n, map[string]any{modifiedGrantsByRole: changed}); err != nil {
		return nil, err
	}
	if w.Etag != "" && !sameEtag(w.Etag, counterEtag(b.Metageneration)) {
		return nil, conditionNotMet()
	}
	if !b.Uniform && slices.ContainsFunc(w.Bindings, func(b binding) bool { return b.Condition != nil }) {
		return nil, fail(http.StatusPreconditionFailed, "FAILED_PRECONDITION", "conditionNotMet",
			"PreconditionFailed: conditional bindings require uniform bucket-level access on the bucket.")
	}
	if b.Prevention && slices.ContainsFunc(w.Bindings, binding.public) {
		return nil, fail(http.StatusPreconditionFailed, "FAILED_PRECONDITION", "conditionNotMet",
			"The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced.")
	}
	o := writeOptions{
		conditions: true, public: true, convenience: true, service: "storage.", skipEtag: true, ignore: []string{"kind", "resourceId"},
		within: n.holders,
	}
	if err := b.Policy.write(c.company(), c.now, w, o); err != nil {
		return nil, err
	}
	b.Metageneration++
	b.Updated = c.now
	return b.policyAnswer()
}

// policyAnswer writes the policy of b, conditions included. The etag stands in a header too.
func (b *bucket) policyAnswer() (any, error) {
	w := wirePolicy{
		Version: 1, Bindings: b.Policy.Bindings, Etag: counterEtag(b.Metageneration),
		Extra: map[string]json.RawMessage{},
	}
	if b.Policy.conditional() {
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
	return &rawAnswer{header: header, body: body}, nil
}

func testBucketPermissions(c *call) (any, error) {
	_, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	answer, err := c.held(c.r.URL.Query()["permissions"], n, nil)
	if err != nil {
		return nil, err
	}
	if m, ok := answer.(map[string]any); ok {
		m["kind"] = "storage#testIamPermissionsResponse"
	}
	return answer, nil
}
