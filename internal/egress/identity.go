package egress

import (
	"net/http"
	"net/url"
	"strings"
)

// What carries an identity to Google's APIs beside `Authorization: Bearer`. Every one of these is
// refused by name: a request has one identity, and that is the placeholder.
//
// The rest of the rule is that a field is passed on only if it is known to carry none
// (googleHeaders), and that what is unknown in a name space of Google's is refused.
var identityHeaders = headerSet(
	"Cookie", "Proxy-Authorization", "X-Goog-Api-Key", "X-Goog-Iam-Authorization-Token",
	"X-Goog-Iam-Authority-Selector", "X-Serverless-Authorization", "X-Amz-Security-Token", "X-Amz-Content-Sha256",
	"X-Amz-Date", "X-Goog-Authenticated-User-Email", "X-Goog-Authenticated-User-Id", "X-Goog-Iap-Jwt-Assertion",
	"X-Endpoint-Api-Userinfo", "X-Apigee-Api-Key", "X-Api-Key", "X-Origin-Authorization", "X-Forwarded-Authorization",
	"X-Google-Auth", "Dpop", "Authentication", "X-Client-Cert", "X-Goog-Authuser", "Www-Authenticate",
)

// googleHeaders are passed on. What is not here and not refused is left out.
var googleHeaders = headerSet(
	"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Content-Disposition",
	"Content-Encoding", "Content-Language", "Content-Length", "Content-Md5", "Content-Range", "Content-Type", "Date",
	"Expect", "Grpc-Accept-Encoding", "Grpc-Encoding", "Grpc-Timeout", "If-Match", "If-Modified-Since", "If-None-Match",
	"If-Range", "If-Unmodified-Since", "Pragma", "Range", "Te", "Traceparent", "Tracestate", "User-Agent",
	"X-Cloud-Trace-Context", "X-Server-Timeout", "X-Upload-Content-Length", "X-Upload-Content-Type",
	"Google-Cloud-Resource-Prefix",
)

// googHeaders are those of the name space x-goog- that are passed on. All others in it are refused.
var googHeaders = headerSet(
	"X-Goog-Acl", "X-Goog-Allowed-Resources", "X-Goog-Api-Client", "X-Goog-Api-Version",
	"X-Goog-Content-Length-Range", "X-Goog-Copy-Source", "X-Goog-Copy-Source-Generation",
	"X-Goog-Copy-Source-If-Generation-Match", "X-Goog-Copy-Source-If-Metageneration-Match", "X-Goog-Custom-Time",
	"X-Goog-Encryption-Algorithm", "X-Goog-Encryption-Key", "X-Goog-Encryption-Key-Sha256",
	"X-Goog-Fieldmask", "X-Goog-Gcs-Idempotency-Token", "X-Goog-Generation", "X-Goog-Hash",
	"X-Goog-If-Generation-Match", "X-Goog-If-Generation-Not-Match", "X-Goog-If-Metageneration-Match",
	"X-Goog-Metadata-Directive", "X-Goog-Project-Id", "X-Goog-Request-Params", "X-Goog-Request-Reason",
	"X-Goog-Resumable", "X-Goog-Storage-Class", "X-Goog-Stored-Content-Encoding", "X-Goog-Stored-Content-Length",
	"X-Goog-Trace-Id", "X-Goog-User-Project",
)

// identityQuery are parameters that carry an identity, folded.
var identityQuery = map[string]bool{
	"accesstoken": true, "oauthtoken": true, "bearertoken": true, "authtoken": true, "idtoken": true, "token": true,
	"key": true, "apikey": true, "xgoogsignature": true, "xgoogcredential": true, "xgoogalgorithm": true,
	"xgoogdate": true, "xgoogexpires": true, "xgoogsignedheaders": true, "googleaccessid": true, "signature": true,
	"awsaccesskeyid": true, "authuser": true, "authorization": true, "subjecttoken": true, "assertion": true,
	"oauthconsumerkey": true, "oauthsignature": true, "code": true,
}

// dollarQuery are the parameters of all APIs that begin so and are passed on. By others, such as
// $httpHeaders, a request could have fields that the proxy does not see.
var dollarQuery = map[string]bool{"$alt": true, "$fields": true, "$prettyPrint": true, "$.xgafv": true}

// identity reports whether the one identity of a request to Google is the placeholder; false is
// that it has none. Every other is refused.
func (p *Proxy) identity(r *http.Request) (ours bool, why *refusal) {
	for name := range r.Header {
		lower := strings.ToLower(name)
		switch {
		case identityHeaders[name]:
			return false, forbid("requests to Google carry the run's identity alone, and this one has %s", name)
		case strings.HasPrefix(lower, "x-goog-meta-"):
		case googleHeaders[name], googHeaders[name]:
		case strings.HasPrefix(lower, "x-goog-"), strings.HasPrefix(lower, "x-google-"),
			strings.HasPrefix(lower, "x-amz-"), strings.HasPrefix(lower, "x-serverless-"),
			carriesLogin(name):
			return false, forbid("what %s does at Google is not known here, and it is not passed on", name)
		}
	}
	for name := range r.URL.Query() {
		if why := identityParameter(name); why != nil {
			return false, why
		}
	}
	values, has := r.Header["Authorization"]
	if !has {
		return false, nil
	}
	if len(values) == 1 {
		scheme, value, _ := strings.Cut(values[0], " ")
		if strings.EqualFold(scheme, "Bearer") && same(value, p.cfg.Placeholder) {
			return true, nil
		}
	}
	return false, forbid("requests to Google carry the run's identity alone, and this one has another in " +
		"Authorization; the run's comes from the metadata server")
}

// identityParameter refuses a parameter that carries an identity, or fields of a header.
func identityParameter(name string) *refusal {
	folded := fold(name)
	switch {
	case identityQuery[folded], strings.HasPrefix(folded, "xamz"), strings.HasPrefix(folded, "xgoog"):
		return forbid("requests to Google carry the run's identity alone, and this one has the parameter %q", name)
	case strings.HasPrefix(name, "$") && !dollarQuery[name]:
		return forbid("what the parameter %q does at Google is not known here", name)
	case strings.Contains(folded, "httpmethod"), strings.Contains(folded, "httpheader"), folded == "method":
		return forbid("the parameter %q changes what a request is", name)
	}
	return nil
}

// publicPaths may be read without an identity: they say how APIs are called, and by which keys
// tokens are verified.
func publicPath(host string, path string) bool {
	if host == "www.googleapis.com" {
		for _, prefix := range []string{"/discovery/v1/apis", "/oauth2/v1/certs", "/oauth2/v3/certs"} {
			if path == prefix || strings.HasPrefix(path, prefix+"/") {
				return true
			}
		}
		return false
	}
	return path == "/$discovery/rest"
}

// onlyQuery returns the values of a parameter, by whatever case its name is written in.
func onlyQuery(query url.Values, name string) []string {
	var out []string
	for key, values := range query {
		if strings.EqualFold(key, name) {
			out = append(out, values...)
		}
	}
	return out
}
