package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// state is everything the emulator holds: the company, and what each service remembers.
// The data file keeps all of it.
//
// A field tagged snapshot:"-" is left out of snapshots: etags, metagenerations, update
// times, tombstones, shared custom roles, and the emulator's own signing key. An empty
// policy is left out too.
type state struct {
	company

	services []*service
	parts    map[string]any // what the services remember, by their keys
}

// newState returns the empty state of services.
func newState(services []*service) (*state, error) {
	st := &state{company: newCompany(), services: services, parts: map[string]any{}}
	for _, s := range services {
		switch {
		case s.Key == "":
		case st.parts[s.Key] != nil:
			return nil, fmt.Errorf("two services keep their state under %q", s.Key)
		default:
			st.parts[s.Key] = s.New()
		}
	}
	return st, nil
}

// part returns what a service remembers under its key.
func part[T any](st *state, key string) *T { return st.parts[key].(*T) }

// service returns the service at a host, or nil.
func (st *state) service(host string) *service {
	i := slices.IndexFunc(st.services, func(s *service) bool { return s.Name == host })
	if i < 0 {
		return nil
	}
	return st.services[i]
}

// serviceNode returns a resource that a service keeps, by its full name.
func (st *state) serviceNode(full string) (node, bool) {
	host, relative, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	s := st.service(host)
	if s == nil || s.Node == nil {
		return node{}, false
	}
	return s.Node(st, relative)
}

// assets returns everything that has a policy, sorted by name.
func (st *state) assets() []asset {
	var all []asset
	for _, s := range st.services {
		if s.Assets != nil {
			s.Assets(st, func(a asset) {
				if a.Policy != nil {
					all = append(all, a)
				}
			})
		}
	}
	slices.SortFunc(all, func(a, b asset) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// MarshalJSON writes the company's fields, and each service's state under its key beside them.
func (st *state) MarshalJSON() ([]byte, error) {
	raw, err := json.Marshal(&st.company)
	if err != nil {
		return nil, err
	}
	for _, s := range st.services {
		if s.Key == "" {
			continue
		}
		p, err := json.Marshal(st.parts[s.Key])
		if err != nil {
			return nil, err
		}
		raw = raw[:len(raw)-1] // up to the closing brace
		if len(raw) > 1 {
			raw = append(raw, ',')
		}
		raw = append(fmt.Appendf(raw, "%q:%s", s.Key, p), '}')
	}
	return raw, nil
}

// UnmarshalJSON reads what MarshalJSON wrote into a state that has the services.
func (st *state) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &st.company); err != nil {
		return err
	}
	st.index()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	for key, p := range st.parts {
		if raw, ok := all[key]; ok {
			if err := json.Unmarshal(raw, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// snapshot returns the state in a canonical form: JSON, indented, sorted. See
// [Server.Snapshot].
func (st *state) snapshot(now time.Time) ([]byte, error) {
	live := st.company
	live.Accounts = maps.Clone(live.Accounts)
	maps.DeleteFunc(live.Accounts, func(_ string, a *serviceAccount) bool { return a.deleted() })
	live.Tokens = maps.Clone(live.Tokens)
	maps.DeleteFunc(live.Tokens, func(_ string, t *accessToken) bool {
		return t.expired(now) || t.Account != "" && live.Accounts[t.Account] == nil
	})
	tree, err := canonical(reflect.ValueOf(live))
	if err != nil {
		return nil, fmt.Errorf("taking a snapshot: %w", err)
	}
	all, ok := tree.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("taking a snapshot: the company is %T", tree)
	}
	for key, p := range st.parts {
		c, err := canonical(reflect.ValueOf(p))
		if err != nil {
			return nil, fmt.Errorf("taking a snapshot: %w", err)
		}
		if fields, ok := c.(map[string]any); ok && len(fields) > 0 {
			all[key] = fields
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(all); err != nil {
		return nil, fmt.Errorf("taking a snapshot: %w", err)
	}
	return b.Bytes(), nil
}

// renamer is what names principals: policies, and the access lists of datasets.
// Everything in the state that has this method takes part in [state.rename].
type renamer interface {
	// rename replaces one member string by another, or removes it if that is "", and
	// reports whether it was there.
	rename(from, to string) bool
}

// rename replaces a member wherever the state names one, or removes it if to is "".
func (st *state) rename(from, to string) {
	st.each(func(v any) {
		if r, ok := v.(renamer); ok {
			r.rename(from, to)
		}
	})
}

// unbind removes the bindings of a role wherever there are any.
func (st *state) unbind(role string) {
	st.each(func(v any) {
		if r, ok := v.(interface{ dropRole(string) }); ok {
			r.dropRole(role)
		}
	})
}

// each calls visit with a pointer to every struct in the state.
func (st *state) each(visit func(any)) {
	walk(reflect.ValueOf(&st.company), visit)
	for _, p := range st.parts {
		walk(reflect.ValueOf(p), visit)
	}
}
