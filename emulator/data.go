package emulator

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/taskiam/taskiam/internal/secret"
)

// dataFile is what --data holds. Version tells later forms apart.
type dataFile struct {
	Version int   `json:"version"`
	State   state `json:"state"`
}

const dataVersion = 1

// init makes the maps that methods write to, and the index of live accounts.
func (st *state) init() {
	if st.Organizations == nil {
		st.Organizations = map[string]*organization{}
	}
	if st.Folders == nil {
		st.Folders = map[string]*folder{}
	}
	if st.Projects == nil {
		st.Projects = map[string]*project{}
	}
	if st.People == nil {
		st.People = map[string]*person{}
	}
	if st.Groups == nil {
		st.Groups = map[string][]string{}
	}
	if st.Accounts == nil {
		st.Accounts = map[string]*serviceAccount{}
	}
	if st.Tokens == nil {
		st.Tokens = map[string]*accessToken{}
	}
	if st.Roles == nil {
		st.Roles = map[string]*customRole{}
	}
	if st.Pools == nil {
		st.Pools = map[string]*identityPool{}
	}
	if st.Graves == nil {
		st.Graves = map[string]*grave{}
	}
	if len(st.Signing.DER) > 0 {
		// If it cannot be read, whoever has to sign with it says so.
		st.Signing.parsed, _ = x509.ParsePKCS1PrivateKey(st.Signing.DER)
	}
	st.live = map[string]*serviceAccount{}
	for _, a := range st.Accounts {
		if !a.deleted() {
			st.live[a.Email] = a
		}
	}
}

// load reads the data file and reports whether there was one.
func (s *Server) load() (bool, error) {
	s.state.init()
	if s.cfg.DataFile == "" {
		return false, nil
	}
	raw, err := os.ReadFile(s.cfg.DataFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the emulator's data: %w", err)
	}
	var d dataFile
	if err := json.Unmarshal(raw, &d); err != nil {
		return false, fmt.Errorf("reading the emulator's data %s: %w", s.cfg.DataFile, err)
	}
	if d.Version != dataVersion {
		return false, fmt.Errorf("reading the emulator's data %s: version %d is not known, only %d", s.cfg.DataFile, d.Version, dataVersion)
	}
	s.state = d.State
	s.state.init()
	return true, nil
}

// save writes the data file, whole or not at all. The caller holds the lock.
func (s *Server) save() error {
	if s.cfg.DataFile == "" {
		return nil
	}
	raw, err := json.Marshal(dataFile{dataVersion, s.state})
	if err != nil {
		return fmt.Errorf("encoding the emulator's data: %w", err)
	}
	if err := renameio.WriteFile(s.cfg.DataFile, raw, 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("writing the emulator's data: %w", err)
	}
	return nil
}

// openDir makes the CA and the operator's token, or finds those of an earlier
// start in Config.Dir, so that clients set up then still work.
func (s *Server) openDir() error {
	var err error
	if s.cfg.Dir == "" {
		s.controlToken = newControlToken()
		if s.ca, err = newAuthority(); err != nil {
			return err
		}
		return s.adoptToken(s.token)
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("making the emulator's folder: %w", err)
	}
	if s.ca, err = s.openAuthority(); err != nil {
		return err
	}
	if s.controlToken, err = s.openControlToken(); err != nil {
		return err
	}
	path := filepath.Join(s.cfg.Dir, "token")
	token := s.token
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
	if err := renameio.WriteFile(path, []byte(s.token.Reveal()), 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("writing the operator's token: %w", err)
	}
	return s.openLogin()
}

// adoptToken makes token the operator's, or a fresh one if there is none.
func (s *Server) adoptToken(token secret.String) error {
	if token.IsZero() {
		token = secret.New(newToken())
	}
	s.token = token
	// One token at a time: those of earlier starts are void.
	maps.DeleteFunc(s.state.Tokens, func(_ string, t *accessToken) bool { return t.Person == s.state.Operator })
	s.state.Tokens[tokenHash(token.Reveal())] = &accessToken{Person: s.state.Operator}
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
		if err := renameio.WriteFile(path, raw, 0o600, renameio.IgnoreUmask()); err != nil {
			return nil, fmt.Errorf("writing the emulator's CA: %w", err)
		}
	}
	return ca, nil
}
