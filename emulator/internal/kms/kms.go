// Package kms is the Cloud KMS of the emulator: key rings, and keys that encrypt and decrypt.
package kms

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/lazy"
)

const host = "cloudkms.googleapis.com"

// state is what Cloud KMS remembers. Key rings are kept by
// projects/ID/locations/L/keyRings/R. Neither rings nor keys are ever deleted.
type state struct {
	Rings map[string]*keyRing `json:"rings,omitempty"`
}

type keyRing struct {
	Created time.Time             `json:"created"`
	Policy  *iam.Policy           `json:"policy,omitempty"`
	Keys    map[string]*cryptoKey `json:"keys,omitempty"` // by id
}

// cryptoKey is a symmetric key with one version, which is its primary.
type cryptoKey struct {
	Created time.Time         `json:"created"`
	Labels  map[string]string `json:"labels,omitempty"`
	Level   string            `json:"protectionLevel"`
	Policy  *iam.Policy       `json:"policy,omitempty"`
	// 256 bits for AES-GCM; differs by nothing that a client can see
	Material []byte `json:"material" snapshot:"-"`
}

// seedKeyRing is a key ring with its keys.
type seedKeyRing struct {
	Project  string             `toml:"project"`
	Location string             `toml:"location"` // "global" if absent
	Name     string             `toml:"name"`
	Bindings []wire.SeedBinding `toml:"binding"`
	Keys     []seedKey          `toml:"key"`
}

type seedKey struct {
	Name     string             `toml:"name"`
	Bindings []wire.SeedBinding `toml:"binding"`
}

// Service is Cloud KMS.
func Service() *wire.Service {
	return &wire.Service{
		Name: host, Title: "Cloud Key Management Service (KMS) API", Methods: methods(),
		Key:  stateKey,
		New:  func() any { return &state{Rings: map[string]*keyRing{}} },
		Seed: seed, Assets: assets, Node: kmsNode, Denied: denied,
	}
}

const stateKey = "kms"

func stateOf(st *wire.State) *state { return wire.Part[state](st, stateKey) }

func assets(st *wire.State, add func(wire.Asset)) {
	for name, r := range stateOf(st).Rings {
		project := strings.Split(name, "/")[1]
		if a, ok := st.AssetBelow(project, "//"+host+"/"+name, host+"/KeyRing", r.Policy); ok {
			add(a)
		}
		for id, k := range r.Keys {
			if a, ok := st.AssetBelow(project, "//"+host+"/"+name+"/cryptoKeys/"+id, host+"/CryptoKey", k.Policy); ok {
				add(a)
			}
		}
	}
}

// denied is the 403 of a missing permission in the words of Cloud KMS.
func denied(_ *iam.Principal, permission string, n iam.Node) *wire.Error {
	return wire.Forbidden("Permission '%s' denied on resource '%s' (or it may not exist).", permission, n.Relative())
}

func seed() (any, func(*wire.Seeding) error) {
	var in struct {
		Rings []seedKeyRing `toml:"key_ring"`
	}
	return &in, func(s *wire.Seeding) error { return seedRings(s, in.Rings) }
}

// methods are the methods of Cloud KMS for key rings and symmetric keys.
func methods() []wire.Method {
	const rings = "/v1/projects/{project}/locations/{location}/keyRings"
	const ring, keys, key = rings + "/{ring}", rings + "/{ring}/cryptoKeys", rings + "/{ring}/cryptoKeys/{key}"
	at := func(id, pattern string, serve func(*wire.Call) (any, error)) wire.Method {
		return wire.Method{ID: "cloudkms.projects.locations.keyRings." + id, Host: host, Pattern: pattern, Serve: serve}
	}
	writes := func(m wire.Method) wire.Method { m.Writes = true; return m }
	ms := []wire.Method{
		writes(at("create", "POST "+rings, createKeyRing)),
		at("list", "GET "+rings, listKeyRings),
		at("get", "GET "+ring, getKeyRing),
		writes(at("cryptoKeys.create", "POST "+keys, createCryptoKey)),
		at("cryptoKeys.list", "GET "+keys, listCryptoKeys),
		at("cryptoKeys.get", "GET "+key, getCryptoKey),
		at("cryptoKeys.encrypt", "POST "+key+":encrypt", encrypt),
		at("cryptoKeys.decrypt", "POST "+key+":decrypt", decrypt),
	}
	ms = append(ms, wire.PolicyMethods(wire.PolicySpec{
		ID: "cloudkms.projects.locations.keyRings", Host: host, Path: ring, GetVerb: http.MethodGet,
		Permission: "cloudkms.keyRings", Conditions: true, Public: true,
		Find: func(c *wire.Call) (iam.Node, *iam.Policy, error) {
			r, n, err := findKeyRing(c)
			if err != nil {
				return n, nil, err
			}
			return n, r.Policy, nil
		},
	})...)
	return append(ms, wire.PolicyMethods(wire.PolicySpec{
		ID: "cloudkms.projects.locations.keyRings.cryptoKeys", Host: host, Path: key, GetVerb: http.MethodGet,
		Permission: "cloudkms.cryptoKeys", Conditions: true, Public: true,
		Find: func(c *wire.Call) (iam.Node, *iam.Policy, error) {
			k, n, err := findCryptoKey(c)
			if err != nil {
				return n, nil, err
			}
			return n, k.Policy, nil
		},
	})...)
}

var kmsID = lazy.Regexp(`^[a-zA-Z0-9_-]{1,63}$`)

// ringName is the name that the request gives a key ring, with the id of its project,
// and the node of that project.
func ringName(c *wire.Call) (string, iam.Node, error) {
	parent, p, err := c.State().ProjectNode(c.Vars["project"])
	if err != nil {
		return "", parent, err
	}
	return "projects/" + p.ID + "/locations/" + c.Vars["location"] + "/keyRings/" + c.Vars["ring"], parent, nil
}

// findKeyRing returns the key ring of the request and its node, or the node of its
// project and the error.
func findKeyRing(c *wire.Call) (*keyRing, iam.Node, error) {
	name, parent, err := ringName(c)
	if err != nil {
		return nil, parent, err
	}
	r := stateOf(c.State()).Rings[name]
	if r == nil {
		return nil, parent, wire.NotFound("KeyRing %s not found.", name)
	}
	return r, r.node(parent, name), nil
}

func (r *keyRing) node(parent iam.Node, name string) iam.Node {
	return parent.Child("//"+host+"/"+name, name, host+"/KeyRing", r.Policy)
}

// findCryptoKey returns the key of the request and its node, or the node of what would
// hold it and the error.
func findCryptoKey(c *wire.Call) (*cryptoKey, iam.Node, error) {
	r, n, err := findKeyRing(c)
	if err != nil {
		return nil, n, err
	}
	k := r.Keys[c.Vars["key"]]
	if k == nil {
		return nil, n, wire.NotFound("CryptoKey %s/cryptoKeys/%s not found.", n.Relative(), c.Vars["key"])
	}
	return k, k.node(n, c.Vars["key"]), nil
}

func (k *cryptoKey) node(ring iam.Node, id string) iam.Node {
	name := ring.Relative() + "/cryptoKeys/" + id
	return ring.Child("//"+host+"/"+name, name, host+"/CryptoKey", k.Policy)
}

// kmsNode returns the node of a key ring or key by its name, for what lies below.
func kmsNode(s *wire.State, name string) (iam.Node, bool) {
	ring, key, nested := strings.Cut(name, "/cryptoKeys/")
	r := stateOf(s).Rings[ring]
	if r == nil {
		return iam.Node{}, false
	}
	parent, _, err := s.ProjectNode(strings.Split(name, "/")[1])
	if err != nil {
		return iam.Node{}, false
	}
	n := r.node(parent, ring)
	if !nested {
		return n, true
	}
	k := r.Keys[key]
	if k == nil {
		return iam.Node{}, false
	}
	return k.node(n, key), true
}

func (st *state) newRing(name string, now time.Time) *keyRing {
	if st.Rings == nil {
		st.Rings = map[string]*keyRing{}
	}
	r := &keyRing{Created: now, Policy: &iam.Policy{}, Keys: map[string]*cryptoKey{}}
	st.Rings[name] = r
	return r
}

func (r *keyRing) newKey(id string, now time.Time) *cryptoKey {
	k := &cryptoKey{Created: now, Policy: &iam.Policy{}, Level: "SOFTWARE", Material: make([]byte, 32)}
	_, _ = rand.Read(k.Material) // never fails
	if r.Keys == nil {
		r.Keys = map[string]*cryptoKey{}
	}
	r.Keys[id] = k
	return k
}

// kmsTime is the time of a resource as Cloud KMS writes it.
func kmsTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") }

func (r *keyRing) resource(name string) any {
	return map[string]any{"name": name, "createTime": kmsTime(r.Created)}
}

const kmsAlgorithm = "GOOGLE_SYMMETRIC_ENCRYPTION"

func (k *cryptoKey) resource(name string) any {
	m := map[string]any{
		"name": name, "createTime": kmsTime(k.Created), "purpose": "ENCRYPT_DECRYPT",
		"versionTemplate":          map[string]any{"algorithm": kmsAlgorithm, "protectionLevel": k.Level},
		"destroyScheduledDuration": "2592000s",
		"primary": map[string]any{
			"name": name + "/cryptoKeyVersions/1", "state": "ENABLED", "createTime": kmsTime(k.Created),
			"generateTime": kmsTime(k.Created), "algorithm": kmsAlgorithm, "protectionLevel": k.Level,
		},
	}
	if len(k.Labels) > 0 {
		m["labels"] = k.Labels
	}
	return m
}

func createKeyRing(c *wire.Call) (any, error) {
	c.Vars["ring"] = c.Query("keyRingId")
	name, parent, err := ringName(c)
	if err := c.RequireFound("cloudkms.keyRings.create", parent, err); err != nil {
		return nil, err
	}
	if !kmsID().MatchString(c.Query("keyRingId")) {
		return nil, wire.Invalid("KeyRing ID '%s' is invalid: it must match [a-zA-Z0-9_-]{1,63}.", c.Query("keyRingId"))
	}
	st := stateOf(c.State())
	if st.Rings[name] != nil {
		return nil, wire.AlreadyExists("KeyRing %s already exists.", name)
	}
	return st.newRing(name, c.Now).resource(name), nil
}

func getKeyRing(c *wire.Call) (any, error) {
	r, n, err := findKeyRing(c)
	if err := c.RequireFound("cloudkms.keyRings.get", n, err); err != nil {
		return nil, err
	}
	return r.resource(n.Relative()), nil
}

func listKeyRings(c *wire.Call) (any, error) {
	name, parent, err := ringName(c)
	if err := c.RequireFound("cloudkms.keyRings.list", parent, err); err != nil {
		return nil, err
	}
	all := stateOf(c.State()).Rings
	return kmsList(c, "keyRings", wire.NamesBelow(all, name), func(name string) any { return all[name].resource(name) })
}

// kmsList answers with a page of resources, under the name of their collection.
func kmsList(c *wire.Call, collection string, names []string, resource func(string) any) (any, error) {
	for _, unknown := range []string{"filter", "orderBy"} {
		if c.Query(unknown) != "" {
			return nil, c.Unsupported(unknown)
		}
	}
	total := len(names)
	names, next, err := c.Page(names, "pageSize", 1000)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	if total > 0 {
		answer["totalSize"] = total
	}
	if next != "" {
		answer["nextPageToken"] = next
	}
	var out []any
	for _, name := range names {
		out = append(out, resource(name))
	}
	if len(out) > 0 {
		answer[collection] = out
	}
	return answer, nil
}

func createCryptoKey(c *wire.Call) (any, error) {
	r, n, err := findKeyRing(c)
	if err := c.RequireFound("cloudkms.cryptoKeys.create", n, err); err != nil {
		return nil, err
	}
	id := c.Query("cryptoKeyId")
	var in struct {
		purpose  string
		labels   map[string]string
		template struct {
			ProtectionLevel string `json:"protectionLevel"`
			Algorithm       string `json:"algorithm"`
		}
	}
	if err := c.DecodeKnown(c.Body, map[string]any{
		"purpose": &in.purpose, "labels": &in.labels, "versionTemplate": &in.template,
	}); err != nil {
		return nil, err
	}
	switch {
	case !kmsID().MatchString(id):
		return nil, wire.Invalid("CryptoKey ID '%s' is invalid: it must match [a-zA-Z0-9_-]{1,63}.", id)
	case in.purpose == "":
		return nil, wire.Invalid("The purpose of a CryptoKey must be given.")
	case in.purpose != "ENCRYPT_DECRYPT", cmp.Or(in.template.Algorithm, kmsAlgorithm) != kmsAlgorithm:
		return nil, c.Unsupported("keys that are not symmetric")
	case r.Keys[id] != nil:
		return nil, wire.AlreadyExists("CryptoKey %s/cryptoKeys/%s already exists.", n.Relative(), id)
	}
	k := r.newKey(id, c.Now)
	k.Labels, k.Level = in.labels, cmp.Or(in.template.ProtectionLevel, k.Level)
	return k.resource(n.Relative() + "/cryptoKeys/" + id), nil
}

func getCryptoKey(c *wire.Call) (any, error) {
	k, n, err := findCryptoKey(c)
	if err := c.RequireFound("cloudkms.cryptoKeys.get", n, err); err != nil {
		return nil, err
	}
	return k.resource(n.Relative()), nil
}

func listCryptoKeys(c *wire.Call) (any, error) {
	r, n, err := findKeyRing(c)
	if err := c.RequireFound("cloudkms.cryptoKeys.list", n, err); err != nil {
		return nil, err
	}
	return kmsList(c, "cryptoKeys", wire.NamesBelow(r.Keys, ""), func(id string) any {
		return r.Keys[id].resource(n.Relative() + "/cryptoKeys/" + id)
	})
}

// maxPlaintext is what encrypt takes, and for additionalAuthenticatedData too.
const maxPlaintext = 64 << 10

// checksum is a CRC32C as the API writes it: a decimal number in a string.
type checksum int64

func (s checksum) MarshalText() ([]byte, error) { return fmt.Append(nil, int64(s)), nil }

// UnmarshalJSON takes a number without quotes too, as the transcoding of protocol buffers does.
func (s *checksum) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(text), `"`), 10, 64)
	*s = checksum(n)
	return err
}

func checksumOf(data []byte) checksum {
	return checksum(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
}

// verify holds data against the checksum that came with it, and reports whether there
// was one.
func (s *checksum) verify(data []byte, field string) (bool, error) {
	if s == nil {
		return false, nil
	}
	if *s != checksumOf(data) {
		return false, wire.Invalid("The checksum in field %s_crc32c did not match the data in field %s.", field, field)
	}
	return true, nil
}

// seal and open are AES-GCM under the material of the key. A ciphertext is the number
// of the version, in four bytes, the nonce, and the sealed text.
func (k *cryptoKey) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.Material)
	if err != nil {
		return nil, fmt.Errorf("using a key: %w", err)
	}
	return cipher.NewGCM(block)
}

func (k *cryptoKey) seal(plaintext, additional []byte) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint32(nil, 1)
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(append(out, nonce...), nonce, plaintext, additional), nil
}

var errCiphertext = errors.New("the ciphertext is not of this key")

func (k *cryptoKey) open(ciphertext, additional []byte) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	if len(ciphertext) < 4+aead.NonceSize() || binary.BigEndian.Uint32(ciphertext) != 1 {
		return nil, errCiphertext
	}
	nonce, sealed := ciphertext[4:4+aead.NonceSize()], ciphertext[4+aead.NonceSize():]
	plaintext, err := aead.Open(nil, nonce, sealed, additional)
	if err != nil {
		return nil, errCiphertext
	}
	return plaintext, nil
}

func encrypt(c *wire.Call) (any, error) {
	k, n, err := findCryptoKey(c)
	if err := c.RequireFound("cloudkms.cryptoKeyVersions.useToEncrypt", n, err); err != nil {
		return nil, err
	}
	var in struct {
		Plaintext     []byte    `json:"plaintext"`
		Additional    []byte    `json:"additionalAuthenticatedData"`
		PlaintextSum  *checksum `json:"plaintextCrc32c"`
		AdditionalSum *checksum `json:"additionalAuthenticatedDataCrc32c"`
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	if len(in.Plaintext) == 0 || len(in.Plaintext) > maxPlaintext || len(in.Additional) > maxPlaintext {
		return nil, wire.Invalid("The plaintext must have between 1 and %d bytes, additionalAuthenticatedData no more.",
			maxPlaintext)
	}
	verified, err := in.PlaintextSum.verify(in.Plaintext, "plaintext")
	if err != nil {
		return nil, err
	}
	verifiedAdditional, err := in.AdditionalSum.verify(in.Additional, "additional_authenticated_data")
	if err != nil {
		return nil, err
	}
	sealed, err := k.seal(in.Plaintext, in.Additional)
	if err != nil {
		return nil, err
	}
	return struct {
		Name               string   `json:"name"`
		Ciphertext         []byte   `json:"ciphertext"`
		CiphertextSum      checksum `json:"ciphertextCrc32c"`
		Verified           bool     `json:"verifiedPlaintextCrc32c,omitempty"`
		VerifiedAdditional bool     `json:"verifiedAdditionalAuthenticatedDataCrc32c,omitempty"`
		Level              string   `json:"protectionLevel"`
	}{n.Relative() + "/cryptoKeyVersions/1", sealed, checksumOf(sealed), verified, verifiedAdditional, k.Level}, nil
}

func decrypt(c *wire.Call) (any, error) {
	k, n, err := findCryptoKey(c)
	if err := c.RequireFound("cloudkms.cryptoKeyVersions.useToDecrypt", n, err); err != nil {
		return nil, err
	}
	var in struct {
		Ciphertext    []byte    `json:"ciphertext"`
		Additional    []byte    `json:"additionalAuthenticatedData"`
		CiphertextSum *checksum `json:"ciphertextCrc32c"`
		AdditionalSum *checksum `json:"additionalAuthenticatedDataCrc32c"`
	}
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	if _, err := in.CiphertextSum.verify(in.Ciphertext, "ciphertext"); err != nil {
		return nil, err
	}
	if _, err := in.AdditionalSum.verify(in.Additional, "additional_authenticated_data"); err != nil {
		return nil, err
	}
	plaintext, err := k.open(in.Ciphertext, in.Additional)
	switch {
	case errors.Is(err, errCiphertext):
		return nil, wire.Invalid("Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	case err != nil:
		return nil, err
	}
	return struct {
		Plaintext    []byte   `json:"plaintext"`
		PlaintextSum checksum `json:"plaintextCrc32c"`
		UsedPrimary  bool     `json:"usedPrimary"`
		Level        string   `json:"protectionLevel"`
	}{plaintext, checksumOf(plaintext), true, k.Level}, nil
}

// seedRings makes the key rings of a seed, with their keys.
func seedRings(s *wire.Seeding, rings []seedKeyRing) error {
	for _, in := range rings {
		name := "projects/" + in.Project + "/locations/" + cmp.Or(in.Location, "global") + "/keyRings/" + in.Name
		if s.Projects[in.Project] == nil {
			return fmt.Errorf("seeding key ring %s: there is no project %q", name, in.Project)
		}
		if stateOf(s.State).Rings[name] != nil || !kmsID().MatchString(in.Name) {
			return fmt.Errorf("seeding key ring %s: the name is taken or malformed", name)
		}
		ring := stateOf(s.State).newRing(name, s.Now)
		o := iam.WriteOptions{Conditions: true, Public: true, Service: "cloudkms."}
		if err := s.Policy(ring.Policy, in.Bindings, o); err != nil {
			return fmt.Errorf("seeding the policy of key ring %s: %w", name, err)
		}
		for _, k := range in.Keys {
			if ring.Keys[k.Name] != nil || !kmsID().MatchString(k.Name) {
				return fmt.Errorf("seeding key %q of key ring %s: the name is taken or malformed", k.Name, name)
			}
			if err := s.Policy(ring.newKey(k.Name, s.Now).Policy, k.Bindings, o); err != nil {
				return fmt.Errorf("seeding the policy of key %s of key ring %s: %w", k.Name, name, err)
			}
		}
	}
	return nil
}
