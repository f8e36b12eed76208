package isolate

import (
	"path"
	"slices"
	"strings"
)

// kept are the variables that a sandbox gets from the environment outside: how to talk to
// the person, where programs are, and the proxy of this network. It is a list of what is
// let in, because any other variable may be a secret, or name something that the sandbox
// does not have: an agent's socket, a display, a session.
var kept = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL",
	"LANG", "LANGUAGE", "LC_*", "TZ",
	"TERM", "TERMINFO", "COLORTERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "COLUMNS", "LINES",
	"CI",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
	"CLOUDSDK_*", // those that the scrubbing before this has left
}

// Keep returns those variables of an environment that a sandbox gets, and those that more
// names.
func Keep(environ, more []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !slices.Contains(more, name) && !slices.ContainsFunc(kept, func(pattern string) bool {
			ok, err := path.Match(pattern, strings.ToUpper(name))
			return ok && err == nil
		})
	})
}
