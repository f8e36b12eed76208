package emulator

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/iamapi"
	"github.com/taskiam/taskiam/emulator/internal/wire"
	"github.com/taskiam/taskiam/internal/secret"
)

// openDir makes the CA and the operator's token, or finds those of an earlier
// start in Config.Dir, so that clients set up then still work.
func (s *Server) openDir() error {
	var err error
	if s.cfg.Dir == "" {
		s.wire.SetControlToken(newControlToken())
		if s.ca, err = newAuthority(); err != nil {
			return err
		}
		return s.adoptToken(s.wire.State().OperatorToken)
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("making the emulator's folder: %w", err)
	}
	if s.ca, err = s.openAuthority(); err != nil {
		return err
	}
	control, err := s.openControlToken()
	if err != nil {
		return err
	}
	s.wire.SetControlToken(control)
	path := filepath.Join(s.cfg.Dir, "token")
	token := s.wire.State().OperatorToken
	if token.IsZero() {
		raw, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("reading the operator's token: %w", err)
		}
		token = secret.New(strings.TrimSpace(string(raw)))
	}
	if err := s.adoptToken(token); err != nil {
		return err
	}
	if err := wire.WriteFile(path, []byte(s.wire.State().OperatorToken.Reveal())); err != nil {
		return fmt.Errorf("writing the operator's token: %w", err)
	}
	return s.openLogin()
}

// adoptToken makes token the operator's, or a fresh one if there is none.
func (s *Server) adoptToken(token secret.String) error {
	st := s.wire.State()
	if token.IsZero() {
		token = secret.New(iam.NewToken())
	}
	st.OperatorToken = token
	// One token at a time: those of earlier starts are void.
	maps.DeleteFunc(st.Tokens, func(_ string, t *iam.AccessToken) bool { return t.Login })
	t, err := st.TokenOf(st.Operator)
	if err != nil {
		return fmt.Errorf("making the operator's token: %w", err)
	}
	t.Login = true
	st.Tokens[iam.TokenHash(token.Reveal())] = &t
	return nil
}

func (s *Server) openAuthority() (*authority, error) {
	certPath, keyPath := filepath.Join(s.cfg.Dir, "ca.pem"), filepath.Join(s.cfg.Dir, "ca.key")
	cert, certErr := os.ReadFile(certPath)
	key, keyErr := os.ReadFile(keyPath)
	if certErr == nil && keyErr == nil {
		ca, err := parseAuthority(cert, key)
		if err != nil {
			return nil, fmt.Errorf("reading the emulator's CA in %s: %w", s.cfg.Dir, err)
		}
		return ca, nil
	}
	for _, err := range []error{certErr, keyErr} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the emulator's CA: %w", err)
		}
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	if key, err = ca.keyPEM(); err != nil {
		return nil, err
	}
	for path, raw := range map[string][]byte{keyPath: key, certPath: ca.certificatePEM()} {
		if err := wire.WriteFile(path, raw); err != nil {
			return nil, fmt.Errorf("writing the emulator's CA: %w", err)
		}
	}
	return ca, nil
}

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
	if err := wire.WriteFile(path, []byte(token.Reveal())); err != nil {
		return secret.String{}, fmt.Errorf("writing the control token: %w", err)
	}
	return token, nil
}

// login is the operator's login, whatever kind of principal that is, as Google's libraries keep that of a person: the
// application default credentials that `gcloud auth application-default login` would
// leave. Of the file types that stand for a person it is the only one that all
// libraries read; they renew it at oauth2.googleapis.com, whatever the file says, so it works
// through the proxy.
type login struct {
	Type         string `json:"type"`
	Account      string `json:"account"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`
	Universe     string `json:"universe_domain"`
}

// loginFile is the name of the login in [Config.Dir].
const loginFile = "adc.json"

// openLogin writes the operator's login, with the refresh token of an earlier start
// if there is one.
func (s *Server) openLogin() error {
	path := filepath.Join(s.cfg.Dir, loginFile)
	var l login
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the operator's login: %w", err)
	}
	// A file that cannot be read is replaced: it is the emulator's own.
	if json.Unmarshal(raw, &l) != nil || l.RefreshToken == "" {
		l.RefreshToken = "1//0" + strings.TrimPrefix(iam.NewToken(), iam.TokenPrefix)
	}
	s.wire.State().RefreshToken = secret.New(l.RefreshToken)
	raw, err = json.MarshalIndent(login{
		Type: "authorized_user", Account: strings.TrimPrefix(strings.TrimPrefix(s.wire.State().Operator, "user:"),
			"serviceAccount:"), ClientID: iamapi.LoginClient,
		ClientSecret: iamapi.LoginClientSecret,
		RefreshToken: l.RefreshToken, Universe: "googleapis.com",
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the operator's login: %w", err)
	}
	if err := wire.WriteFile(path, append(raw, '\n')); err != nil {
		return fmt.Errorf("writing the operator's login: %w", err)
	}
	return nil
}
