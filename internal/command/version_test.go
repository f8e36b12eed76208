package command

import (
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The version says which commit it is, and how it was built: what goreleaser says of a release stands above what Go
// has written.
func TestBuild(t *testing.T) {
	t.Parallel()
	checkout := []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123abcd"}, {Key: "vcs.time", Value: "2026-12-03T05:00:00Z"},
		{Key: "vcs.modified", Value: "true"},
	}
	for name, c := range map[string]struct {
		info  *debug.BuildInfo
		build string
		want  Build
	}{
		"a release": {
			&debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}, Settings: checkout[:2]}, "release",
			Build{Version: "v0.1.0", Revision: "0123abcd", Time: "2026-12-03T05:00:00Z", Build: "release"},
		},
		"a checkout": {
			&debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-1+dirty"}, Settings: checkout}, "",
			Build{
				Version: "v0.0.0-1+dirty", Revision: "0123abcd", Time: "2026-12-03T05:00:00Z", Modified: true, Build: "source",
			},
		},
		"go install": {
			&debug.BuildInfo{Main: debug.Module{Version: "v0.1.0", Sum: "h1:x"}}, "",
			Build{Version: "v0.1.0", Build: "module"},
		},
		"without git": {&debug.BuildInfo{}, "", Build{Version: "(devel)", Build: "source"}},
		"nothing":     {nil, "", Build{Version: "(devel)"}},
	} {
		got := buildOf(c.info, c.build)
		if d := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Build{}, "Schema", "Go", "Platform")); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
