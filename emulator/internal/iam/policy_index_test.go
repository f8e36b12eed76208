package iam

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Whoever a binding of a large policy means finds it by the index, in the policy's order.
func TestConcerning(t *testing.T) {
	t.Parallel()
	var p Policy
	for i := range 4 * indexedFrom {
		b := Binding{Role: fmt.Sprintf("roles/r%03d", i), Members: []string{
			fmt.Sprintf("user:u%d@acme.example", i%5), fmt.Sprintf("group:G%d@acme.example", i%7)}}
		switch i % 11 {
		case 3:
			b.Members = append(b.Members, AllUsers)
		case 5:
			b.Members = []string{"projectOwner:p"}
		case 7:
			b.Members = []string{"principal://googleapis.com/projects/1/locations/global/workloadIdentityPools/x/subject/S"}
		}
		p.Bindings = append(p.Bindings, b)
	}
	for name, ids := range map[string][]string{
		"nobody":      nil,
		"everybody":   {"allusers"},
		"a user":      {"user:u2@acme.example", "allusers"},
		"two groups":  {"group:g1@acme.example", "group:g4@acme.example"},
		"a federated": {"principal://googleapis.com/projects/1/locations/global/workloadIdentityPools/x/subject/S"},
		"a stranger":  {"user:zoe@acme.example"},
	} {
		who := &Principal{identities: map[string]bool{}}
		for _, id := range ids {
			who.identities[id] = true
		}
		var want, got []string
		for _, b := range p.Bindings {
			if slices.ContainsFunc(b.Members, func(m string) bool { return who.identities[identity(m)] || strings.HasPrefix(m, "projectOwner:") }) {
				want = append(want, b.Role)
			}
		}
		for _, b := range p.concerning(who, time.Now()) {
			got = append(got, b.Role)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
