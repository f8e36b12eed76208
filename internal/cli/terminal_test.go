package cli

import "testing"

// The environment goes before the configuration, and NO_COLOR before all.
func TestWantsColour(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		env      map[string]string
		terminal bool
		setting  string
		want     bool
	}{
		{"a terminal", map[string]string{"TERM": "xterm"}, true, "", true},
		{"no terminal", map[string]string{"TERM": "xterm"}, false, "auto", false},
		{"a terminal that cannot", map[string]string{"TERM": "dumb"}, true, "auto", false},
		{"a terminal without a name", nil, true, "auto", false},
		{"always", nil, false, "always", true},
		{"never", map[string]string{"TERM": "xterm"}, true, "never", false},
		{"NO_COLOR before always", map[string]string{"NO_COLOR": "1"}, true, "always", false},
		{"NO_COLOR before CLICOLOR_FORCE", map[string]string{"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, true, "", false},
		{"CLICOLOR_FORCE before never", map[string]string{"CLICOLOR_FORCE": "1"}, false, "never", true},
		{"CLICOLOR_FORCE of 0", map[string]string{"CLICOLOR_FORCE": "0"}, false, "", false},
	} {
		getenv := func(name string) string { return tt.env[name] }
		if got := wantsColour(getenv, tt.terminal, tt.setting); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
