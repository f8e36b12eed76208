package credentials_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/credentials"
)

func TestPassed(t *testing.T) {
	t.Parallel()
	always := []string{"PATH=/bin", "LC_ALL=C", "https_proxy=http://p", "TERM=xterm", "CLOUDSDK_PYTHON=/usr/bin/python3"}
	folder := []string{"TMPDIR=/tmp/me", "XDG_CACHE_HOME=/home/me/.cache"}
	secrets := []string{
		"AWS_SECRET_ACCESS_KEY=x", "AWS_PROFILE=prod", "VAULT_TOKEN=x", "SSH_AUTH_SOCK=/s", "KUBECONFIG=/k", "PGPASSWORD=x",
		"NPM_TOKEN=x", "DATABASE_URL=postgres://u:p@h/d", "DOCKER_HOST=unix:///s", "DISPLAY=:0", "XDG_RUNTIME_DIR=/run/user/1",
		"ANYTHING=x",
	}
	never := []string{"GITHUB_TOKEN=ghp_x", "MINE=ya29.x", "CLOUDSDK_CONFIG=/c", "TASKIAM_EMULATOR_TOKEN_FILE=/t"}
	environ := slices.Concat(always, folder, secrets, never)
	for _, tt := range []struct {
		name   string
		passed credentials.Passed
		files  bool
		want   []string
	}{
		{"in a sandbox", credentials.Passed{}, false, always},
		{"as this user", credentials.Passed{}, true, slices.Concat(always, folder)},
		{"what is named", credentials.Passed{Names: []string{"NPM_TOKEN", "GITHUB_TOKEN"}}, false, append(slices.Clone(always), "NPM_TOKEN=x")},
		{"what is set", credentials.Passed{Set: []string{"PATH=/x", "A=1", "B=ya29.x"}}, false, append(slices.Clone(always), "PATH=/x", "A=1")},
		{"everything", credentials.Passed{All: true}, false, slices.Concat(always, folder, secrets)},
	} {
		if diff := cmp.Diff(tt.want, tt.passed.Of(environ, tt.files)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
