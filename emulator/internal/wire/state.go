package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// State is everything the emulator holds: the company, and what each service remembers.
// The data file keeps all of it.
//
// A field tagged snapshot:"-" is left out of snapshots: etags, metagenerations, update
// times, tombstones, shared custom roles, and the keys that only Google holds. An empty
// policy is left out too.
type State struct {
	iam.Company

	services []*Service
	parts    map[string]any // what the services remember, by their keys
}

// newState returns the empty state of services.
func newState(services []*Service) (*State, error) {
	st := &State{Company: iam.NewCompany(), services: services, parts: map[string]any{}}
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

// Part returns what a service remembers under its key.
func Part[T any](st *State, key string) *T { return st.parts[key].(*T) }

// Service returns the service at a host, or nil.
func (st *State) Service(host string) *Service {
	i := slices.IndexFunc(st.services, func(s *Service) bool { return s.Name == host })
	if i < 0 {
		return nil
	}
	return st.services[i]
}

// ServiceNode returns a resource that a service keeps, by its full name.
func (st *State) ServiceNode(full string) (iam.Node, bool) {
	host, relative, _ := strings.Cut(strings.TrimPrefix(full, "//"), "/")
	s := st.Service(host)
	if s == nil || s.Node == nil {
		return iam.Node{}, false
	}
	return s.Node(st, relative)
}

// Assets returns everything that has a policy, sorted by name.
func (st *State) Assets() []Asset {
	var all []Asset
	for _, s := range st.services {
		if s.Assets != nil {
			s.Assets(st, func(a Asset) {
				if a.Policy != nil {
					all = append(all, a)
				}
			})
		}
	}
	slices.SortFunc(all, func(a, b Asset) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// MarshalJSON writes the company's fields, and each service's state under its key.
func (st *State) MarshalJSON() ([]byte, error) {
	raw, err := json.Marshal(&st.Company)
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
func (st *State) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &st.Company); err != nil {
		return err
	}
	st.Index()
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
func (st *State) snapshot(now time.Time) ([]byte, error) {
	live := st.Company
	live.Accounts = maps.Clone(live.Accounts)
	maps.DeleteFunc(live.Accounts, func(_ string, a *iam.Account) bool { return a.IsDeleted() })
	live.Tokens = maps.Clone(live.Tokens)
	maps.DeleteFunc(live.Tokens, func(_ string, t *iam.AccessToken) bool {
		return t.Expired(now) || t.Account != "" && live.Accounts[t.Account] == nil
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
// Everything in the state that has this method takes part in [State.Rename].
type renamer interface {
	// Rename replaces one member string by another, or removes it if that is "", and
	// reports whether it was there.
	Rename(from, to string) bool
}

// Rename replaces a member wherever the state names one, or removes it if to is "".
func (st *State) Rename(from, to string) {
	st.Each(func(v any) {
		if r, ok := v.(renamer); ok {
			r.Rename(from, to)
		}
	})
}

// unbind removes the bindings of a role wherever there are any.
func (st *State) unbind(role string) {
	st.Each(func(v any) {
		if r, ok := v.(interface{ DropRole(string) }); ok {
			r.DropRole(role)
		}
	})
}

// Each calls visit with a pointer to every struct in the state.
func (st *State) Each(visit func(any)) {
	walk(reflect.ValueOf(&st.Company), visit)
	for _, p := range st.parts {
		walk(reflect.ValueOf(p), visit)
	}
}
