// Package guard limits what a manifest may open: by the operator's limits, which stand above every
// manifest, and by what the same manifest opened before.
//
// It is pure: it takes values and bytes, and returns what is beyond them.
package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/visible"
)

// Scope is what a manifest opens: its plan without what differs from run to run, in a form that can be kept and be
// compared later without the manifest. It holds no secret. What opens nothing is not in it, such as the reason of a
// task or those of its acceptances.
type Scope struct {
	// Version is that of the form.
	Version int    `json:"version"`
	Task    string `json:"task"`
	// Project is where the account is made; "" leaves that to the operator.
	Project string        `json:"project,omitempty"`
	TTL     time.Duration `json:"ttl"` // in nanoseconds
	Grants  []ScopeGrant  `json:"grants"`
	// Deliver and TokenLifetime leave what is not said to whoever brings the task up.
	Deliver       []grants.DeliveryKind `json:"deliver,omitempty"`
	TokenLifetime time.Duration         `json:"token_lifetime,omitempty"` // in nanoseconds
	Audiences     []string              `json:"audiences,omitempty"`
	// Network is null where the manifest says nothing of it.
	Network *ScopeNetwork `json:"network,omitempty"`
	// Tree is how the command sees its work tree; "" leaves it to the operator.
	Tree grants.Tree `json:"tree,omitempty"`
}

// ScopeGrant is one grant of a [Scope].
type ScopeGrant struct {
	Role        string   `json:"role,omitempty"`
	Permissions []string `json:"permissions,omitempty"`
	Resource    string   `json:"resource"` // as [resource.Name.String] has it
	Prefix      string   `json:"prefix,omitempty"`
	Condition   string   `json:"condition,omitempty"`
	Unbounded   bool     `json:"unbounded,omitempty"`
	Basic       bool     `json:"basic,omitempty"`
	Accept      []string `json:"accept,omitempty"` // names of findings, sorted
}

// scopeVersion is the version of the form that this program writes and reads.
const scopeVersion = 1

// ScopeOf returns what a task opens.
func ScopeOf(t grants.Task) Scope {
	s := Scope{
		Version: scopeVersion, Task: t.Name, Project: t.Project, TTL: t.TTL, Grants: []ScopeGrant{},
		Deliver: slices.Clone(t.Deliver), TokenLifetime: t.TokenLifetime, Audiences: slices.Clone(t.Audiences),
		Network: networkOf(t.Network), Tree: t.Sandbox.Tree,
	}
	for i, g := range t.Grants {
		one := ScopeGrant{
			Role: g.Role, Permissions: slices.Clone(g.Permissions), Resource: g.Resource.String(), Prefix: g.Prefix,
			Condition: g.Condition, Unbounded: g.AcceptUnbounded, Basic: g.AllowBasic,
		}
		for _, a := range t.Accept {
			if a.Grant == i {
				one.Accept = append(one.Accept, a.Finding)
			}
		}
		slices.Sort(one.Accept)
		s.Grants = append(s.Grants, one)
	}
	return s
}

// Opens says what the scope opens, a line for each grant and each host.
func (s Scope) Opens() []string {
	lines := make([]string, len(s.Grants))
	for i, g := range s.Grants {
		lines[i] = visible.Line(g.String() + g.limits())
	}
	for _, w := range widerNetwork(nil, s.Network) {
		lines = append(lines, visible.Line(w.What+": "+w.Now))
	}
	return lines
}

// ParseScope reads a scope that was kept as JSON. It refuses a version that it does not know, and fields: what they
// open could not be compared.
func ParseScope(b []byte) (Scope, error) {
	var s Scope
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return Scope{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Scope{}, errors.New("there is something behind it")
	}
	if s.Version != scopeVersion {
		return Scope{}, fmt.Errorf("its version is %d, and this program knows %d", s.Version, scopeVersion)
	}
	return s, nil
}
