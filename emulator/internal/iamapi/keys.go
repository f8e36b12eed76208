package iamapi

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// maxKeys is how many user-managed keys an account may have.
const maxKeys = 10

// showKey is the key as the API shows it.
func showKey(k *iam.Key, a *iam.Account) map[string]any {
	m := map[string]any{
		"name": a.Name() + "/keys/" + k.ID, "keyAlgorithm": k.Algorithm, "keyOrigin": k.Origin,
		"keyType":        "USER_MANAGED",
		"validAfterTime": wire.Time(k.ValidAfter), "validBeforeTime": wire.Time(k.ValidBefore),
	}
	if k.Disabled {
		m["disabled"] = true
		m["disableReason"] = "SERVICE_ACCOUNT_KEY_DISABLE_REASON_USER_INITIATED"
	}
	return m
}

// roomForKey refuses an account's eleventh key.
func roomForKey(c *wire.Call, a *iam.Account) error {
	switch {
	case len(a.Keys) < maxKeys:
		return nil
	case c.State().Doubts.KeyLimitExhausted:
		return wire.Fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded",
			"Maximum number of keys on account reached.").
			WithDetails(map[string]any{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "86401s"})
	}
	return wire.Precondition("Precondition check failed.")
}

// keyConstraint is the refusal by an organization policy on keys of the account, or nil.
func keyConstraint(c *wire.Call, a *iam.Account, constraint, message string) *iam.Refusal {
	_, blocked := c.State().ProjectConstraint(a.ProjectID, constraint)
	if managed := iam.ManagedNames[constraint]; !blocked {
		if _, blocked = c.State().ProjectConstraint(a.ProjectID, managed); !blocked {
			return nil
		}
		constraint = managed
	}
	return keyRefusal(a, constraint, message)
}

func keyRefusal(a *iam.Account, constraint, message string) *iam.Refusal {
	return iam.RefuseByOrgPolicy(constraint, a.Name()+"?configvalue="+url.QueryEscape(a.Email), message)
}

// newKeyID names a key by its certificate.
func newKeyID(c *wire.Call, der []byte) string {
	if c.State().Doubts.RandomKeyIDs {
		b := make([]byte, sha1.Size)
		_, _ = rand.Read(b) // never fails
		return hex.EncodeToString(b)
	}
	return iam.KeyID(der)
}

func createKey(c *wire.Call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccountKeys.create")
	if err != nil {
		return nil, err
	}
	var body struct {
		PrivateKeyType string `json:"privateKeyType"`
		KeyAlgorithm   string `json:"keyAlgorithm"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if t := body.PrivateKeyType; t != "" && t != "TYPE_GOOGLE_CREDENTIALS_FILE" && t != "TYPE_UNSPECIFIED" {
		return nil, wire.Fail(501, "UNIMPLEMENTED", "notImplemented", "The emulator does not make keys of type %s.", t)
	}
	if t := body.KeyAlgorithm; t != "" && t != "KEY_ALG_RSA_2048" && t != "KEY_ALG_UNSPECIFIED" {
		return nil, wire.Fail(501, "UNIMPLEMENTED", "notImplemented",
			"The emulator does not make keys of algorithm %s.", t)
	}
	if err := keyConstraint(c, a, iam.NoKeys, "Key creation is not allowed on this service account."); err != nil {
		return nil, err
	}
	if err := roomForKey(c, a); err != nil {
		return nil, err
	}
	private, err := c.NewKey()
	if err != nil {
		return nil, err
	}
	end := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	if limit, limited := keyLifetime(c.State(), a.ProjectID); limited {
		end = c.Now.Add(limit).Truncate(time.Second)
	}
	der, err := selfSigned(private, a.UniqueID, c.Now, end)
	if err != nil {
		return nil, err
	}
	k := &iam.Key{ID: newKeyID(c, der), Certificate: der, Origin: "GOOGLE_PROVIDED", Algorithm: "KEY_ALG_RSA_2048",
		ValidAfter: c.Now.Truncate(time.Second), ValidBefore: end}
	file, err := keyFile(a, k.ID, private)
	if err != nil {
		return nil, err
	}
	k.Usable = c.State().After(iam.KeyMade, c.Now)
	a.Keys = append(a.Keys, k)
	m := showKey(k, a)
	m["privateKeyType"] = "TYPE_GOOGLE_CREDENTIALS_FILE"
	m["privateKeyData"] = base64.StdEncoding.EncodeToString(file)
	return m, nil
}

func selfSigned(private *rsa.PrivateKey, name string, from, to time.Time) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetInt64(from.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	return x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
}

// keyFile is the JSON file that clients read (google.aip.dev/auth/4112).
func keyFile(a *iam.Account, id string, private *rsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": a.ProjectID, "private_key_id": id,
		"private_key": string(wire.PEM("PRIVATE KEY", der)), "client_email": a.Email, "client_id": a.UniqueID,
		"auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": tokenURI,
		"auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
		"client_x509_cert_url":        "https://www.googleapis.com/robot/v1/metadata/x509/" + a.Email,
		"universe_domain":             "googleapis.com",
	}, "", "  ")
}

func uploadKey(c *wire.Call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccountKeys.create")
	if err != nil {
		return nil, err
	}
	var body struct {
		PublicKeyData []byte `json:"publicKeyData"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if err := keyConstraint(c, a, iam.NoUploads, "Key upload is not allowed on this service account."); err != nil {
		if c.State().Doubts.UploadRefusalBare {
			err.Details = nil
		}
		return nil, err
	}
	block, _ := pem.Decode(body.PublicKeyData)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, wire.Invalid("Invalid public key data: a PEM X.509 certificate is expected.")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, wire.Invalid("Invalid public key data: %v", err)
	}
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, wire.Invalid("Invalid public key data: the certificate does not wrap an RSA key.")
	}
	if limit, limited := keyLifetime(c.State(), a.ProjectID); limited && cert.NotAfter.After(c.Now.Add(limit)) {
		return nil, keyRefusal(a, iam.KeyExpiry, "The key expires later than is allowed on this service account.")
	}
	algorithm := map[int]string{1024: "KEY_ALG_RSA_1024", 2048: "KEY_ALG_RSA_2048"}[public.N.BitLen()]
	if algorithm == "" {
		algorithm = "KEY_ALG_UNSPECIFIED"
	}
	k := &iam.Key{ID: newKeyID(c, block.Bytes), Certificate: block.Bytes, Origin: "USER_PROVIDED", Algorithm: algorithm,
		ValidAfter: cert.NotBefore, ValidBefore: cert.NotAfter}
	if slices.ContainsFunc(a.Keys, func(old *iam.Key) bool { return bytes.Equal(old.Certificate, k.Certificate) }) {
		return nil, wire.AlreadyExists("Service account key %s already exists.", k.ID)
	}
	if err := roomForKey(c, a); err != nil {
		return nil, err
	}
	k.Usable = c.State().After(iam.KeyMade, c.Now)
	a.Keys = append(a.Keys, k)
	return showKey(k, a), nil
}

// showSystemKey is a key that Google holds, as the API shows it.
func showSystemKey(k *iam.SystemKey, a *iam.Account) map[string]any {
	return map[string]any{
		"name": a.Name() + "/keys/" + k.ID, "keyAlgorithm": "KEY_ALG_RSA_2048",
		"keyOrigin": "GOOGLE_PROVIDED", "keyType": "SYSTEM_MANAGED",
		"validAfterTime": wire.Time(k.From), "validBeforeTime": wire.Time(k.Until()),
	}
}

func listKeys(c *wire.Call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccountKeys.list")
	if err != nil {
		return nil, err
	}
	types := c.Request.URL.Query()["keyTypes"]
	wanted := func(t string) bool {
		return slices.Contains(types, t) || len(types) == 0 &&
			(t != "SYSTEM_MANAGED" || !c.State().Doubts.SystemKeyHidden)
	}
	keys := []any{}
	if wanted("USER_MANAGED") {
		for _, k := range a.Keys {
			keys = append(keys, showKey(k, a))
		}
	}
	if wanted("SYSTEM_MANAGED") {
		for _, k := range a.SystemKeys(c.Now) {
			keys = append(keys, showSystemKey(k, a))
		}
	}
	if len(keys) == 0 {
		return struct{}{}, nil
	}
	return map[string]any{"keys": keys}, nil
}

// findKey returns the key that the path names, to a caller with the permission.
func findKey(c *wire.Call, permission string) (*iam.Account, int, error) {
	a, err := accountFor(c, permission)
	if err != nil {
		return nil, 0, err
	}
	i, err := keyOf(c, a)
	return a, i, err
}

// keyOf is where the key that the path names stands among those that users made for the account.
func keyOf(c *wire.Call, a *iam.Account) (int, error) {
	i := slices.IndexFunc(a.Keys, func(k *iam.Key) bool { return k.ID == c.Vars["key"] })
	if i < 0 {
		return 0, wire.NotFound("Service account key %s does not exist.", c.Vars["key"])
	}
	return i, nil
}

// getKey shows a key: one that a user made, or one that Google holds.
func getKey(c *wire.Call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccountKeys.get")
	if err != nil {
		return nil, err
	}
	for _, k := range a.SystemKeys(c.Now) {
		if k.ID == c.Vars["key"] {
			return getSystemKey(c, a, k.ID)
		}
	}
	i, err := keyOf(c, a)
	if err != nil {
		return nil, err
	}
	return withPublicKey(c, showKey(a.Keys[i], a), a.Keys[i].Certificate)
}

// getSystemKey shows a key that Google holds, made if its public half is asked for.
func getSystemKey(c *wire.Call, a *iam.Account, id string) (any, error) {
	keys := a.SystemKeys(c.Now)
	if c.Query("publicKeyType") != "" {
		var err error
		if keys, err = a.SystemSigner(c.Now, c.NewKey); err != nil {
			return nil, err
		}
	}
	k := keys[slices.IndexFunc(keys, func(k *iam.SystemKey) bool { return k.ID == id })]
	if k.Private() == nil {
		return showSystemKey(k, a), nil
	}
	certificate, err := systemCertificate(a, k)
	if err != nil {
		return nil, err
	}
	return withPublicKey(c, showSystemKey(k, a), certificate)
}

// withPublicKey adds the public half of a key to what is shown of it, in the form that the caller asks for.
func withPublicKey(c *wire.Call, shown map[string]any, certificate []byte) (any, error) {
	switch c.Query("publicKeyType") {
	case "TYPE_X509_PEM_FILE":
		shown["publicKeyData"] = wire.PEM("CERTIFICATE", certificate)
	case "TYPE_RAW_PUBLIC_KEY":
		public, err := (&iam.Key{Certificate: certificate}).Public()
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return nil, err
		}
		shown["publicKeyData"] = wire.PEM("PUBLIC KEY", der)
	}
	return shown, nil
}

// deleteKey forgets a key. Tokens made with it stay valid.
func deleteKey(c *wire.Call) (any, error) {
	a, i, err := findKey(c, "iam.serviceAccountKeys.delete")
	if err != nil {
		return nil, err
	}
	a.Keys = slices.Delete(a.Keys, i, i+1)
	return struct{}{}, nil
}

// switchKey disables or enables a key. Tokens made with it stay valid.
func switchKey(c *wire.Call, permission string, off bool) (any, error) {
	a, i, err := findKey(c, permission)
	if err != nil {
		return nil, err
	}
	a.Keys[i].Disabled = off
	return struct{}{}, nil
}

func disableKey(c *wire.Call) (any, error) {
	return switchKey(c, "iam.serviceAccountKeys.disable", true)
}
func enableKey(c *wire.Call) (any, error) {
	return switchKey(c, "iam.serviceAccountKeys.enable", false)
}
