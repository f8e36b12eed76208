package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A manifest opens hosts as it says, and no other.
func TestIsolatedClosedNetwork(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	hosts := s.standIn(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "this is "+r.Host)
	}, "docs.acme.example", "git.acme.example", "tunnel.acme.example", "small.acme.example", "inside.acme.example", "other.acme.example")
	network := fmt.Sprintf(`
[network]
allow      = ["inside.acme.example"]
resources  = ["gs://acme-drop"]
max_upload = "1MiB"
[[network.host]]
host      = "docs.acme.example"
port      = %[1]d
addresses = ["127.0.0.0/8"]
[[network.host]]
host      = "git.acme.example"
port      = %[1]d
addresses = "127.0.0.1"
write     = true
[[network.host]]
host      = "tunnel.acme.example"
port      = %[1]d
addresses = "127.0.0.1"
tunnel    = true
[[network.host]]
host       = "small.acme.example"
port       = %[1]d
addresses  = "127.0.0.1"
write      = true
max_upload = "1KiB"
`, hosts.port)
	manifest := s.manifest("demo.toml", "proxy")
	s.write("proxy/demo.toml", s.read(manifest)+network)
	const script = `
say() { echo "$1: $(shift; "$@" 2>&1)"; }
say granted fetch GET https://storage.googleapis.com/storage/v1/b/acme-reports/o/2026%2F01.csv?alt=media run
say added fetch POST "https://storage.googleapis.com/upload/storage/v1/b/acme-drop/o?uploadType=media&name=x" run data
say other-bucket fetch GET https://storage.googleapis.com/storage/v1/b/acme-exports/o run
say read fetch GET https://docs.acme.example:$1/page
say read-login fetch GET https://docs.acme.example:$1/page mine
say read-post fetch POST https://docs.acme.example:$1/page "" data
say write fetch POST https://git.acme.example:$1/push mine data
say tunnel fetch POST https://tunnel.acme.example:$1/push mine data
say small fetch POST https://small.acme.example:$1/a "" data
say small-full fetch POST https://small.acme.example:$1/b "" "$(head -c 2000 /dev/zero | tr '\0' x)"
say inside fetch GET https://inside.acme.example/
say other fetch GET https://other.acme.example:$1/
say other-port fetch GET https://git.acme.example/
say all sh -c 'head -c 1500000 /dev/zero | curl -sS -o /dev/null -T - -w "%{http_code}" https://git.acme.example:'$1'/big || echo failed'
say rest fetch GET https://docs.acme.example:$1/page
`
	o := s.run(s.isolated("work", "--isolate=closed", manifest, "sh", "-c", script, "sh", fmt.Sprint(hosts.port)))
	if o.code != 0 {
		t.Fatalf("%d\n%s%s", o.code, o.stdout, o.stderr)
	}
	for what, want := range map[string]string{
		"granted": "200 day,orders", "added": "403", "other-bucket": "gs://acme-exports is neither granted",
		"read": "200 this is docs.acme.example", "read-login": "without a login", "read-post": "may be read from",
		"write": "200 this is git.acme.example", "tunnel": "200 this is tunnel.acme.example",
		"small": "200 this is small", "small-full": "max_upload", "inside": "not one of the internet",
		"other": "other.acme.example is not in [network] allow", "other-port": "on port",
		"all": "403", "rest": "max_upload",
	} {
		if got := line(o.stdout, what+": "); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", what, got, want)
		}
	}
	if got := line(o.stdout, "added: "); strings.Contains(got, "taskiam: ") {
		t.Errorf("what IAM decides was refused here: %s", got)
	}
	for host, want := range map[string]int{"docs.acme.example": 1, "git.acme.example": 1, "tunnel.acme.example": 1, "small.acme.example": 1, "inside.acme.example": 0, "other.acme.example": 0} {
		arrived := hosts.requests(host)
		whole := 0
		for _, r := range arrived {
			if !strings.Contains(r, "xxxx") && !strings.Contains(r, "/big") {
				whole++
			}
		}
		if whole != want {
			t.Errorf("at %s arrived %d requests, want %d: %.300q", host, whole, want, arrived)
		}
	}
	for _, want := range []string{"ways out of the closed network", "git.acme.example:", "a way out: every method"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("it does not say %q at the start:\n%s", want, o.stderr)
		}
	}
}
