package storage

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// hmacKey is a key of an account for signing requests of the XML API. It has no end, and stays where it is when its
// account is deleted; then nobody can use it.
type hmacKey struct {
	ID      string    `json:"accessId"`
	Secret  string    `json:"secret" snapshot:"-"`
	Account string    `json:"account"` // unique id
	Email   string    `json:"email"`
	Project string    `json:"project"` // id
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated" snapshot:"-"`
}

const (
	activeKey   = "ACTIVE"
	inactiveKey = "INACTIVE"
	deletedKey  = "DELETED"

	maxHMACKeys = 10 // of an account, without the deleted ones
)

func hmacMethods() []wire.Method {
	const keys = "/storage/v1/projects/{project}/hmacKeys"
	ms := []wire.Method{
		{ID: "create", Pattern: "POST " + keys, Writes: true, Serve: createHMACKey},
		{ID: "list", Pattern: "GET " + keys, Serve: listHMACKeys},
		{ID: "get", Pattern: "GET " + keys + "/{key}", Serve: getHMACKey},
		{ID: "update", Pattern: "PUT " + keys + "/{key}", Writes: true, Serve: updateHMACKey},
		{ID: "delete", Pattern: "DELETE " + keys + "/{key}", Writes: true, Serve: deleteHMACKey},
	}
	for i := range ms {
		ms[i].ID, ms[i].Host = "storage.projects.hmacKeys."+ms[i].ID, host
	}
	return ms
}

// mayKeys returns the project of the call to a caller that has the permission there.
func mayKeys(c *wire.Call, permission string) (*iam.Project, error) {
	n, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return nil, err
	}
	return p, c.Require(permission, n)
}

// findHMACKey returns the key that the path names to a caller that has the permission in its project.
func findHMACKey(c *wire.Call, permission string) (*hmacKey, error) {
	p, err := mayKeys(c, permission)
	if err != nil {
		return nil, err
	}
	k := stateOf(c.State()).HMACKeys[c.Vars["key"]]
	if k == nil || k.Project != p.ID {
		return nil, wire.NotFound("Access ID not found in project %s.", p.ID)
	}
	return k, nil
}

func showHMACKey(c *wire.Call, k *hmacKey) map[string]any {
	return map[string]any{
		"kind": "storage#hmacKeyMetadata", "id": k.Project + "/" + k.ID, "accessId": k.ID, "projectId": k.Project,
		"selfLink":            c.BaseURL() + "/storage/v1/projects/" + k.Project + "/hmacKeys/" + k.ID,
		"serviceAccountEmail": k.Email, "state": k.State, "timeCreated": storageTime(k.Created),
		"updated": storageTime(k.Updated), "etag": wire.CounterEtag(k.Updated.UnixMicro()),
	}
}

// createHMACKey makes a key of an account of the project. Its secret is in this answer and in no other.
func createHMACKey(c *wire.Call) (any, error) {
	p, err := mayKeys(c, "storage.hmacKeys.create")
	if err != nil {
		return nil, err
	}
	email := c.Query("serviceAccountEmail")
	a := c.State().AccountByEmail(email)
	if a == nil || a.ProjectID != p.ID {
		return nil, wire.NotFound("Service Account '%s' not found.", email)
	}
	st := stateOf(c.State())
	n := 0
	for _, k := range st.HMACKeys {
		if k.Account == a.UniqueID && k.State != deletedKey {
			n++
		}
	}
	if n >= maxHMACKeys {
		return nil, wire.Precondition("The service account has %d HMAC keys already.", maxHMACKeys)
	}
	raw := make([]byte, 65)
	_, _ = rand.Read(raw) // never fails
	k := &hmacKey{
		// 61 characters for the key of an account, and 40 for the secret (storage/docs/authentication/hmackeys)
		ID:     "GOOG1E" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw[:35])[:55],
		Secret: base64.StdEncoding.EncodeToString(raw[35:]), Account: a.UniqueID, Email: a.Email, Project: p.ID,
		State: activeKey, Created: c.Now, Updated: c.Now,
	}
	if st.HMACKeys == nil {
		st.HMACKeys = map[string]*hmacKey{}
	}
	st.HMACKeys[k.ID] = k
	return map[string]any{"kind": "storage#hmacKey", "secret": k.Secret, "metadata": showHMACKey(c, k)}, nil
}

func listHMACKeys(c *wire.Call) (any, error) {
	p, err := mayKeys(c, "storage.hmacKeys.list")
	if err != nil {
		return nil, err
	}
	keys := stateOf(c.State()).HMACKeys
	ids := slices.Sorted(maps.Keys(keys))
	ids = slices.DeleteFunc(ids, func(id string) bool {
		k, email := keys[id], c.Query("serviceAccountEmail")
		return k.Project != p.ID || email != "" && k.Email != email ||
			k.State == deletedKey && c.Query("showDeletedKeys") != "true"
	})
	page, next, err := c.Page(ids, "maxResults", 250)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"kind": "storage#hmacKeysMetadata"}
	var items []any
	for _, id := range page {
		items = append(items, showHMACKey(c, keys[id]))
	}
	if items != nil {
		out["items"] = items
	}
	if next != "" {
		out["nextPageToken"] = next
	}
	return out, nil
}

func getHMACKey(c *wire.Call) (any, error) {
	k, err := findHMACKey(c, "storage.hmacKeys.get")
	if err != nil {
		return nil, err
	}
	return showHMACKey(c, k), nil
}

// updateHMACKey switches a key on or off. What was deleted stays so.
func updateHMACKey(c *wire.Call) (any, error) {
	k, err := findHMACKey(c, "storage.hmacKeys.update")
	if err != nil {
		return nil, err
	}
	var body struct{ State, Etag string }
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	switch {
	case body.Etag != "" && body.Etag != wire.CounterEtag(k.Updated.UnixMicro()):
		return nil, wire.ConditionNotMet()
	case k.State == deletedKey:
		return nil, wire.Invalid("Cannot update a deleted key.")
	case body.State != activeKey && body.State != inactiveKey:
		return nil, wire.Invalid("Invalid state: %q. ACTIVE or INACTIVE is expected.", body.State)
	}
	k.State, k.Updated = body.State, c.Now
	return showHMACKey(c, k), nil
}

// deleteHMACKey deletes a key that was made inactive before. Nobody brings it back.
func deleteHMACKey(c *wire.Call) (any, error) {
	k, err := findHMACKey(c, "storage.hmacKeys.delete")
	if err != nil {
		return nil, err
	}
	if k.State == activeKey {
		return nil, wire.Invalid("Cannot delete keys in 'ACTIVE' state.")
	}
	k.State, k.Secret, k.Updated = deletedKey, "", c.Now
	return &wire.Raw{Code: http.StatusNoContent}, nil
}

// verifyHMAC returns the account of the key with which one of the texts was signed.
func (s *signature) verifyHMAC(c *wire.Call, texts []string) (*iam.Principal, error) {
	k := stateOf(c.State()).HMACKeys[s.signer]
	if k == nil || k.State != activeKey {
		return nil, unknownSigner()
	}
	who := c.Company().PrincipalOf(&iam.AccessToken{Account: k.Account}, c.Now)
	if who == nil { // the account is disabled or gone
		return nil, unknownSigner()
	}
	prefix, _, _ := strings.Cut(s.algorithm, "-")
	key := []byte(prefix + k.Secret)
	for _, part := range s.scope {
		key = macOf(key, part)
	}
	for _, text := range texts {
		if subtle.ConstantTimeCompare(macOf(key, text), s.value) == 1 {
			return who, nil
		}
	}
	return nil, badSignature()
}

func macOf(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(text)) // never fails
	return mac.Sum(nil)
}
