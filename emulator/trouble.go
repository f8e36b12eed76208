package emulator

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/taskiam/taskiam/internal/secret"
)

// newControlToken draws a token of the control API. No service takes it.
func newControlToken() secret.String {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails
	return secret.New("control." + base64.RawURLEncoding.EncodeToString(b))
}

// openControlToken returns the token of an earlier start in Config.Dir, or writes a fresh one.
func (s *Server) openControlToken() (secret.String, error) {
	path := filepath.Join(s.cfg.Dir, "control")
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return secret.String{}, fmt.Errorf("reading the control token: %w", err)
	}
	token := secret.New(strings.TrimSpace(string(raw)))
	if token.IsZero() {
		token = newControlToken()
	}
	if err := renameio.WriteFile(path, []byte(token.Reveal()), 0o600, renameio.IgnoreUmask()); err != nil {
		return secret.String{}, fmt.Errorf("writing the control token: %w", err)
	}
	return token, nil
}

// setTrouble sets up what Config asks for, once the seed has settled.
func (s *Server) setTrouble() error {
	s.SetLag(s.cfg.Lag)
	s.state.lags = &s.lags
	s.SetQuotas(s.cfg.Quotas)
	for _, f := range s.cfg.Faults {
		if _, err := s.AddFault(f); err != nil {
			return err
		}
	}
	return nil
}

// killProcess ends the process without another instruction of its own.
func killProcess() {
	if p, err := os.FindProcess(os.Getpid()); err == nil && p.Kill() == nil {
		select {} // the signal is on its way
	}
}
