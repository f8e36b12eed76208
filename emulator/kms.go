package emulator

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
	"regexp"
	"strconv"
	"strings"
	"time"
)

const kmsHost = "cloudkms.googleapis.com"

// kmsState is what Cloud KMS remembers. Key rings are kept by
// projects/ID/locations/L/keyRings/R. Neither rings nor keys are ever deleted.
type kmsState struct {
	Rings map[string]*keyRing `json:"rings,omitempty"`
}

type keyRing struct {
	Created time.Time             `json:"created"`
	Policy  *policy               `json:"policy,omitempty"`
	Keys    map[string]*cryptoKey `json:"keys,omitempty"` // by id
}

// cryptoKey is a symmetric key with one version, which is its primary.
type cryptoKey struct {
	Created  time.Time         `json:"created"`
	Labels   map[string]string `json:"labels,omitempty"`
	Level    string            `json:"protectionLevel"`
	Policy   *policy           `json:"policy,omitempty"`
	Material []byte            `json:"material" snapshot:"-"` // 256 bits for AES-GCM; differs by nothing that a client can see
}

// seedKeyRing is a key ring with its keys.
type seedKeyRing struct {
	Project  string        `toml:"project"`
	Location string        `toml:"location"` // "global" if absent
	Name     string        `toml:"name"`
	Bindings []SeedBinding `toml:"binding"`
	Keys     []seedKey     `toml:"key"`
}

type seedKey struct {
	Name     string        `toml:"name"`
	Bindings []SeedBinding `toml:"binding"`
}

// kmsService is Cloud KMS.
func kmsService() *service {
	return &service{
		Name: kmsHost, Title: "Cloud Key Management Service (KMS) API", Methods: kmsMethods(),
		Key:  kmsKey,
		New:  func() any { return &kmsState{Rings: map[string]*keyRing{}} },
		Seed: kmsSeed, Assets: kmsAssets, Node: kmsNode, Denied: kmsDenied,
	}
}

const kmsKey = "kms"

func kmsOf(st *state) *kmsState { return part[kmsState](st, kmsKey) }

func kmsAssets(st *state, add func(asset)) {
	for name, r := range kmsOf(st).Rings {
		project := strings.Split(name, "/")[1]
		if a, ok := st.assetBelow(project, "//"+kmsHost+"/"+name, kmsHost+"/KeyRing", r.Policy); ok {
			add(a)
		}
		for id, k := range r.Keys {
			if a, ok := st.assetBelow(project, "//"+kmsHost+"/"+name+"/cryptoKeys/"+id, kmsHost+"/CryptoKey", k.Policy); ok {
				add(a)
			}
		}
	}
}

// kmsDenied is the 403 of a missing permission in the words of Cloud KMS.
func kmsDenied(_ *principal, permission string, n node) *apiError {
	return forbidden("Permission '%s' denied on resource '%s' (or it may not exist).", permission, n.relative())
}

func kmsSeed() (any, func(*seeding) error) {
	var in struct {
		Rings []seedKeyRing `toml:"key_ring"`
	}
	return &in, func(s *seeding) error { return seedKMS(s, in.Rings) }
}

// kmsMethods are the methods of Cloud KMS for key rings and symmetric keys.
func kmsMethods() []method {
	const rings = "/v1/projects/{project}/locations/{location}/keyRings"
	const ring, keys, key = rings + "/{ring}", rings + "/{ring}/cryptoKeys", rings + "/{ring}/cryptoKeys/{key}"
	at := func(id, pattern string, serve func(*call) (any, error)) method {
		return method{id: "cloudkms.projects.locations.keyRings." + id, host: kmsHost, pattern: pattern, serve: serve}
	}
	writes := func(m method) method { m.writes = true; return m }
	ms := []method{
		writes(at("create", "POST "+rings, createKeyRing)),
		at("list", "GET "+rings, listKeyRings),
		at("get", "GET "+ring, getKeyRing),
		writes(at("cryptoKeys.create", "POST "+keys, createCryptoKey)),
		at("cryptoKeys.list", "GET "+keys, listCryptoKeys),
		at("cryptoKeys.get", "GET "+key, getCryptoKey),
		at("cryptoKeys.encrypt", "POST "+key+":encrypt", encrypt),
		at("cryptoKeys.decrypt", "POST "+key+":decrypt", decrypt),
	}
	ms = append(ms, policyMethods(policySpec{
		api: "cloudkms.projects.locations.keyRings", host: kmsHost, path: ring, getVerb: http.MethodGet,
		permission: "cloudkms.keyRings", conditions: true, public: true,
		find: func(c *call) (node, *policy, error) {
			r, n, err := findKeyRing(c)
			if err != nil {
				return n, nil, err
			}
			return n, r.Policy, nil
		},
	})...)
	return append(ms, policyMethods(policySpec{
		api: "cloudkms.projects.locations.keyRings.cryptoKeys", host: kmsHost, path: key, getVerb: http.MethodGet,
		permission: "cloudkms.cryptoKeys", conditions: true, public: true,
		find: func(c *call) (node, *policy, error) {
			k, n, err := findCryptoKey(c)
			if err != nil {
				return n, nil, err
			}
			return n, k.Policy, nil
		},
	})...)
}

var kmsID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,63}$`)

// ringName is the name that the request gives a key ring, with the id of its project,
// and the node of that project.
func ringName(c *call) (string, node, error) {
	parent, p, err := c.state().projectNode(c.vars["project"])
	if err != nil {
		return "", parent, err
	}
	return "projects/" + p.ID + "/locations/" + c.vars["location"] + "/keyRings/" + c.vars["ring"], parent, nil
}

// findKeyRing returns the key ring of the request and its node, or the node of its
// project beside the error.
func findKeyRing(c *call) (*keyRing, node, error) {
	name, parent, err := ringName(c)
	if err != nil {
		return nil, parent, err
	}
	r := kmsOf(c.state()).Rings[name]
	if r == nil {
		return nil, parent, notFound("KeyRing %s not found.", name)
	}
	return r, r.node(parent, name), nil
}

func (r *keyRing) node(parent node, name string) node {
	return parent.child("//"+kmsHost+"/"+name, name, kmsHost+"/KeyRing", r.Policy)
}

// findCryptoKey returns the key of the request and its node, or the node of what would
// hold it beside the error.
func findCryptoKey(c *call) (*cryptoKey, node, error) {
	r, n, err := findKeyRing(c)
	if err != nil {
		return nil, n, err
	}
	k := r.Keys[c.vars["key"]]
	if k == nil {
		return nil, n, notFound("CryptoKey %s/cryptoKeys/%s not found.", n.relative(), c.vars["key"])
	}
	return k, k.node(n, c.vars["key"]), nil
}

func (k *cryptoKey) node(ring node, id string) node {
	name := ring.relative() + "/cryptoKeys/" + id
	return ring.child("//"+kmsHost+"/"+name, name, kmsHost+"/CryptoKey", k.Policy)
}

// kmsNode returns the node of a key ring or key by its name, for what lies below.
func kmsNode(s *state, name string) (node, bool) {
	ring, key, nested := strings.Cut(name, "/cryptoKeys/")
	r := kmsOf(s).Rings[ring]
	if r == nil {
		return node{}, false
	}
	parent, _, err := s.projectNode(strings.Split(name, "/")[1])
	if err != nil {
		return node{}, false
	}
	n := r.node(parent, ring)
	if !nested {
		return n, true
	}
	k := r.Keys[key]
	if k == nil {
		return node{}, false
	}
	return k.node(n, key), true
}

func (st *kmsState) newRing(name string, now time.Time) *keyRing {
	if st.Rings == nil {
		st.Rings = map[string]*keyRing{}
	}
	r := &keyRing{Created: now, Policy: &policy{}, Keys: map[string]*cryptoKey{}}
	st.Rings[name] = r
	return r
}

func (r *keyRing) newKey(id string, now time.Time) *cryptoKey {
	k := &cryptoKey{Created: now, Policy: &policy{}, Level: "SOFTWARE", Material: make([]byte, 32)}
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

func createKeyRing(c *call) (any, error) {
	c.vars["ring"] = c.query("keyRingId")
	name, parent, err := ringName(c)
	if err := c.requireFound("cloudkms.keyRings.create", parent, err); err != nil {
		return nil, err
	}
	if !kmsID.MatchString(c.query("keyRingId")) {
		return nil, invalid("KeyRing ID '%s' is invalid: it must match [a-zA-Z0-9_-]{1,63}.", c.query("keyRingId"))
	}
	st := kmsOf(c.state())
	if st.Rings[name] != nil {
		return nil, alreadyExists("KeyRing %s already exists.", name)
	}
	return st.newRing(name, c.now).resource(name), nil
}

func getKeyRing(c *call) (any, error) {
	r, n, err := findKeyRing(c)
	if err := c.requireFound("cloudkms.keyRings.get", n, err); err != nil {
		return nil, err
	}
	return r.resource(n.relative()), nil
}

func listKeyRings(c *call) (any, error) {
	name, parent, err := ringName(c)
	if err := c.requireFound("cloudkms.keyRings.list", parent, err); err != nil {
		return nil, err
	}
	all := kmsOf(c.state()).Rings
	return kmsList(c, "keyRings", namesBelow(all, name), func(name string) any { return all[name].resource(name) })
}

// kmsList answers with a page of resources, under the name of their collection.
func kmsList(c *call, collection string, names []string, resource func(string) any) (any, error) {
	for _, unknown := range []string{"filter", "orderBy"} {
		if c.query(unknown) != "" {
			return nil, c.unsupported(unknown)
		}
	}
	total := len(names)
	names, next, err := c.page(names, "pageSize", 1000)
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

func createCryptoKey(c *call) (any, error) {
	r, n, err := findKeyRing(c)
	if err := c.requireFound("cloudkms.cryptoKeys.create", n, err); err != nil {
		return nil, err
	}
	id := c.query("cryptoKeyId")
	var in struct {
		purpose  string
		labels   map[string]string
		template struct {
			ProtectionLevel string `json:"protectionLevel"`
			Algorithm       string `json:"algorithm"`
		}
	}
	if err := c.decodeKnown(c.body, map[string]any{
		"purpose": &in.purpose, "labels": &in.labels, "versionTemplate": &in.template,
	}); err != nil {
		return nil, err
	}
	switch {
	case !kmsID.MatchString(id):
		return nil, invalid("CryptoKey ID '%s' is invalid: it must match [a-zA-Z0-9_-]{1,63}.", id)
	case in.purpose == "":
		return nil, invalid("The purpose of a CryptoKey must be given.")
	case in.purpose != "ENCRYPT_DECRYPT", cmp.Or(in.template.Algorithm, kmsAlgorithm) != kmsAlgorithm:
		return nil, c.unsupported("keys that are not symmetric")
	case r.Keys[id] != nil:
		return nil, alreadyExists("CryptoKey %s/cryptoKeys/%s already exists.", n.relative(), id)
	}
	k := r.newKey(id, c.now)
	k.Labels, k.Level = in.labels, cmp.Or(in.template.ProtectionLevel, k.Level)
	return k.resource(n.relative() + "/cryptoKeys/" + id), nil
}

func getCryptoKey(c *call) (any, error) {
	k, n, err := findCryptoKey(c)
	if err := c.requireFound("cloudkms.cryptoKeys.get", n, err); err != nil {
		return nil, err
	}
	return k.resource(n.relative()), nil
}

func listCryptoKeys(c *call) (any, error) {
	r, n, err := findKeyRing(c)
	if err := c.requireFound("cloudkms.cryptoKeys.list", n, err); err != nil {
		return nil, err
	}
	return kmsList(c, "cryptoKeys", namesBelow(r.Keys, ""), func(id string) any {
		return r.Keys[id].resource(n.relative() + "/cryptoKeys/" + id)
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
		return false, invalid("The checksum in field %s_crc32c did not match the data in field %s.", field, field)
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

func encrypt(c *call) (any, error) {
	k, n, err := findCryptoKey(c)
	if err := c.requireFound("cloudkms.cryptoKeyVersions.useToEncrypt", n, err); err != nil {
		return nil, err
	}
	var in struct {
		Plaintext     []byte    `json:"plaintext"`
		Additional    []byte    `json:"additionalAuthenticatedData"`
		PlaintextSum  *checksum `json:"plaintextCrc32c"`
		AdditionalSum *checksum `json:"additionalAuthenticatedDataCrc32c"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if len(in.Plaintext) == 0 || len(in.Plaintext) > maxPlaintext || len(in.Additional) > maxPlaintext {
		return nil, invalid("The plaintext must have between 1 and %d bytes, additionalAuthenticatedData no more.", maxPlaintext)
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
	}{n.relative() + "/cryptoKeyVersions/1", sealed, checksumOf(sealed), verified, verifiedAdditional, k.Level}, nil
}

func decrypt(c *call) (any, error) {
	k, n, err := findCryptoKey(c)
	if err := c.requireFound("cloudkms.cryptoKeyVersions.useToDecrypt", n, err); err != nil {
		return nil, err
	}
	var in struct {
		Ciphertext    []byte    `json:"ciphertext"`
		Additional    []byte    `json:"additionalAuthenticatedData"`
		CiphertextSum *checksum `json:"ciphertextCrc32c"`
		AdditionalSum *checksum `json:"additionalAuthenticatedDataCrc32c"`
	}
	if err := c.decode(&in); err != nil {
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
		return nil, invalid("Decryption failed: verify that 'name' refers to the correct CryptoKey.")
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

// seedKMS makes the key rings of a seed, with their keys.
func seedKMS(s *seeding, rings []seedKeyRing) error {
	for _, in := range rings {
		name := "projects/" + in.Project + "/locations/" + cmp.Or(in.Location, "global") + "/keyRings/" + in.Name
		if s.Projects[in.Project] == nil {
			return fmt.Errorf("seeding key ring %s: there is no project %q", name, in.Project)
		}
		if kmsOf(s.state).Rings[name] != nil || !kmsID.MatchString(in.Name) {
			return fmt.Errorf("seeding key ring %s: the name is taken or malformed", name)
		}
		ring := kmsOf(s.state).newRing(name, s.Now)
		o := writeOptions{conditions: true, public: true, service: "cloudkms."}
		if err := s.Policy(ring.Policy, in.Bindings, o); err != nil {
			return fmt.Errorf("seeding the policy of key ring %s: %w", name, err)
		}
		for _, k := range in.Keys {
			if ring.Keys[k.Name] != nil || !kmsID.MatchString(k.Name) {
				return fmt.Errorf("seeding key %q of key ring %s: the name is taken or malformed", k.Name, name)
			}
			if err := s.Policy(ring.newKey(k.Name, s.Now).Policy, k.Bindings, o); err != nil {
				return fmt.Errorf("seeding the policy of key %s of key ring %s: %w", k.Name, name, err)
			}
		}
	}
	return nil
}
