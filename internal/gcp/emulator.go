package gcp

import "net/http"

// emulated sends requests for production to an emulator instead. The Host header
// stays what it was: it is how the emulator knows which service is meant.
type emulated struct {
	host string // host:port
	base http.RoundTripper
}

func (e emulated) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	if out.Host == "" {
		out.Host = req.URL.Host
	}
	out.URL.Scheme = "http"
	out.URL.Host = e.host
	return e.base.RoundTrip(out)
}
