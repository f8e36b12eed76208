package emulator

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"time"
)

func signer(c *call) (*rsa.PrivateKey, error) { return c.state().signer(c.newKey) }

// idTokenKey names the signing key where it signs ID tokens.
func idTokenKey(k *rsa.PrivateKey) string { return keyID(x509.MarshalPKCS1PublicKey(&k.PublicKey)) }

// signJWT signs a claims set, JSON as it is, by RS256.
func signJWT(key *rsa.PrivateKey, id string, claims []byte) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "RS256", "kid": id, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	signature, err := signSHA256(key, []byte(signed))
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func signSHA256(key *rsa.PrivateKey, message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	return rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
}

// generateIDToken makes an OpenID Connect token of an account for an audience.
func generateIDToken(c *call) (any, error) {
	var body struct {
		Audience     string   `json:"audience"`
		IncludeEmail bool     `json:"includeEmail"`
		Delegates    []string `json:"delegates"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body.Audience == "" {
		return nil, invalid("Audience required.")
	}
	a, err := impersonate(c, body.Delegates, "iam.serviceAccounts.getOpenIdToken")
	if err != nil {
		return nil, err
	}
	key, err := signer(c)
	if err != nil {
		return nil, err
	}
	claims := map[string]any{
		"iss": "https://accounts.google.com", "aud": body.Audience, "azp": a.UniqueID, "sub": a.UniqueID,
		"iat": c.now.Unix(), "exp": c.now.Add(maxTokenLifetime).Unix(),
	}
	if body.IncludeEmail {
		claims["email"], claims["email_verified"] = a.Email, true
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	token, err := signJWT(key, idTokenKey(key), raw)
	if err != nil {
		return nil, err
	}
	return map[string]string{"token": token}, nil
}

// maxSignedLifetime is how far ahead a signed JWT may expire.
const maxSignedLifetime = 12 * time.Hour

// generateSignedJWT signs a claims set with the account's system-managed key, for
// either of the two APIs that do.
func generateSignedJWT(c *call) (any, error) {
	var body struct {
		Payload   string   `json:"payload"`
		Delegates []string `json:"delegates"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	a, err := impersonate(c, body.Delegates, "iam.serviceAccounts.signJwt")
	if err != nil {
		return nil, err
	}
	payload := []byte(body.Payload)
	var set map[string]json.RawMessage
	if json.Unmarshal(payload, &set) != nil || set == nil {
		return nil, invalid("The payload must be a JSON object, the claims of the JWT.")
	}
	if raw, ok := set["exp"]; ok {
		var exp int64
		if json.Unmarshal(raw, &exp) != nil {
			return nil, invalid("The claim exp must be an integer.")
		}
		if at := time.Unix(exp, 0); at.Before(c.now) || at.After(c.now.Add(maxSignedLifetime)) {
			return nil, invalid("The claim exp must be in the future, and at most %d hours ahead.", int(maxSignedLifetime.Hours()))
		}
	} else {
		set["exp"] = fmt.Append(nil, c.now.Add(maxTokenLifetime).Unix())
		if payload, err = json.Marshal(set); err != nil {
			return nil, err
		}
	}
	key, err := signer(c)
	if err != nil {
		return nil, err
	}
	id := a.systemKeyID(c.now)
	token, err := signJWT(key, id, payload)
	if err != nil {
		return nil, err
	}
	return map[string]string{"keyId": id, "signedJwt": token}, nil
}

// signBlob signs bytes with the account's system-managed key. The older of the two
// APIs calls the bytes, and what becomes of them, by other names.
func signBlob(c *call) (any, error) {
	var body struct {
		Payload     []byte   `json:"payload"`
		BytesToSign []byte   `json:"bytesToSign"`
		Delegates   []string `json:"delegates"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	a, err := impersonate(c, body.Delegates, "iam.serviceAccounts.signBlob")
	if err != nil {
		return nil, err
	}
	message, field := body.Payload, "signedBlob"
	if c.method.host == iamHost {
		message, field = body.BytesToSign, "signature"
	}
	key, err := signer(c)
	if err != nil {
		return nil, err
	}
	signature, err := signSHA256(key, message)
	if err != nil {
		return nil, err
	}
	return map[string]any{"keyId": a.systemKeyID(c.now), field: signature}, nil
}

// certificateMethods publish the keys that signatures are checked with.
func certificateMethods() []method {
	ms := []method{
		{id: "oauth2.certs", pattern: "GET /oauth2/v3/certs", serve: idTokenJWKS},
		{id: "oauth2.certs", pattern: "GET /oauth2/v1/certs", serve: idTokenCertificates},
		{id: "serviceAccounts.jwk", pattern: "GET /service_accounts/v1/jwk/{account}", serve: accountJWKS},
		{id: "serviceAccounts.x509", pattern: "GET /service_accounts/v1/metadata/x509/{account}", serve: accountCertificates},
		{id: "serviceAccounts.x509", pattern: "GET /robot/v1/metadata/x509/{account}", serve: accountCertificates},
	}
	for i := range ms {
		// The first of them to be called makes the key.
		ms[i].host, ms[i].public, ms[i].writes = "www.googleapis.com", true, true
	}
	return ms
}

func jwkOf(id string, k *rsa.PublicKey) map[string]string {
	number := base64.RawURLEncoding.EncodeToString
	return map[string]string{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": id,
		"n": number(k.N.Bytes()), "e": number(big.NewInt(int64(k.E)).Bytes())}
}

func idTokenJWKS(c *call) (any, error) {
	key, err := signer(c)
	if err != nil {
		return nil, err
	}
	return map[string]any{"keys": []any{jwkOf(idTokenKey(key), &key.PublicKey)}}, nil
}

func idTokenCertificates(c *call) (any, error) {
	key, err := signer(c)
	if err != nil {
		return nil, err
	}
	from := c.now.Truncate(systemKeyPeriod)
	der, err := selfSigned(key, "federated-signon.system.gserviceaccount.com", from, from.Add(systemKeyPeriod))
	if err != nil {
		return nil, err
	}
	return map[string]string{idTokenKey(key): string(pemOf("CERTIFICATE", der))}, nil
}

// publicAccount returns the account whose keys are asked for. They are public.
func publicAccount(c *call) (*serviceAccount, error) {
	a := c.state().accountByEmail(c.vars["account"])
	if a == nil {
		return nil, fail(http.StatusNotFound, "NOT_FOUND", "notFound", "Service account %s does not exist.", c.vars["account"])
	}
	return a, nil
}

func accountJWKS(c *call) (any, error) {
	a, err := publicAccount(c)
	if err != nil {
		return nil, err
	}
	key, err := signer(c)
	if err != nil {
		return nil, err
	}
	keys := []any{jwkOf(a.systemKeyID(c.now), &key.PublicKey)}
	for _, k := range a.Keys {
		public, err := k.public()
		if err != nil {
			return nil, err
		}
		keys = append(keys, jwkOf(k.ID, public))
	}
	return map[string]any{"keys": keys}, nil
}

func accountCertificates(c *call) (any, error) {
	a, err := publicAccount(c)
	if err != nil {
		return nil, err
	}
	key, err := signer(c)
	if err != nil {
		return nil, err
	}
	from := c.now.Truncate(systemKeyPeriod)
	der, err := selfSigned(key, a.Email, from, from.Add(systemKeyPeriod))
	if err != nil {
		return nil, err
	}
	out := map[string]string{a.systemKeyID(c.now): string(pemOf("CERTIFICATE", der))}
	for _, k := range a.Keys {
		out[k.ID] = string(pemOf("CERTIFICATE", k.Certificate))
	}
	return out, nil
}
