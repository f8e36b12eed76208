package manifest

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var fenced = regexp.MustCompile("(?ms)^```(toml|text)\n(.*?)^```$")

// The reference shows what the parser does: every manifest in it is read, and is
// refused with the text that follows it, if one does.
func TestReference(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := fenced.FindAllStringSubmatch(string(doc), -1)
	read := 0
	for i, b := range blocks {
		if b[1] != "toml" {
			continue
		}
		read++
		want := ""
		if i+1 < len(blocks) && blocks[i+1][1] == "text" {
			want = blocks[i+1][2]
		}
		got := ""
		_, err := Parse("task.toml", []byte(b[2]), Limits{})
		if strings.HasPrefix(b[2], "# ~/.config/") { // the operator's, and no manifest
			_, err = ParseSettings("config.toml", []byte(b[2]), Limits{})
		}
		if err != nil {
			got = err.Error() + "\n"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("manifest %d:\n%s\n%s", read, diff, got)
		}
	}
	if read < 2 {
		t.Errorf("the reference has %d manifests", read)
	}
	for _, key := range []string{"version", "task.name", "task.project", "task.ttl", "task.reason", "grant.role", "grant.permissions", "grant.resource", "grant.condition", "grant.unbounded", "grant.allow_basic", "credentials.deliver",
		"network.allow", "network.resources", "network.max_upload", "network.host.host", "network.host.port", "network.host.write", "network.host.tunnel",
		"network.host.max_upload", "network.host.addresses", "network.host.header", "network.host.scheme", "network.host.from", "sandbox.tree"} {
		if !strings.Contains(string(doc), "| `"+key+"` |") {
			t.Errorf("the reference has no row for %s", key)
		}
	}
}
