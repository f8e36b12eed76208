package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
)

// Snapshot returns the state in a canonical form: JSON, indented, sorted. Two
// snapshots are equal if and only if the state is: it leaves out only etags,
// metagenerations, update times, deleted accounts and their keys and tokens, tokens
// that have expired, custom roles, which are shared, and the emulator's own signing
// key; an absent policy equals an empty one.
func (s *Server) Snapshot() ([]byte, error) {
	s.catchUp()
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.now()
	st := s.state
	st.Accounts = maps.Clone(st.Accounts)
	maps.DeleteFunc(st.Accounts, func(_ string, a *serviceAccount) bool { return a.deleted() })
	st.Tokens = maps.Clone(st.Tokens)
	maps.DeleteFunc(st.Tokens, func(_ string, t *accessToken) bool {
		return t.expired(now) || t.Account != "" && st.Accounts[t.Account] == nil
	})
	tree, err := canonical(reflect.ValueOf(st))
	if err != nil {
		return nil, fmt.Errorf("taking a snapshot: %w", err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(tree); err != nil {
		return nil, fmt.Errorf("taking a snapshot: %w", err)
	}
	return b.Bytes(), nil
}
