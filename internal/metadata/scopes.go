package metadata

import (
	"net/http"
	"slices"
	"strings"
)

const (
	scopePrefix   = "https://www.googleapis.com/auth/"
	cloudPlatform = scopePrefix + "cloud-platform"
)

// cloudScopes are scopes that cloud-platform includes: the discovery documents say that
// methods of Google Cloud accept them in its place. A * stands for any characters. Those
// that no client asks for are left out.
var cloudScopes = []string{
	"aiplatform*", "apigateway*", "apikeys*", "appengine.admin", "bigquery*", "bigtable.*", "cloud-bigtable.*", "cloud-billing*",
	"cloud-healthcare", "cloud-language", "cloud-platform*", "cloud-translation", "cloud-vision", "cloud_debugger",
	"cloudasset", "cloudcomposer*", "cloudkms", "cloudruntimeconfig", "compute*", "container*", "dataplex*", "dataproc*",
	"datastore", "devstorage.*", "dialogflow", "discoveryengine*", "firebase*", "genomics", "logging.*", "monitoring*",
	"ndev.cloud*", "notebooks", "organizationpolicy*", "pubsub", "redis*", "run*", "securitycenter", "service.management*",
	"servicecontrol", "source.*", "spanner.*", "sqlservice.*", "taskqueue*", "trace.*",
	// Whose token it is: gcloud asks for these, and the account's name is no secret.
	"userinfo.email", "accounts.reauth",
}

// isCloudScope reports whether cloud-platform includes the scope.
func isCloudScope(scope string) bool {
	if scope == "openid" {
		return true
	}
	name, ok := strings.CutPrefix(scope, scopePrefix)
	return ok && slices.ContainsFunc(cloudScopes, func(pattern string) bool {
		if prefix, many := strings.CutSuffix(pattern, "*"); many {
			return strings.HasPrefix(name, prefix)
		}
		return name == pattern
	})
}

// splitScopes reads a list of scopes, separated by commas or blanks.
func splitScopes(lists []string) []string {
	var scopes []string
	for _, l := range lists {
		scopes = append(scopes, strings.FieldsFunc(l, func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return scopes
}

// within returns the scopes that a token gets if these are asked for, sorted, each once.
func (s *Server) within(asked []string) ([]string, *refusal) {
	if len(asked) == 0 {
		return s.cfg.Scopes, nil
	}
	wide := slices.Contains(s.cfg.Scopes, cloudPlatform)
	var scopes []string
	for _, scope := range asked {
		switch {
		case slices.Contains(s.cfg.Scopes, scope), wide && isCloudScope(scope):
			scopes = append(scopes, scope)
		case scope == cloudPlatform:
			scopes = append(scopes, s.cfg.Scopes...)
		}
	}
	if len(scopes) == 0 {
		return nil, &refusal{
			code: http.StatusForbidden, text: "the run's tokens do not have the scopes that are asked for",
		}
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}
