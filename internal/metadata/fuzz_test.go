package metadata

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Whatever is asked, the server does not fall over, and nothing that is worth stealing
// goes out to who does not speak the protocol, or comes by another name or another way.
func FuzzServer(f *testing.F) {
	for _, path := range []string{"/", "/computeMetadata/v1/instance/service-accounts/default/token?scopes=openid", subjectPath,
		"/computeMetadata/v1/?recursive=true&alt=text", "/computeMetadata/v1/instance/service-accounts/default/identity?audience=" + url.QueryEscape(wanted),
		exchangePath, impersonationPrefix + email + impersonationSuffix} {
		f.Add("GET", path, "127.0.0.1:4711", "Metadata-Flavor: Google", "")
		f.Add("POST", path, "localhost:4711", "Authorization: Bearer x\nContent-Type: application/x-www-form-urlencoded",
			"grant_type="+exchange+"&audience="+audience+"&subject_token=x")
		f.Add("POST", path, "127.0.0.1:4711", "X-Forwarded-For: 10.0.0.1\nMetadata-Flavor: Google", `{"scope":["openid"],"lifetime":"3.5s"}`)
		f.Add("GET", path, "evil.example", "metadata-flavor: Google", "")
	}
	m := &minter{life: 1 << 40}
	s, err := New(config(m))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target, host, headers, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" {
			return // net/http refuses it, or takes the name from it
		}
		header := http.Header{}
		for line := range strings.Lines(headers) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				header.Add(name, strings.TrimSpace(value)) // as a server reads them
			}
		}
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		r.Method, r.URL, r.Host, r.Header = method, u, host, header
		w := httptest.NewRecorder()
		m.asked = nil
		s.ServeHTTP(w, r)

		if w.Header().Get("Metadata-Flavor") != "Google" || w.Code < 200 || w.Code > 599 {
			t.Errorf("answered %d %v", w.Code, w.Header())
		}
		all := w.Body.String()
		for _, values := range w.Header() {
			all += strings.Join(values, "\n")
		}
		spoken := method == http.MethodGet && header.Get("Metadata-Flavor") == "Google"
		known := strings.Contains(headers+body, s.subject) || strings.Contains(headers+body, s.exchanged)
		host = strings.ToLower(host)
		name, _, _ := strings.Cut(host, ":") // one that goes with any port
		named := slices.Contains(s.cfg.Hosts, host) || slices.Contains(s.cfg.Hosts, name)
		for _, secret := range []string{"ya29.test", "eyJ.test", s.subject, s.exchanged} {
			if strings.Contains(all, secret) && !(named && header["X-Forwarded-For"] == nil && (spoken || known)) {
				t.Errorf("%s %s from %q with %v got %s", method, target, host, header, all)
			}
		}
		for _, scopes := range m.asked {
			if strings.Contains(scopes, "drive") {
				t.Errorf("a token was made with %s", scopes)
			}
		}
	})
}
