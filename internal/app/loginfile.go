package app

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// externalLogin is what a login file says of where another login is found: a file with a token, or a program that
// Google's library runs for one.
type externalLogin struct {
	Source struct {
		File       string `json:"file"`
		Executable struct {
			Command    string `json:"command"`
			OutputFile string `json:"output_file"`
		} `json:"executable"`
		Certificate struct {
			Config     string `json:"certificate_config_location"`
			TrustChain string `json:"trust_chain_path"`
		} `json:"certificate"`
	} `json:"credential_source"`
	Before *externalLogin `json:"source_credentials"` // of an account that is impersonated
}

// relyOnLogin adds what the operator's login file names: who can write there chooses as whom taskiam acts, or has it
// run a program.
func (a *App) relyOnLogin(l *limits) {
	for _, path := range a.loginFiles() {
		b, err := readLogin(path)
		var login externalLogin
		if err != nil || json.Unmarshal(b, &login) != nil {
			continue // it is no login for us, either
		}
		for at := &login; at != nil; at = at.Before {
			s := at.Source
			c := s.Certificate
			for _, name := range []string{s.File, s.Executable.OutputFile, c.Config, c.TrustChain} {
				if name != "" {
					l.rely(name, "your login "+path+" takes a token from it", "")
				}
			}
			l.relyOnCommand(strings.Fields(s.Executable.Command), a.Getenv("PATH"), path)
		}
	}
}

// relyOnCommand adds the program of a command, and each of its arguments that may be a script.
func (l *limits) relyOnCommand(words []string, path, login string) {
	for i, word := range words {
		places := []string{word}
		if i == 0 && !strings.Contains(word, "/") {
			places, _ = lookedFor(word, path)
		}
		for _, at := range places {
			if _, err := os.Lstat(at); err == nil || i == 0 {
				l.rely(at, "your login "+login+" is made by that", "")
			}
		}
	}
}

// loginFiles returns the files of the operator's login that are there: what Google's library reads.
func (a *App) loginFiles() []string {
	var out []string
	add := func(path string) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			out = append(out, path)
		}
	}
	if path := a.Getenv(EnvCredentials); path != "" {
		add(path)
	}
	if home := a.Getenv(envHome); filepath.IsAbs(home) {
		add(filepath.Join(home, ".config", "gcloud", "application_default_credentials.json"))
	}
	return out
}

// readLogin reads a small file, and waits for nobody.
func readLogin(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}
