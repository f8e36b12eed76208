package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/install.md names files as releases name them, verifies before it installs, and follows CHANGELOG.md's version.
// packaging/install-check.sh runs what is for Linux.
func TestInstallLines(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	document, script, configuration := read("docs/install.md"), read("packaging/install-check.sh"), read(".goreleaser.yaml")
	version := regexp.MustCompile(`(?m)^## (\d+\.\d+\.\d+)`).FindStringSubmatch(read("CHANGELOG.md"))
	if version == nil {
		t.Fatal("CHANGELOG.md names no version")
	}
	for _, v := range regexp.MustCompile(`\d+\.\d+\.\d+`).FindAllString(document, -1) {
		if v != version[1] {
			t.Errorf("docs/install.md names %s, and CHANGELOG.md %s", v, version[1])
		}
	}
	for heading, c := range map[string]struct{ file, install string }{
		"Debian, Ubuntu":         {"taskiam_${v}_$(dpkg --print-architecture).deb", "apt-get install"},
		"Fedora, RHEL, openSUSE": {"taskiam-$v-1.$(uname -m).rpm", "rpm -U"},
		"Any Linux":              {`f="taskiam_` + version[1] + `_linux_$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/').tar.gz"`, "tar -xzf"},
	} {
		_, text, found := strings.Cut(document, "\n## "+heading+"\n")
		text, _, _ = strings.Cut(text, "\n## ")
		if !found || !strings.Contains(script, `"`+heading+`"`) {
			t.Errorf("nobody tries the line below %q", heading)
		}
		if !strings.Contains(text, c.file) {
			t.Errorf("%s: the file is not %s", heading, c.file)
		}
		verify, install := strings.Index(text, "&& sha256sum --check --ignore-missing checksums.txt && "), strings.Index(text, c.install)
		if verify < 0 || install < verify {
			t.Errorf("%s: it is not verified before it is installed", heading)
		}
	}
	for _, name := range []string{"name_template: checksums.txt", `"taskiam_{{ .Version }}_{{ .Os }}_{{ .Arch }}"`, "{{ .ConventionalFileName }}"} {
		if !strings.Contains(configuration, name) {
			t.Errorf(".goreleaser.yaml names files in another way than %s", name)
		}
	}
}

// The server that stands for the one of releases has the files at their paths alone, and changes one byte of one file.
func TestReleaseFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.deb", "b.deb"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("0123456789"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(releaseFiles(dir, "b.deb"))
	defer server.Close()
	const releases = "/taskiam/taskiam/releases/download/"
	for at, want := range map[string]string{
		releases + "v0.1.0/a.deb": "0123456789", releases + "v0.1.0/b.deb": "0123446789",
		releases + "v0.1.0/c.deb": "404", "/a.deb": "404", releases + "v0.1.0/x/a.deb": "404", releases + "a.deb": "404",
	} {
		resp, err := http.Get(server.URL + at)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		got := string(body)
		if resp.StatusCode != http.StatusOK {
			got = resp.Status[:3]
		}
		if err != nil || got != want {
			t.Errorf("%s: got %q (%v), want %q", at, got, err, want)
		}
	}
}
