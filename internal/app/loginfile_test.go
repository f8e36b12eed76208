package app

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestReliesOnLogin: whoever can write what a login names is asked who the operator is.
func TestReliesOnLogin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "script"), "")
	at := func(name string) string { return filepath.Join(dir, name) }
	for source, want := range map[string][]string{
		`"file":"` + at("token") + `"`: {at("token")},
		`"executable":{"command":"` + at("program") + ` ` + at("script") + ` ` + at("none") + `","output_file":"` + at("out") + `"}`: {
			at("out"), at("program"), at("script"),
		},
		`"executable":{"command":"maker"}`: {at("bin/maker")},
		`"certificate":{"certificate_config_location":"` + at("config") + `","trust_chain_path":"` + at("chain") + `"}`: {
			at("chain"), at("config"),
		},
		`"url":"http://127.0.0.1/token"`: nil,
	} {
		for _, text := range []string{
			`{"type":"external_account","credential_source":{` + source + `}}`,
			`{"type":"impersonated_service_account","source_credentials":{"credential_source":{` + source + `}}}`,
		} {
			write(t, at("login.json"), text)
			a := &App{World: World{Getenv: func(name string) string {
				return map[string]string{EnvCredentials: at("login.json"), "PATH": at("bin")}[name]
			}}}
			l := &limits{}
			a.relyOnLogin(l)
			var got []string
			for _, p := range l.Relied {
				got = append(got, p.Path)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s relies on %q, want %q", text, got, want)
			}
		}
	}
}
