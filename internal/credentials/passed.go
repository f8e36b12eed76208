package credentials

import (
	"path"
	"slices"
	"strings"
)

// allowed are the variables of the operator that every command gets: how to talk to the person,
// where programs are, and the proxy of this network. It is a list of what is let in, because no
// list of what is kept out could be complete: any other variable may be a secret, or name
// something that leads to one, such as the socket of an agent.
var allowed = slices.Concat([]string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL",
	"LANG", "LANGUAGE", "LC_*", "TZ",
	"TERM", "TERMINFO", "COLORTERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "COLUMNS", "LINES",
	"CI",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
}, kept.Names)

// folders are allowed too where the command sees this user's files: they name folders that
// a sandbox, or another user, does not have.
var folders = []string{"TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}

// Allowed returns the names of the variables that every command gets, and of those that only a
// command gets which sees this user's files. A * stands for any characters.
func Allowed() (always, folder []string) { return slices.Clone(allowed), slices.Clone(folders) }

// Passed says which variables of the operator a command gets beside those of [Allowed]. None
// of them is ever one that [Scrub] takes out.
type Passed struct {
	Names []string // further variables
	Set   []string // NAME=value, over what is passed
	All   bool     // every variable
}

// Of returns what a command gets of an environment. files means that the command sees the files
// of the user whose environment it is.
func (p Passed) Of(environ []string, files bool) []string {
	out := slices.DeleteFunc(Scrub(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !p.All && !slices.Contains(p.Names, name) && !lists(allowed, name) && !(files && lists(folders, name))
	})
	return Scrub(append(out, p.Set...))
}

// lists reports whether one of the patterns matches the name, in upper or lower case.
func lists(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, strings.ToUpper(name))
		return ok && err == nil
	})
}
