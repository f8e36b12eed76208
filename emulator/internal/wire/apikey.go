package wire

import (
	"net/http"
	"slices"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// APIKey is what an API key says of a call: which project it is of. It names no principal.
type APIKey struct {
	Project  *iam.Project
	Services []string // the hosts that it is good for; nil means all
}

// readKeys reads the API keys of a call, and refuses it if one of them is not good, whatever login stands beside it
// (docs/authentication/api-keys-use).
func (c *Call) readKeys() error {
	host := c.Method.Host
	for _, text := range slices.Concat(c.Request.URL.Query()["key"], c.Request.Header.Values("X-Goog-Api-Key")) {
		if text == "" {
			continue
		}
		k := c.State().apiKey(text)
		switch {
		case k == nil:
			return Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "badRequest",
				"API key not valid. Please pass a valid API key.").WithDetails(
				ErrorInfo("API_KEY_INVALID", "googleapis.com", map[string]string{"service": host}))
		case k.Services != nil && !slices.Contains(k.Services, host):
			return Forbidden("Requests to this API %s method %s are blocked.", host, c.Method.ID).WithDetails(
				ErrorInfo("API_KEY_SERVICE_BLOCKED", "googleapis.com",
					map[string]string{"service": host, "consumer": "projects/" + k.Project.Number}))
		}
		c.keys = append(c.keys, k)
	}
	return nil
}

// apiKey returns what a key string is; nil if it is none.
func (st *State) apiKey(text string) *APIKey {
	for _, s := range st.services {
		if s.APIKey == nil {
			continue
		}
		if k := s.APIKey(st, text); k != nil {
			return k
		}
	}
	return nil
}

// keyAlone is the 401 of a call that has an API key and no login, where IAM decides.
func keyAlone(host string) error {
	return unauthenticated(host, "CREDENTIALS_MISSING", "API keys are not supported by this API. "+
		"Expected OAuth2 access token or other authentication credentials that assert a principal. "+
		"See https://cloud.google.com/docs/authentication")
}
