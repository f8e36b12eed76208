package emulator

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
)

// maxKeys is how many user-managed keys an account may have.
const maxKeys = 10

// showKey is the key as the API shows it.
func showKey(k *accountKey, a *serviceAccount) map[string]any {
	m := map[string]any{
		"name": a.name() + "/keys/" + k.ID, "keyAlgorithm": k.Algorithm, "keyOrigin": k.Origin, "keyType": "USER_MANAGED",
		"validAfterTime": apiTime(k.ValidAfter), "validBeforeTime": apiTime(k.ValidBefore),
	}
	if k.Disabled {
		m["disabled"] = true
		m["disableReason"] = "SERVICE_ACCOUNT_KEY_DISABLE_REASON_USER_INITIATED"
	}
	return m
}

// roomForKey refuses an account's eleventh key.
func roomForKey(c *call, a *serviceAccount) error {
	switch {
	case len(a.Keys) < maxKeys:
		return nil
	case c.state().Doubts.KeyLimitExhausted:
		return fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded", "Maximum number of keys on account reached.").
			withDetails(map[string]any{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "86401s"})
	}
	return precondition("Precondition check failed.")
}

// keyConstraint is the refusal by an organization policy on keys of the account, or nil.
func keyConstraint(c *call, a *serviceAccount, constraint, message string) *refusal {
	_, blocked := c.state().projectConstraint(a.ProjectID, constraint)
	if managed := managedNames[constraint]; !blocked {
		if _, blocked = c.state().projectConstraint(a.ProjectID, managed); !blocked {
			return nil
		}
		constraint = managed
	}
	return keyRefusal(a, constraint, message)
}

func keyRefusal(a *serviceAccount, constraint, message string) *refusal {
	return refuseByPolicy(constraint, a.name()+"?configvalue="+url.QueryEscape(a.Email), message)
}

// newKeyID names a key by its certificate.
func newKeyID(c *call, der []byte) string {
	if c.state().Doubts.RandomKeyIDs {
		b := make([]byte, sha1.Size)
		_, _ = rand.Read(b) // never fails
		return hex.EncodeToString(b)
	}
	return keyID(der)
}

func createKey(c *call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccountKeys.create")
	if err != nil {
		return nil, err
	}
	var body struct {
		PrivateKeyType string `json:"privateKeyType"`
		KeyAlgorithm   string `json:"keyAlgorithm"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if t := body.PrivateKeyType; t != "" && t != "TYPE_GOOGLE_CREDENTIALS_FILE" && t != "TYPE_UNSPECIFIED" {
		return nil, fail(501, "UNIMPLEMENTED", "notImplemented", "The emulator does not make keys of type %s.", t)
	}
	if t := body.KeyAlgorithm; t != "" && t != "KEY_ALG_RSA_2048" && t != "KEY_ALG_UNSPECIFIED" {
		return nil, fail(501, "UNIMPLEMENTED", "notImplemented", "The emulator does not make keys of algorithm %s.", t)
	}
	if err := keyConstraint(c, a, noKeys, "Key creation is not allowed on this service account."); err != nil {
		return nil, err
	}
	if err := roomForKey(c, a); err != nil {
		return nil, err
	}
	private, err := c.newKey()
	if err != nil {
		return nil, err
	}
	end := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	if limit, limited := keyLifetime(c.state(), a.ProjectID); limited {
		end = c.now.Add(limit).Truncate(time.Second)
	}
	der, err := selfSigned(private, a.UniqueID, c.now, end)
	if err != nil {
		return nil, err
	}
	k := &accountKey{ID: newKeyID(c, der), Certificate: der, Origin: "GOOGLE_PROVIDED", Algorithm: "KEY_ALG_RSA_2048",
		ValidAfter: c.now.Truncate(time.Second), ValidBefore: end}
	file, err := keyFile(a, k.ID, private)
	if err != nil {
		return nil, err
	}
	k.Usable = c.state().after(keyMade, c.now)
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
func keyFile(a *serviceAccount, id string, private *rsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": a.ProjectID, "private_key_id": id,
		"private_key": string(pemOf("PRIVATE KEY", der)), "client_email": a.Email, "client_id": a.UniqueID,
		"auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": tokenURI,
		"auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
		"client_x509_cert_url":        "https://www.googleapis.com/robot/v1/metadata/x509/" + a.Email,
		"universe_domain":             "googleapis.com",
	}, "", "  ")
}

func uploadKey(c *call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccountKeys.create")
	if err != nil {
		return nil, err
	}
	var body struct {
		PublicKeyData []byte `json:"publicKeyData"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if err := keyConstraint(c, a, noUploads, "Key upload is not allowed on this service account."); err != nil {
		if c.state().Doubts.UploadRefusalBare {
			err.Details = nil
		}
		return nil, err
	}
	block, _ := pem.Decode(body.PublicKeyData)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, invalid("Invalid public key data: a PEM X.509 certificate is expected.")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, invalid("Invalid public key data: %v", err)
	}
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, invalid("Invalid public key data: the certificate does not wrap an RSA key.")
	}
	if limit, limited := keyLifetime(c.state(), a.ProjectID); limited && cert.NotAfter.After(c.now.Add(limit)) {
		return nil, keyRefusal(a, keyExpiry, "The key expires later than is allowed on this service account.")
	}
	algorithm := map[int]string{1024: "KEY_ALG_RSA_1024", 2048: "KEY_ALG_RSA_2048"}[public.N.BitLen()]
	if algorithm == "" {
		algorithm = "KEY_ALG_UNSPECIFIED"
	}
	k := &accountKey{ID: newKeyID(c, block.Bytes), Certificate: block.Bytes, Origin: "USER_PROVIDED", Algorithm: algorithm,
		ValidAfter: cert.NotBefore, ValidBefore: cert.NotAfter}
	if slices.ContainsFunc(a.Keys, func(old *accountKey) bool { return bytes.Equal(old.Certificate, k.Certificate) }) {
		return nil, alreadyExists("Service account key %s already exists.", k.ID)
	}
	if err := roomForKey(c, a); err != nil {
		return nil, err
	}
	k.Usable = c.state().after(keyMade, c.now)
	a.Keys = append(a.Keys, k)
	return showKey(k, a), nil
}

// systemKey describes that key.
func systemKey(a *serviceAccount, now time.Time) map[string]any {
	from := now.Truncate(systemKeyPeriod)
	return map[string]any{
		"name": a.name() + "/keys/" + a.systemKeyID(now), "keyAlgorithm": "KEY_ALG_RSA_2048",
		"keyOrigin": "GOOGLE_PROVIDED", "keyType": "SYSTEM_MANAGED",
		"validAfterTime": apiTime(from), "validBeforeTime": apiTime(from.Add(systemKeyPeriod)),
	}
}

func listKeys(c *call) (any, error) {
	a, err := accountFor(c, "iam.serviceAccountKeys.list")
	if err != nil {
		return nil, err
	}
	types := c.r.URL.Query()["keyTypes"]
	wanted := func(t string) bool {
		return slices.Contains(types, t) || len(types) == 0 && (t != "SYSTEM_MANAGED" || !c.state().Doubts.SystemKeyHidden)
	}
	keys := []any{}
	if wanted("USER_MANAGED") {
		for _, k := range a.Keys {
			keys = append(keys, showKey(k, a))
		}
	}
	if wanted("SYSTEM_MANAGED") {
		keys = append(keys, systemKey(a, c.now))
	}
	if len(keys) == 0 {
		return struct{}{}, nil
	}
	return map[string]any{"keys": keys}, nil
}

// findKey returns the key that the path names, to a caller with the permission.
func findKey(c *call, permission string) (*serviceAccount, int, error) {
	a, err := accountFor(c, permission)
	if err != nil {
		return nil, 0, err
	}
	i := slices.IndexFunc(a.Keys, func(k *accountKey) bool { return k.ID == c.vars["key"] })
	if i < 0 {
		return nil, 0, notFound("Service account key %s does not exist.", c.vars["key"])
	}
	return a, i, nil
}

func getKey(c *call) (any, error) {
	a, i, err := findKey(c, "iam.serviceAccountKeys.get")
	if err != nil {
		return nil, err
	}
	k := a.Keys[i]
	m := showKey(k, a)
	switch c.query("publicKeyType") {
	case "TYPE_X509_PEM_FILE":
		m["publicKeyData"] = pemOf("CERTIFICATE", k.Certificate)
	case "TYPE_RAW_PUBLIC_KEY":
		public, err := k.public()
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return nil, err
		}
		m["publicKeyData"] = pemOf("PUBLIC KEY", der)
	}
	return m, nil
}

// deleteKey forgets a key. Tokens made with it live on.
func deleteKey(c *call) (any, error) {
	a, i, err := findKey(c, "iam.serviceAccountKeys.delete")
	if err != nil {
		return nil, err
	}
	a.Keys = slices.Delete(a.Keys, i, i+1)
	return struct{}{}, nil
}

// switchKey disables or enables a key. Tokens made with it live on.
func switchKey(c *call, permission string, off bool) (any, error) {
	a, i, err := findKey(c, permission)
	if err != nil {
		return nil, err
	}
	a.Keys[i].Disabled = off
	return struct{}{}, nil
}

func disableKey(c *call) (any, error) { return switchKey(c, "iam.serviceAccountKeys.disable", true) }
func enableKey(c *call) (any, error)  { return switchKey(c, "iam.serviceAccountKeys.enable", false) }
