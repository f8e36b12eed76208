package iamapi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/lazy"
)

const (
	maxAttributes    = 50   // custom ones
	maxAttributeSize = 8192 // bytes, of all values
)

// mappingEnv is the CEL of attribute mappings and conditions.
var mappingEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		ext.Strings(),
		cel.Variable("assertion", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("google", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("attribute", cel.MapType(cel.StringType, cel.StringType)),
		cel.Function("extract", cel.MemberOverload("string_extract", []*cel.Type{cel.StringType, cel.StringType},
			cel.StringType,
			cel.BinaryBinding(iam.Extract))),
	)
})

func mappingProgram(expression string) (cel.Program, error) {
	env, err := mappingEnv()
	if err != nil {
		return nil, err
	}
	tree, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	return env.Program(tree, cel.CostLimit(100_000))
}

var attributeName = lazy.Regexp(
	`^(google\.subject|google\.groups|google\.display_name|attribute\.[a-z0-9_]{1,100})$`)

// checkProvider refuses a provider that could never let anybody in.
func checkProvider(p *iam.IdentityProvider) error {
	if p.Issuer == "" {
		return errors.New("it has no issuer")
	}
	if _, err := parseJWKS(p.JWKS); err != nil {
		return fmt.Errorf("reading its keys: %w", err)
	}
	if p.Mapping["google.subject"] == "" {
		return errors.New("its mapping lacks google.subject")
	}
	if len(p.Mapping) > maxAttributes+3 {
		return fmt.Errorf("its mapping has more than %d attributes", maxAttributes)
	}
	for name, expression := range p.Mapping {
		if !attributeName().MatchString(name) {
			return fmt.Errorf("its mapping names %q", name)
		}
		if _, err := mappingProgram(expression); err != nil {
			return fmt.Errorf("compiling its mapping of %s: %w", name, err)
		}
	}
	if p.Condition != "" {
		if _, err := mappingProgram(p.Condition); err != nil {
			return fmt.Errorf("compiling its condition: %w", err)
		}
	}
	return nil
}

// jwk is a public key of RFC 7517.
type jwk struct {
	Type  string `json:"kty"`
	ID    string `json:"kid"`
	N     string `json:"n"`
	E     string `json:"e"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// parseJWKS returns the keys of a set by their ids.
func parseJWKS(raw []byte) (map[string]crypto.PublicKey, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, err
	}
	keys := map[string]crypto.PublicKey{}
	for _, k := range set.Keys {
		key, err := k.public()
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k.ID, err)
		}
		keys[k.ID] = key
	}
	if len(keys) == 0 {
		return nil, errors.New("the set is empty")
	}
	return keys, nil
}

func (k jwk) public() (crypto.PublicKey, error) {
	number := func(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "=")) }
	switch {
	case k.Type == "RSA":
		n, err := number(k.N)
		if err != nil {
			return nil, err
		}
		e, err := number(k.E)
		if err != nil {
			return nil, err
		}
		exponent := new(big.Int).SetBytes(e)
		if len(n) < 128 || !exponent.IsInt64() || exponent.Int64() < 3 || exponent.Int64() > 1<<31-1 {
			return nil, errors.New("malformed RSA key")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
	case k.Type == "EC" && k.Curve == "P-256":
		x, err := number(k.X)
		if err != nil {
			return nil, err
		}
		y, err := number(k.Y)
		if err != nil {
			return nil, err
		}
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	}
	return nil, fmt.Errorf("keys of type %s %s are not supported", k.Type, k.Curve)
}

// verified reports whether key made the signature of a JWT by the algorithm that the
// JWT names. No other than RS256 and ES256 are taken.
func verified(key crypto.PublicKey, algorithm, signed string, signature []byte) bool {
	sum := sha256.Sum256([]byte(signed))
	switch key := key.(type) {
	case *rsa.PublicKey:
		return algorithm == "RS256" && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case *ecdsa.PublicKey:
		if algorithm != "ES256" || len(signature) != 64 {
			return false
		}
		return ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	}
	return false
}

// Why a subject token is refused, in the words of the token service where they are
// known (iam/docs/troubleshooting-workload-identity-federation).
var (
	errSubjectToken = wire.OAuthError(400, "invalid_grant",
		"ID Token is not a JWT with an algorithm of RS256 or ES256 and a key id.")
	errSubjectKey   = wire.OAuthError(400, "invalid_grant", "Error connecting to the given credential's issuer.")
	errSubjectSign  = wire.OAuthError(400, "invalid_grant", "Invalid JWT Signature.")
	errSubjectTimes = wire.OAuthError(400, "invalid_grant",
		"ID Token is stale, not valid yet, or valid for more than 24 hours.")
	errSubjectTooBig = wire.OAuthError(400, "invalid_request",
		"The size of mapped attribute google.subject exceeds the %d bytes limit. "+
			"Either modify your attribute mapping or the incoming assertion to produce a mapped attribute that is "+
			"less than %d bytes.", iam.MaxSubject, iam.MaxSubject)
	errSubjectCondition = wire.OAuthError(400, "unauthorized_client",
		"The given credential is rejected by the attribute condition.")
)

// maxAssertionLifetime is the most between iat and exp of a subject token.
const maxAssertionLifetime = 24 * time.Hour

// readAssertion verifies a subject token and returns its claims.
func readAssertion(p *iam.IdentityProvider, token, name string, now time.Time) (map[string]any, error) {
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	var c iam.Claims
	all := map[string]any{}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || iam.DecodePart(parts[0], &header) != nil || iam.DecodePart(parts[1], &c) != nil ||
		iam.DecodePart(parts[1], &all) != nil ||
		header.KeyID == "" || header.Algorithm != "RS256" && header.Algorithm != "ES256" {
		return nil, errSubjectToken
	}
	signature, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[2], "="))
	if err != nil {
		return nil, errSubjectToken
	}
	if c.Issuer != p.Issuer {
		return nil, wire.OAuthError(400, "invalid_grant",
			"The issuer in ID Token %s does not match the expected ones: %s", c.Issuer, p.Issuer)
	}
	keys, err := parseJWKS(p.JWKS)
	if err != nil || keys[header.KeyID] == nil {
		return nil, errSubjectKey
	}
	if !verified(keys[header.KeyID], header.Algorithm, parts[0]+"."+parts[1], signature) {
		return nil, errSubjectSign
	}
	issued, expires := time.Unix(c.IssuedAt, 0), time.Unix(c.Expires, 0)
	if !now.Before(expires) || issued.After(now.Add(iam.ClockSkew)) || expires.Sub(issued) > maxAssertionLifetime {
		return nil, errSubjectTimes
	}
	allowed := p.Audiences
	if len(allowed) == 0 {
		allowed = []string{"https://" + iam.Host + "/" + name, "//" + iam.Host + "/" + name}
	}
	if !slices.ContainsFunc(c.Audience, func(aud string) bool { return slices.Contains(allowed, aud) }) {
		return nil, wire.OAuthError(400, "invalid_grant",
			"The audience in ID Token [%s] does not match the expected audience %s.",
			strings.Join(c.Audience, ", "), strings.Join(allowed, ", "))
	}
	return all, nil
}

// identify maps the claims of a subject token to an identity of the pool, if the
// provider's condition lets it in.
func identify(p *iam.IdentityProvider, pool string, assertion map[string]any) (*iam.Federated, error) {
	f := &iam.Federated{Pool: pool, Attributes: map[string]string{}}
	google := map[string]any{}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(p.Mapping)) {
		value, err := evaluate(p.Mapping[name], map[string]any{"assertion": assertion, "google": map[string]any{},
			"attribute": map[string]string{}})
		if err != nil {
			return nil, wire.OAuthError(400, "invalid_grant", "Evaluating the mapping of %s: %v", name, err)
		}
		if name == "google.groups" {
			list, err := value.ConvertToNative(stringsType)
			groups, ok := list.([]string)
			if err != nil || !ok {
				return nil, wire.OAuthError(400, "invalid_grant",
					"The mapped attribute google.groups must be a list of strings.")
			}
			f.Groups = groups
			google["groups"] = groups
			continue
		}
		text, ok := value.Value().(string)
		if !ok {
			return nil, wire.OAuthError(400, "invalid_grant", "The mapped attribute %s must be of type STRING.", name)
		}
		if custom, ok := strings.CutPrefix(name, "attribute."); ok {
			f.Attributes[custom] = text
			size += len(text)
			continue
		}
		google[strings.TrimPrefix(name, "google.")] = text
	}
	f.Subject, _ = google["subject"].(string)
	switch {
	case f.Subject == "":
		return nil, wire.OAuthError(400, "invalid_grant", "The mapped attribute google.subject is empty.")
	case len(f.Subject) > iam.MaxSubject:
		return nil, errSubjectTooBig
	case size > maxAttributeSize:
		return nil, wire.OAuthError(400, "invalid_request",
			"The size of the mapped attributes exceeds the %d bytes limit.", maxAttributeSize)
	}
	if p.Condition == "" {
		return f, nil
	}
	// As in allow policies, what cannot be evaluated is a no.
	yes, err := evaluate(p.Condition, map[string]any{"assertion": assertion, "google": google,
		"attribute": f.Attributes})
	if err != nil || yes != types.True {
		return nil, errSubjectCondition
	}
	return f, nil
}
