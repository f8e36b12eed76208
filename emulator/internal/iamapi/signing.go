package iamapi

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

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// signer returns the key behind Google's own signatures.
func signer(c *wire.Call) (*rsa.PrivateKey, error) { return c.State().Signer(c.NewKey) }

// systemSigner returns the key that Google holds for the account, and signs with now.
func systemSigner(c *wire.Call, a *iam.Account) (*iam.SystemKey, error) {
	keys, err := a.SystemSigner(c.Now, c.NewKey)
	if err != nil {
		return nil, err
	}
	return keys[len(keys)-1], nil
}

// systemCertificate is the public half of such a key, as Google publishes it.
func systemCertificate(a *iam.Account, k *iam.SystemKey) ([]byte, error) {
	return selfSigned(k.Private(), a.Email, k.From, k.Until())
}

// idTokenKey names the signing key where it signs ID tokens.
func idTokenKey(k *rsa.PrivateKey) string { return iam.KeyID(x509.MarshalPKCS1PublicKey(&k.PublicKey)) }

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
func generateIDToken(c *wire.Call) (any, error) {
	var body struct {
		Audience     string   `json:"audience"`
		IncludeEmail bool     `json:"includeEmail"`
		Delegates    []string `json:"delegates"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	if body.Audience == "" {
		return nil, wire.Invalid("Audience required.")
	}
	a, err := impersonate(c, body.Delegates, "iam.serviceAccounts.getOpenIdToken")
	if err != nil {
		return nil, err
	}
	claims := map[string]any{"aud": body.Audience, "azp": a.UniqueID}
	if body.IncludeEmail {
		claims["email"], claims["email_verified"] = a.Email, true
	}
	token, err := idToken(c, a, claims)
	if err != nil {
		return nil, err
	}
	return map[string]string{"token": token}, nil
}

// idToken signs an identity token of an account, as Google, with what the claims say beside the account and the times.
func idToken(c *wire.Call, a *iam.Account, claims map[string]any) (string, error) {
	key, err := signer(c)
	if err != nil {
		return "", err
	}
	claims["iss"], claims["sub"] = "https://accounts.google.com", a.UniqueID
	claims["iat"], claims["exp"] = c.Now.Unix(), c.Now.Add(maxTokenLifetime).Unix()
	raw, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return signJWT(key, idTokenKey(key), raw)
}

// maxSignedLifetime is how far ahead a signed JWT may expire.
const maxSignedLifetime = 12 * time.Hour

// generateSignedJWT signs a claims set with the account's system-managed key, for
// either of the two APIs that do.
func generateSignedJWT(c *wire.Call) (any, error) {
	var body struct {
		Payload   string   `json:"payload"`
		Delegates []string `json:"delegates"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	a, err := impersonate(c, body.Delegates, "iam.serviceAccounts.signJwt")
	if err != nil {
		return nil, err
	}
	payload := []byte(body.Payload)
	var set map[string]json.RawMessage
	if json.Unmarshal(payload, &set) != nil || set == nil {
		return nil, wire.Invalid("The payload must be a JSON object, the claims of the JWT.")
	}
	if raw, ok := set["exp"]; ok {
		var exp int64
		if json.Unmarshal(raw, &exp) != nil {
			return nil, wire.Invalid("The claim exp must be an integer.")
		}
		if at := time.Unix(exp, 0); at.Before(c.Now) || at.After(c.Now.Add(maxSignedLifetime)) {
			return nil, wire.Invalid("The claim exp must be in the future, and at most %d hours ahead.",
				int(maxSignedLifetime.Hours()))
		}
	} else {
		set["exp"] = fmt.Append(nil, c.Now.Add(maxTokenLifetime).Unix())
		if payload, err = json.Marshal(set); err != nil {
			return nil, err
		}
	}
	key, err := systemSigner(c, a)
	if err != nil {
		return nil, err
	}
	token, err := signJWT(key.Private(), key.ID, payload)
	if err != nil {
		return nil, err
	}
	return map[string]string{"keyId": key.ID, "signedJwt": token}, nil
}

// signBlob signs bytes with the account's system-managed key. The older of the two
// APIs calls the bytes, and what becomes of them, by other names.
func signBlob(c *wire.Call) (any, error) {
	var body struct {
		Payload     []byte   `json:"payload"`
		BytesToSign []byte   `json:"bytesToSign"`
		Delegates   []string `json:"delegates"`
	}
	if err := c.Decode(&body); err != nil {
		return nil, err
	}
	a, err := impersonate(c, body.Delegates, "iam.serviceAccounts.signBlob")
	if err != nil {
		return nil, err
	}
	message, field := body.Payload, "signedBlob"
	if c.Method.Host == iam.Host {
		message, field = body.BytesToSign, "signature"
	}
	key, err := systemSigner(c, a)
	if err != nil {
		return nil, err
	}
	signature, err := signSHA256(key.Private(), message)
	if err != nil {
		return nil, err
	}
	return map[string]any{"keyId": key.ID, field: signature}, nil
}

// certificateMethods publish the keys that signatures are checked with.
func certificateMethods() []wire.Method {
	ms := []wire.Method{
		{ID: "oauth2.certs", Pattern: "GET /oauth2/v3/certs", Serve: idTokenJWKS},
		{ID: "oauth2.certs", Pattern: "GET /oauth2/v1/certs", Serve: idTokenCertificates},
		{ID: "serviceAccounts.jwk", Pattern: "GET /service_accounts/v1/jwk/{account}", Serve: accountJWKS},
		{ID: "serviceAccounts.x509", Pattern: "GET /service_accounts/v1/metadata/x509/{account}",
			Serve: accountCertificates},
		{ID: "serviceAccounts.x509", Pattern: "GET /robot/v1/metadata/x509/{account}", Serve: accountCertificates},
	}
	for i := range ms {
		// The first of them to be called makes the key.
		ms[i].Host, ms[i].Public, ms[i].Writes = "www.googleapis.com", true, true
	}
	return ms
}

func jwkOf(id string, k *rsa.PublicKey) map[string]string {
	number := base64.RawURLEncoding.EncodeToString
	return map[string]string{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": id,
		"n": number(k.N.Bytes()), "e": number(big.NewInt(int64(k.E)).Bytes())}
}

func idTokenJWKS(c *wire.Call) (any, error) {
	key, err := signer(c)
	if err != nil {
		return nil, err
	}
	return map[string]any{"keys": []any{jwkOf(idTokenKey(key), &key.PublicKey)}}, nil
}

func idTokenCertificates(c *wire.Call) (any, error) {
	key, err := signer(c)
	if err != nil {
		return nil, err
	}
	from := c.Now.Truncate(iam.SystemKeyPeriod)
	der, err := selfSigned(key, "federated-signon.system.gserviceaccount.com", from, from.Add(iam.SystemKeyPeriod))
	if err != nil {
		return nil, err
	}
	return map[string]string{idTokenKey(key): string(wire.PEM("CERTIFICATE", der))}, nil
}

// publicAccount returns the account whose keys are asked for. They are public.
func publicAccount(c *wire.Call) (*iam.Account, error) {
	a := c.State().AccountByEmail(c.Vars["account"])
	if a == nil {
		return nil, wire.Fail(http.StatusNotFound, "NOT_FOUND", "notFound", "Service account %s does not exist.",
			c.Vars["account"])
	}
	return a, nil
}

func accountJWKS(c *wire.Call) (any, error) {
	a, err := publicAccount(c)
	if err != nil {
		return nil, err
	}
	system, err := a.SystemSigner(c.Now, c.NewKey)
	if err != nil {
		return nil, err
	}
	var keys []any
	for _, k := range system {
		keys = append(keys, jwkOf(k.ID, &k.Private().PublicKey))
	}
	for _, k := range a.Keys {
		public, err := k.Public()
		if err != nil {
			return nil, err
		}
		keys = append(keys, jwkOf(k.ID, public))
	}
	return map[string]any{"keys": keys}, nil
}

func accountCertificates(c *wire.Call) (any, error) {
	a, err := publicAccount(c)
	if err != nil {
		return nil, err
	}
	system, err := a.SystemSigner(c.Now, c.NewKey)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, k := range system {
		der, err := systemCertificate(a, k)
		if err != nil {
			return nil, err
		}
		out[k.ID] = string(wire.PEM("CERTIFICATE", der))
	}
	for _, k := range a.Keys {
		out[k.ID] = string(wire.PEM("CERTIFICATE", k.Certificate))
	}
	return out, nil
}
