package manifest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
)

// Each setting, set at every place from the first to the last: what stands first counts.
func TestWhatIsSetFirstCounts(t *testing.T) {
	kinds := func(k ...grants.DeliveryKind) []grants.DeliveryKind { return k }
	tests := []struct {
		setting                       string
		given, usual                  Settings
		line                          string
		byGiven, byFile, byUsual, not any
		of                            func(grants.Task) any
	}{
		{
			"project", Settings{Project: "acme-given"}, Settings{Project: "acme-usual"}, `project = "acme-file"`,
			"acme-given", "acme-file", "acme-usual", nil, func(t grants.Task) any { return t.Project },
		},
		{
			"ttl", Settings{TTL: time.Minute}, Settings{TTL: 3 * time.Minute}, `ttl = "2m"`,
			time.Minute, 2 * time.Minute, 3 * time.Minute, time.Hour, func(t grants.Task) any { return t.TTL },
		},
		{
			"deliver", Settings{Deliver: kinds("token")}, Settings{Deliver: kinds("metadata")}, "[credentials]\ndeliver = [\"key\", \"token\"]",
			kinds("token"), kinds("key", "token"), kinds("metadata"), kinds(), func(t grants.Task) any { return t.Deliver },
		},
	}
	for _, tt := range tests {
		for i := range 8 {
			want, line, limits := tt.not, "", Limits{}
			if i&1 != 0 {
				limits.Usual, want = tt.usual, tt.byUsual
			}
			if i&2 != 0 {
				line, want = tt.line, tt.byFile
			}
			if i&4 != 0 {
				limits.Given, want = tt.given, tt.byGiven
			}
			src := "version = 1\n[[grant]]\nrole = \"roles/browser\"\nresource = \"projects/acme-agents\"\n[task]\nname = \"t\"\n"
			if tt.setting != "project" {
				src += "project = \"acme-agents\"\n"
			}
			task, err := Parse("f", []byte(src+line), limits)
			if want == nil {
				if err == nil || !strings.Contains(err.Error(), "[task] has no project") {
					t.Errorf("%s, set nowhere: %+v, %v", tt.setting, task, err)
				}
				continue
			}
			if got := tt.of(task); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, set by flags %t, manifest %t, configuration %t: %v, want %v (%v)",
					tt.setting, i&4 != 0, i&2 != 0, i&1 != 0, got, want, err)
			}
		}
	}
}

func TestParseSettings(t *testing.T) {
	got, err := ParseSettings("c", []byte("project = \"acme-agents\"\nttl = \"30m\"\ndeliver = [\"token\", \"key\"]\n"), Limits{})
	want := Settings{Project: "acme-agents", TTL: 30 * time.Minute, Deliver: []grants.DeliveryKind{"token", "key"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err := ParseSettings("c", nil, Limits{}); err != nil || !cmp.Equal(got, Settings{}) {
		t.Errorf("an empty file: %+v, %v", got, err)
	}
	for src, want := range map[string]string{
		"projekt = \"a\"":                   `c:1:1: unknown key "projekt" in the configuration; did you mean project?`,
		"\nname = \"a\"":                    `c:2:1: unknown key "name" in the configuration; allowed are project, ttl, deliver, colour`,
		"project = 1":                       `c:1:11: project is a string, and this is an integer`,
		"project = \"Acme\"":                `c:1:11: `,
		"project = \"123456789012\"":        `c:1:11: 123456789012 is the number of a project`,
		"ttl = \"13h\"":                     `c:1:7: a ttl of 13h is too long; the maximum is 12h`,
		"deliver = [\"token\",\n\"paper\"]": `c:2:1: "paper" is not a kind of delivery`,
		"deliver = [\"key\", \"key\"]":      `c:1:19: "key" is listed twice`,
		"color = \"never\"":                 `c:1:1: unknown key "color" in the configuration; did you mean colour?`,
		"colour = \"on\"":                   `c:1:10: "on" is none of auto, always, never`,
		"project = ":                        `c:1:`,
	} {
		_, err := ParseSettings("c", []byte(src), Limits{})
		var problems Problems
		if !errors.As(err, &problems) || !fault.Is(err, fault.Usage) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", src, err, want)
		}
	}
}

func TestParseSetting(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Settings
		err        string
	}{
		{"project", "acme-agents", Settings{Project: "acme-agents"}, ""},
		{"ttl", "90s", Settings{TTL: 90 * time.Second}, ""},
		{"deliver", "key, token", Settings{Deliver: []grants.DeliveryKind{"key", "token"}}, ""},
		{"project", "", Settings{}, "project"},
		{"ttl", "1s", Settings{}, "too short"},
		{"deliver", "key,,token", Settings{}, "not a kind of delivery"},
	} {
		got, err := ParseSetting(tt.name, tt.text, Limits{})
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || !cmp.Equal(got, tt.want) {
			t.Errorf("%s %q: %+v, %v", tt.name, tt.text, got, err)
		}
	}
}
