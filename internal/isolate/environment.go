package isolate

import (
	"path"
	"slices"
	"strings"
)

// kept are the variables that a sandbox gets of the environment outside: how to talk
// to the person, where programs are, and the way out of this network. They are named,
// and all others left out, because what else is there may be anybody's secret, or lead
// to something that the sandbox has not: an agent's socket, a display, a session.
var kept = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL",
	"LANG", "LANGUAGE", "LC_*", "TZ",
	"TERM", "TERMINFO", "COLORTERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "COLUMNS", "LINES",
	"CI",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
	"CLOUDSDK_*", // what was left of them
}

// Keep returns what a sandbox gets of an environment, and besides what more names.
func Keep(environ, more []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !slices.Contains(more, name) && !slices.ContainsFunc(kept, func(pattern string) bool {
			ok, err := path.Match(pattern, strings.ToUpper(name))
			return ok && err == nil
		})
	})
}
