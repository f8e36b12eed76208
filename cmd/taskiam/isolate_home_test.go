package main

import (
	"slices"
	"strings"
	"testing"
)

// TestIsolatedAsksTheServer: where HOME is empty no file stands between clients and the run's metadata server, and where
// a login of the person's is shown under HOME, the file keeps clients from it.
func TestIsolatedAsksTheServer(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	s := isolation(t)
	login := s.read(s.folder("state", "taskiam", "emulator") + "/adc.json")
	s.write("home/.config/gcloud/application_default_credentials.json", login)
	gcloud := s.path("home", ".config", "gcloud")
	for _, tt := range []struct {
		name  string
		flags []string
		file  bool
	}{
		{"--isolate", nil, false},
		{"--isolate=nonet", nil, false},
		{"--isolate", []string{"--ro", gcloud, "--show-login", gcloud}, true},
	} {
		c := s.isolated("tree", tt.name, s.manifest("demo.toml", "metadata"), "sh", "-c",
			`echo "file:$GOOGLE_APPLICATION_CREDENTIALS"; cat "$HOME/.config/gcloud/application_default_credentials.json" >/dev/null && echo shown; adcprobe`)
		c.args = slices.Insert(c.args, 3, tt.flags...)
		o := s.run(c)
		shown := strings.Contains(o.stdout, "shown\n")
		if file := line(o.stdout, "file:"); o.code != 0 || shown != tt.file || strings.HasSuffix(file, "/credentials.json") != tt.file || file != "" != tt.file {
			t.Errorf("%s %q: %d\n%s%s", tt.name, tt.flags, o.code, o.stdout, o.stderr)
		}
		if who := line(o.stdout, "acted as "); !strings.HasPrefix(who, "ti-") {
			t.Errorf("%s %q: a client acted as %q", tt.name, tt.flags, who)
		}
	}
}
