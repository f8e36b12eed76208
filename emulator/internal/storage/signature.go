package storage

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// signature is what a request of the XML API is signed with by the V4 process, in its query, which makes it a signed
// URL, or in its Authorization header (storage/docs/authentication/signatures).
type signature struct {
	prefix                                        string // of its headers and parameters: "X-Goog-"
	inHeader                                      bool
	algorithm, credential, date, expires, headers string
	value                                         []byte
	scope                                         []string // date, location, service, type of request
	signer                                        string   // whose it is by the credential
}

const (
	rsaAlgorithm = "GOOG4-RSA-SHA256"
	// hmacAlgorithm is by an HMAC key, and amazonAlgorithm the same in the words of clients that were made for S3.
	hmacAlgorithm   = "GOOG4-HMAC-SHA256"
	amazonAlgorithm = "AWS4-HMAC-SHA256"

	signedTime     = "20060102T150405Z"
	maxURLLifetime = 7 * 24 * time.Hour
	maxTimeSkew    = 15 * time.Minute
)

// xmlFail is a refusal with the code that the XML API has for it.
func xmlFail(status int, code, format string, args ...any) *wire.Error {
	canonical := map[int]string{http.StatusBadRequest: "INVALID_ARGUMENT", http.StatusForbidden: "PERMISSION_DENIED"}
	e := wire.Fail(status, canonical[status], "", format, args...)
	e.Reason = code
	return e
}

func malformed(format string, args ...any) error {
	return xmlFail(http.StatusBadRequest, "MalformedSecurityHeader", format, args...)
}

func badSignature() error {
	return xmlFail(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match "+
		"the signature you provided. Check your Google secret key and signing method.")
}

// unknownSigner refuses a signature of whoever there is not, or may not act any more.
func unknownSigner() error {
	return xmlFail(http.StatusForbidden, "InvalidSecurity", "The provided security credentials are not valid.")
}

// signer returns the account that has signed a request, or nobody for a request without a signature. The account is
// who makes the call: IAM judges what it may do now.
func signer(c *wire.Call) (*iam.Principal, error) {
	var s signature
	value, ok := s.find(c)
	if !ok {
		return nil, nil
	}
	if err := s.read(value); err != nil {
		return nil, err
	}
	if err := s.checkTimes(c.Now); err != nil {
		return nil, err
	}
	payload, err := s.payload(c)
	if err != nil {
		return nil, err
	}
	texts, err := s.toSign(c, payload)
	if err != nil {
		return nil, err
	}
	return s.verify(c, texts)
}

// find reads what a request says of its signature, and the signature itself. It is false for a request without one.
func (s *signature) find(c *wire.Call) (value string, ok bool) {
	r := c.Request
	kind, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if s.inHeader = slices.Contains([]string{rsaAlgorithm, hmacAlgorithm, amazonAlgorithm}, kind); s.inHeader {
		s.algorithm, s.prefix = kind, prefixOf(kind)
		for part := range strings.SplitSeq(rest, ",") {
			switch name, v, _ := strings.Cut(strings.TrimSpace(part), "="); strings.ToLower(name) {
			case "credential":
				s.credential = v
			case "signedheaders":
				s.headers = v
			case "signature":
				value = v
			}
		}
		s.date = r.Header.Get(s.prefix + "Date")
		return value, true
	}
	if r.Header.Get("Authorization") != "" {
		return "", false
	}
	query := r.URL.Query()
	parameter := func(name string) string {
		for k, v := range query {
			if strings.EqualFold(k, s.prefix+name) {
				return v[0]
			}
		}
		return ""
	}
	for _, s.prefix = range []string{"X-Goog-", "X-Amz-"} {
		s.algorithm, value = parameter("Algorithm"), parameter("Signature")
		if s.algorithm != "" || value != "" {
			s.credential, s.date, s.expires = parameter("Credential"), parameter("Date"), parameter("Expires")
			s.headers = parameter("SignedHeaders")
			return value, true
		}
	}
	return "", false
}

// prefixOf is what headers and parameters begin with beside an algorithm.
func prefixOf(algorithm string) string {
	if algorithm == amazonAlgorithm {
		return "X-Amz-"
	}
	return "X-Goog-"
}

// read takes apart what a signature says.
func (s *signature) read(value string) (err error) {
	service := []string{"storage", "goog4_request"}
	switch s.algorithm {
	case rsaAlgorithm, hmacAlgorithm:
	case amazonAlgorithm:
		service = []string{"s3", "aws4_request"}
	default:
		return malformed("The algorithm %q is not known.", s.algorithm)
	}
	if s.prefix != prefixOf(s.algorithm) {
		return malformed("The algorithm %s does not go with parameters of %s.", s.algorithm, s.prefix)
	}
	if s.value, err = hex.DecodeString(value); err != nil || len(s.value) == 0 {
		return malformed("The signature is not hexadecimal.")
	}
	parts := strings.Split(s.credential, "/")
	if len(parts) < 5 {
		return malformed("Invalid credential: SIGNER/DATE/LOCATION/%s is expected.", strings.Join(service, "/"))
	}
	s.scope = parts[len(parts)-4:]
	s.signer = strings.Join(parts[:len(parts)-4], "/")
	if !slices.Equal(s.scope[2:], service) {
		return malformed("Invalid credential scope: %s.", strings.Join(s.scope, "/"))
	}
	return nil
}

// checkTimes refuses a signature that is not good yet or any more.
func (s *signature) checkTimes(now time.Time) error {
	at, err := time.Parse(signedTime, s.date)
	if err != nil || !strings.HasPrefix(s.date, s.scope[0]) {
		return malformed("Invalid date: %q.", s.date)
	}
	if s.inHeader {
		if at.After(now.Add(maxTimeSkew)) || at.Before(now.Add(-maxTimeSkew)) {
			return xmlFail(http.StatusForbidden, "RequestTimeTooSkewed", "The time of the request is %s.",
				at.Format(time.RFC3339))
		}
		return nil
	}
	if at.After(now.Add(maxTimeSkew)) {
		return xmlFail(http.StatusForbidden, "AccessDenied", "Request signature is not valid until: %s",
			at.Format(time.RFC3339))
	}
	seconds, err := strconv.Atoi(s.expires)
	if err != nil || seconds < 1 || seconds > int(maxURLLifetime/time.Second) {
		return malformed("Invalid X-Goog-Expires: %q. It must be between 1 and %d seconds.", s.expires,
			int(maxURLLifetime/time.Second))
	}
	if end := at.Add(time.Duration(seconds) * time.Second); !now.Before(end) {
		return xmlFail(http.StatusBadRequest, "ExpiredToken", "Request signature expired at: %s",
			end.Format(time.RFC3339))
	}
	return nil
}

const unsignedPayload = "UNSIGNED-PAYLOAD"

// payload is what stands for the body in what was signed: its hash, if the client says one, and then it has to be the
// right one.
func (s *signature) payload(c *wire.Call) (string, error) {
	said := c.Request.Header.Get(s.prefix + "Content-Sha256")
	switch {
	case said == "" || said == unsignedPayload:
		return unsignedPayload, nil
	case strings.HasPrefix(said, "STREAMING-"):
		return "", c.Unsupported("content that is signed in pieces")
	}
	sum := sha256.New()
	_, _ = sum.Write(c.Body) // one of the two is empty
	_, _ = c.Content.WriteTo(sum)
	if hex.EncodeToString(sum.Sum(nil)) != said {
		return "", xmlFail(http.StatusBadRequest, "BadDigest",
			"The hash of the content is not the one that was signed.")
	}
	return said, nil
}

// toSign is what has to have been signed, in each of the forms that mean this request: a client may leave the port out
// of the host, and where all services share an address it may mean the production name.
func (s *signature) toSign(c *wire.Call, payload string) ([]string, error) {
	r := c.Request
	signed := strings.Split(s.headers, ";")
	if !slices.Contains(signed, "host") {
		return nil, malformed("The header host must be signed.")
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		extension := strings.HasPrefix(lower, "x-goog-") || strings.HasPrefix(lower, "x-amz-")
		if extension && !slices.Contains(signed, lower) && !slices.Contains(unsignedHeaders, lower) {
			return nil, malformed("The header %s is in the request and was not signed.", lower)
		}
	}
	own := cmp.Or(r.Host, r.URL.Host)
	hosts := []string{own}
	if name, _, err := net.SplitHostPort(own); err == nil {
		hosts = append(hosts, name)
	}
	if c.Host() == "" {
		hosts = append(hosts, host)
	}
	query := r.URL.Query()
	for name := range query {
		if strings.EqualFold(name, s.prefix+"Signature") {
			query.Del(name)
		}
	}
	var texts []string
	for _, host := range hosts {
		var headers strings.Builder
		for _, name := range signed {
			value := strings.Join(r.Header.Values(name), ",")
			switch {
			case name == "host":
				value = host
			case name == "content-length" && value == "":
				value = strconv.FormatInt(r.ContentLength, 10)
			case value == "":
				return nil, malformed("Header was included in signedheaders, but not in the request: %s.", name)
			}
			fmt.Fprintf(&headers, "%s:%s\n", name, strings.Join(strings.Fields(value), " "))
		}
		request := strings.Join([]string{
			r.Method, canonicalPath(r.URL), strings.ReplaceAll(query.Encode(), "+", "%20"), headers.String(), s.headers,
			payload,
		}, "\n")
		sum := sha256.Sum256([]byte(request))
		texts = append(texts, strings.Join([]string{s.algorithm, s.date, strings.Join(s.scope, "/"),
			hex.EncodeToString(sum[:])}, "\n"))
	}
	return texts, nil
}

// unsignedHeaders are those with the prefix that clients add by themselves.
var unsignedHeaders = []string{"x-goog-api-client", "x-goog-gcs-idempotency-token", "x-goog-content-sha256",
	"x-amz-content-sha256"}

// canonicalPath is the path with everything escaped but slashes and what is never escaped.
func canonicalPath(u *url.URL) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(u.Path), "+", "%20"), "%2F", "/")
}

// verify returns who has signed one of the texts.
func (s *signature) verify(c *wire.Call, texts []string) (*iam.Principal, error) {
	if s.algorithm != rsaAlgorithm {
		return s.verifyHMAC(c, texts)
	}
	a := c.State().AccountByEmail(s.signer)
	if a == nil {
		return nil, unknownSigner()
	}
	who := c.Company().PrincipalOf(&iam.AccessToken{Account: a.UniqueID}, c.Now)
	if who == nil { // the account is disabled
		return nil, unknownSigner()
	}
	for _, text := range texts {
		if sum := sha256.Sum256([]byte(text)); a.Signed(sum[:], s.value, c.Now) {
			return who, nil
		}
	}
	return nil, badSignature()
}
