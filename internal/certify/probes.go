package certify

import (
	"context"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/internal/credentials"
)

// Doubt is one question that Google's documents leave open, as docs/fidelity.md has it.
type Doubt struct {
	Switch   string `json:"switch"` // in the table [doubts] of a seed
	Question string `json:"question"`

	Why   string `json:"why"` // why it is not tried; "" if it is
	makes []string
	try   func(context.Context, *site) (verdict, error)
}

// verdict is on which side Google is.
type verdict struct {
	other bool   // not that of the emulator without a switch
	saw   string // what showed it
	set   string // the value of the switch, "" is true
}

func (v verdict) value() string {
	if v.set != "" {
		return v.set
	}
	return "true"
}

// either is the verdict of an answer that is one of two.
func either(a answer, doing string, normal, other int) (verdict, error) {
	switch a.Status {
	case normal, other:
		return verdict{other: a.Status == other, saw: a.short()}, nil
	}
	return verdict{}, a.unexpected(doing)
}

// doubts are in the order in which they are tried: what fills the project comes last.
var doubts = []Doubt{
	{Switch: "role_patch_partial", Question: "What does a change of a custom role answer?", makes: []string{roles}, try: rolePatch},
	{Switch: "project_tags", Question: "May a project's custom role hold the permissions of tag keys?", makes: []string{roles}, try: projectTags},
	{Switch: "legacy_role_conditions", Question: "May roles/storage.legacy* be bound under a condition?", makes: []string{aFew, aBucket}, try: legacyRole},
	{Switch: "random_key_ids", Question: "How is the id of a key made?", makes: []string{aFew, keys}, try: keyIDs},
	{Switch: "system_key_hidden", Question: "Does a list of keys of all types show the key that Google manages?", makes: []string{aFew, keys}, try: systemKey},
	{Switch: "self_impersonation_first", Question: "Which refusal does an account get that makes a token of itself and may not?", makes: []string{aFew, keys}, try: selfImpersonation},
	{Switch: "key_limit_exhausted", Question: "How is the eleventh key refused?", makes: []string{aFew, keys}, try: keyLimit},
	{Switch: "upload_refusal_bare", Question: "What does the refusal of an uploaded key by an organization policy look like?", makes: []string{aFew, keys}, try: uploadRefusal},
	{Switch: "dead_tokens_unexplained", Question: "Does the 401 for a token that has died say why?", makes: []string{aFew, keys}, try: deadToken},
	{Switch: "alias_resolved", Question: "What is a secret's version called in conditions when a request says versions/latest?", makes: []string{aFew, keys, aSecret}, try: alias},
	{Switch: "sessions_judged", Question: "Does a resumable upload end with the right of whoever began it?", makes: []string{aFew, keys, aBucket}, try: session},
	{Switch: "user_owners", Question: "May setIamPolicy make a user an owner of a project?", makes: nil, try: userOwner},
	{Switch: "tombstone_lag", Question: "When does serviceAccount:E in policies become deleted:serviceAccount:E?uid=U?", makes: []string{aFew, bindings}, try: tombstoneLag},
	{Switch: "tombstones_uncounted", Question: "Do members of deleted accounts count towards the 1,500 of a policy?", makes: []string{aFew, bindings}, try: tombstones},
	{Switch: "account_quota_precondition", Question: "How is an account over the quota refused?", makes: []string{aCrowd}, try: accountQuota},
	{Switch: "tombstone_days", Question: "When are members of deleted accounts purged?", Why: "it takes up to 60 days"},
	{Switch: "role_grace_days", Question: "When can a deleted custom role no longer come back?", Why: "it takes 7 to 14 days"},
	{Switch: "role_reuse_days", Question: "When is the id of a deleted custom role free again?", Why: "it takes up to 44 days"},
}

// role makes a custom role, or is refused.
func (w *site) role(ctx context.Context, name, permission, about string) (id string, a answer, err error) {
	id = "taskiam_certify_" + w.suffix + "_" + name
	at := iamAt + "projects/" + w.cfg.Project + "/roles"
	w.remember("custom role "+id, at+"/"+id)
	a, err = w.ask(ctx, request{method: http.MethodPost, url: at, about: about, body: map[string]any{
		"roleId": id, "role": map[string]any{"title": "certify", "includedPermissions": []string{permission}},
	}})
	return at + "/" + id, a, err
}

func rolePatch(ctx context.Context, w *site) (verdict, error) {
	at, got, err := w.role(ctx, "patch", "resourcemanager.projects.get", "")
	if err != nil {
		return verdict{}, err
	}
	if got.Status != http.StatusOK {
		return verdict{}, got.unexpected("creating a custom role")
	}
	got, err = w.done(ctx, "changing the title of a custom role", request{
		method: http.MethodPatch, url: at + "?updateMask=title", body: map[string]any{"title": "certified"},
		about: "iam.roles.patch of the title alone",
	})
	if err != nil {
		return verdict{}, err
	}
	if got.json["includedPermissions"] == nil {
		return verdict{other: true, saw: "the answer lacks the permissions, which were not changed"}, nil
	}
	return verdict{saw: "the answer is the whole role"}, nil
}

func projectTags(ctx context.Context, w *site) (verdict, error) {
	_, got, err := w.role(ctx, "tags", "resourcemanager.tagKeys.get", "iam.roles.create with a permission of tag keys")
	if err != nil {
		return verdict{}, err
	}
	v, err := either(got, "creating a custom role with a permission of tag keys", http.StatusBadRequest, http.StatusOK)
	if v.other || err != nil {
		return v, err
	}
	// Without it the role is taken, or something else is wrong with it.
	_, control, err := w.role(ctx, "plain", "resourcemanager.projects.get", "")
	if err == nil && control.Status != http.StatusOK {
		err = control.unexpected("creating a custom role")
	}
	return v, err
}

func legacyRole(ctx context.Context, w *site) (verdict, error) {
	a, err := w.account(ctx, "plain")
	if err != nil {
		return verdict{}, err
	}
	bucket, err := w.bucket(ctx)
	if err != nil {
		return verdict{}, err
	}
	write := func(role, about string) (answer, error) {
		at := storageAt + "/" + bucket + "/iam"
		policy, err := w.done(ctx, "reading the policy of the bucket", request{
			method: http.MethodGet, url: at + "?optionsRequestedPolicyVersion=3",
		})
		if err != nil {
			return answer{}, err
		}
		p := policy.json
		p["version"] = 3
		always := condition(`request.time < timestamp("2100-01-01T00:00:00Z")`)
		p["bindings"] = append(bindingsOf(p), bind(role, always, a.member()))
		return w.ask(ctx, request{method: http.MethodPut, url: at, body: p, about: about})
	}
	// The same with another role comes off, once the account is seen.
	if _, err := w.until(ctx, "binding an account under a condition on the bucket", settle, func() (bool, error) {
		got, err := write("roles/storage.objectViewer", "")
		if err != nil || got.Status == http.StatusOK {
			return err == nil, err
		}
		if got.Status == http.StatusBadRequest && strings.Contains(got.message(), "does not exist") {
			return false, nil
		}
		return false, got.unexpected("binding an account under a condition on the bucket")
	}); err != nil {
		return verdict{}, err
	}
	got, err := write("roles/storage.legacyBucketReader", "a legacy role under a condition")
	if err != nil {
		return verdict{}, err
	}
	return either(got, "binding a legacy role under a condition", http.StatusBadRequest, http.StatusOK)
}

func keyIDs(ctx context.Context, w *site) (verdict, error) {
	a, err := w.keyed(ctx, "keyed")
	if err != nil {
		return verdict{}, err
	}
	got, err := w.done(ctx, "reading the certificate of a key", request{
		method: http.MethodGet, url: w.accountURL(a.email) + "/keys/" + a.keyID + "?publicKeyType=TYPE_X509_PEM_FILE",
		about: "iam.serviceAccountKeys.get with the certificate",
	})
	if err != nil {
		return verdict{}, err
	}
	text, _ := got.json["publicKeyData"].(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	block, _ := pem.Decode(raw)
	if err != nil || block == nil {
		return verdict{}, fmt.Errorf("reading the certificate of a key: the answer has no PEM (%w)", err)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return verdict{}, fmt.Errorf("reading the certificate of a key: %w", err)
	}
	sum := sha1.Sum(certificate.Raw)
	if hex.EncodeToString(sum[:]) == a.keyID {
		return verdict{saw: "it is the SHA-1 of the certificate"}, nil
	}
	return verdict{other: true, saw: "it is not the SHA-1 of the certificate"}, nil
}

func systemKey(ctx context.Context, w *site) (verdict, error) {
	a, err := w.keyed(ctx, "keyed")
	if err != nil {
		return verdict{}, err
	}
	got, err := w.done(ctx, "listing keys of all types", request{
		method: http.MethodGet, url: w.accountURL(a.email) + "/keys", about: "iam.serviceAccountKeys.list of all types",
	})
	if err != nil {
		return verdict{}, err
	}
	list, _ := got.json["keys"].([]any)
	if slices.ContainsFunc(list, func(v any) bool {
		key, _ := v.(map[string]any)
		return key["keyType"] == "SYSTEM_MANAGED"
	}) {
		return verdict{saw: "the list has a key of type SYSTEM_MANAGED"}, nil
	}
	return verdict{other: true, saw: "the list has no key of type SYSTEM_MANAGED"}, nil
}

func selfImpersonation(ctx context.Context, w *site) (verdict, error) {
	a, err := w.keyed(ctx, "keyed")
	if err != nil {
		return verdict{}, err
	}
	got, err := w.ask(ctx, request{
		as: a.as, method: http.MethodPost,
		url:   mintAt + "projects/-/serviceAccounts/" + a.email + ":generateAccessToken",
		body:  map[string]any{"scope": []string{"https://www.googleapis.com/auth/cloud-platform"}},
		about: "an account makes a token of itself and may not", given: []string{evidence.GivenSelf},
	})
	if err != nil {
		return verdict{}, err
	}
	return either(got, "making a token of the account that asks", http.StatusForbidden, http.StatusBadRequest)
}

func keyLimit(ctx context.Context, w *site) (verdict, error) {
	a, err := w.account(ctx, "full")
	if err != nil {
		return verdict{}, err
	}
	const limit = 10
	r := request{method: http.MethodPost, url: w.accountURL(a.email) + "/keys", body: map[string]any{}}
	for range limit {
		if _, err := w.done(ctx, "creating one of ten keys", r); err != nil {
			return verdict{}, err
		}
	}
	r.about, r.quotaed = "iam.serviceAccountKeys.create, one too many", true
	got, err := w.ask(ctx, r)
	if err != nil {
		return verdict{}, err
	}
	return either(got, "creating the eleventh key", http.StatusBadRequest, http.StatusTooManyRequests)
}

func uploadRefusal(ctx context.Context, w *site) (verdict, error) {
	a, err := w.account(ctx, "plain")
	if err != nil {
		return verdict{}, err
	}
	pair, err := credentials.NewKeyPair(w.cfg.NewKey)
	if err != nil {
		return verdict{}, err
	}
	now := w.op.Clock()
	certificate, err := pair.Certificate(now.Add(-time.Minute), now.Add(time.Hour))
	if err != nil {
		return verdict{}, err
	}
	var got answer
	_, err = w.until(ctx, "uploading a key", settle, func() (bool, error) {
		got, err = w.ask(ctx, request{
			method: http.MethodPost, url: w.accountURL(a.email) + "/keys:upload",
			body: map[string]any{"publicKeyData": base64.StdEncoding.EncodeToString(certificate)},
		})
		return got.Status != http.StatusNotFound, err
	})
	switch {
	case err != nil:
		return verdict{}, err
	case got.Status == http.StatusOK:
		return verdict{}, untried("no organization policy refuses uploaded keys here " +
			"(constraints/iam.disableServiceAccountKeyUpload)")
	case got.Status != http.StatusBadRequest:
		return verdict{}, got.unexpected("uploading a key")
	case got.detail("google.rpc.PreconditionFailure"):
		return verdict{saw: got.short() + " with a PreconditionFailure"}, nil
	}
	return verdict{other: true, saw: got.short() + " without details"}, nil
}
