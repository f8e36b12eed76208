package metadata

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A credential file of the type external_account sends a client to three endpoints: it
// reads a subject token, exchanges it at Google's Security Token Service, and uses the
// result to get an access token of a service account by impersonation. This server is all
// three. Only the last one returns an access token; the first two return values that are
// known only to whoever could read the first.
const (
	subjectPath  = "/taskiam/subject-token"
	exchangePath = "/taskiam/v1/token"
	// Node and Python read the email out of this path, so it has the form of Google's.
	impersonationPrefix = "/taskiam/v1/projects/-/serviceAccounts/"
	impersonationSuffix = ":generateAccessToken"

	// Without "projects/" in it: with one, Node and Python look the project up at Google.
	audience    = "//iam.googleapis.com/locations/global/workloadIdentityPools/taskiam/providers/local"
	subjectType = "urn:ietf:params:oauth:token-type:jwt"
	accessType  = "urn:ietf:params:oauth:token-type:access_token"
	exchange    = "urn:ietf:params:oauth:grant-type:token-exchange"

	maxBody = 64 << 10
)

// CredentialsFile returns a credential file, in JSON, that sends every client to this
// server. The base URL is where clients reach it, such as http://127.0.0.1:4711. The
// file holds no secret.
func (s *Server) CredentialsFile(baseURL string) []byte {
	return CredentialsFile(baseURL, s.cfg.Account.Email)
}

// CredentialsFile returns the file for the server of a run with that account.
func CredentialsFile(baseURL, email string) []byte {
	type source struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Format  map[string]string `json:"format"`
	}
	baseURL = strings.TrimSuffix(baseURL, "/")
	b, err := json.MarshalIndent(struct {
		Type             string `json:"type"`
		Universe         string `json:"universe_domain"`
		Audience         string `json:"audience"`
		SubjectTokenType string `json:"subject_token_type"`
		TokenURL         string `json:"token_url"`
		ImpersonationURL string `json:"service_account_impersonation_url"`
		Source           source `json:"credential_source"`
	}{
		Type:             "external_account",
		Universe:         "googleapis.com",
		Audience:         audience,
		SubjectTokenType: subjectType,
		TokenURL:         baseURL + exchangePath,
		ImpersonationURL: baseURL + impersonationPrefix + email + impersonationSuffix,
		Source: source{
			URL:     baseURL + subjectPath,
			Headers: map[string]string{"Metadata-Flavor": "Google"},
			Format:  map[string]string{"type": "text"},
		},
	}, "", "  ")
	if err != nil {
		panic("[unexpected] a struct of strings is not JSON: " + err.Error())
	}
	return append(b, '\n')
}

// exchange returns the handler of one of the two paths that take a POST, or nil.
func (s *Server) exchange(path string) func(http.ResponseWriter, *http.Request) {
	switch {
	case path == exchangePath:
		return s.serveExchange
	case strings.HasPrefix(path, impersonationPrefix):
		return s.serveImpersonation
	}
	return nil
}

// serveSubject is the first step: it answers with the subject token.
func (s *Server) serveSubject(w http.ResponseWriter, r *http.Request) {
	if why := s.over(); why != nil {
		s.refuse(w, r, *why)
		return
	}
	w.Header()["Cache-Control"] = noStore
	// Not as the metadata protocol has it: google-auth-library 10.0 to 10.5 with gaxios 7 reads text/plain as text, and
	// sends "[object Blob]" in place of anything else.
	w.Header()["Content-Type"] = contentPlain
	_, _ = io.WriteString(w, s.subject)
}

// serveExchange is the second step, in the form of RFC 8693.
func (s *Server) serveExchange(w http.ResponseWriter, r *http.Request) {
	refuse := func(code int, reason, text string) {
		s.logRefusal(r, refusal{code: code, text: text})
		s.fail(w, code, encode(map[string]string{"error": reason, "error_description": text}))
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(http.StatusMethodNotAllowed, "invalid_request", "a token is exchanged by POST")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		refuse(http.StatusBadRequest, "invalid_request", "the request is not a form of at most 64 KiB")
		return
	}
	form, over := r.PostForm, s.over()
	switch {
	case form.Get("grant_type") != exchange:
		refuse(http.StatusBadRequest, "unsupported_grant_type", "the grant_type must be "+exchange)
	case form.Get("audience") != audience:
		refuse(http.StatusBadRequest, "invalid_target", "the audience is not this server's")
	case !same(form.Get("subject_token"), s.subject):
		refuse(http.StatusBadRequest, "invalid_grant",
			"the subject_token is not this server's: it may be that of an earlier run")
	case over != nil:
		refuse(http.StatusBadRequest, "invalid_grant", over.text)
	default:
		w.Header()["Cache-Control"] = noStore
		writeJSON(w, []byte(encode(map[string]any{
			"access_token": s.exchanged, "issued_token_type": accessType, "token_type": "Bearer",
			"expires_in": int(s.claim(maxExpiresIn) / time.Second),
		})))
	}
}

// serveImpersonation is the last step, in the form of iamcredentials: an access token of
// the run's account, and of no other.
func (s *Server) serveImpersonation(w http.ResponseWriter, r *http.Request) {
	refuse := func(status string, why refusal) {
		s.logRefusal(r, why)
		why.header(w.Header())
		s.fail(w, why.code, encode(map[string]any{
			"error": map[string]any{"code": why.code, "message": why.text, "status": status},
		}))
	}
	who, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, impersonationPrefix), impersonationSuffix)
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse("INVALID_ARGUMENT", refusal{code: http.StatusMethodNotAllowed, text: "an access token is made by POST"})
		return
	case !same(bearer, s.exchanged):
		refuse("UNAUTHENTICATED", refusal{
			code: http.StatusUnauthorized,
			text: "the token is not one that this server exchanged: it may be that of an earlier run",
		})
		return
	case !ok || who != s.cfg.Account.Email && (who != s.cfg.Account.UniqueID || who == ""):
		refuse("NOT_FOUND", refusal{
			code: http.StatusNotFound, text: "this server has access tokens of one account only, that of its run",
		})
		return
	}
	var body struct {
		Scope     []string `json:"scope"`
		Lifetime  string   `json:"lifetime"`
		Delegates []string `json:"delegates"`
	}
	lifetime, err := maxExpiresIn, json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&body)
	if errors.Is(err, io.EOF) {
		err = nil // an empty body asks for the defaults
	}
	if err == nil && body.Lifetime != "" {
		lifetime, err = protoDuration(body.Lifetime)
	}
	if err != nil || lifetime < time.Second || len(body.Delegates) > 0 {
		refuse("INVALID_ARGUMENT", refusal{
			code: http.StatusBadRequest,
			text: `the body must be {"scope": [...], "lifetime": "600s"}, of at most 64 KiB and without delegates`,
		})
		return
	}
	scopes, why := s.within(splitScopes(body.Scope))
	if why != nil {
		refuse("PERMISSION_DENIED", *why)
		return
	}
	token, claim, why := s.access(r.Context(), scopes)
	if why != nil {
		refuse(statusOf(why.code), *why)
		return
	}
	claim = min(claim, lifetime.Truncate(time.Second))
	s.logToken(r, Event{Scopes: scopes, ExpiresIn: claim})
	w.Header()["Cache-Control"] = noStore
	// gcloud reads whole seconds and Z only. Cut to them, the time is not later.
	writeJSON(w, []byte(encode(map[string]string{
		"accessToken": reveal(token.Value),
		"expireTime":  s.cfg.Now().Add(claim).UTC().Truncate(time.Second).Format(time.RFC3339),
	})))
}

// protoDuration reads a duration as Google's JSON writes it: seconds, followed by an s.
func protoDuration(text string) (time.Duration, error) {
	seconds, ok := strings.CutSuffix(text, "s")
	if !ok {
		return 0, errors.New("a duration is in seconds")
	}
	f, err := strconv.ParseFloat(seconds, 64)
	if err != nil || !(f >= 0 && f <= 43200) { // 12 h is the most that Google ever allows
		return 0, errors.New("a duration is in seconds, and of at most 12 hours")
	}
	return time.Duration(f * float64(time.Second)), nil
}

// statusOf returns the name that Google's APIs have for a code.
func statusOf(code int) string {
	switch code {
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	}
	return "UNAVAILABLE"
}

func (s *Server) fail(w http.ResponseWriter, code int, body string) {
	w.Header()["Content-Type"] = contentJSON
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body)
}
