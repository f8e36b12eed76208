package iam

import (
	"encoding/base64"
	"slices"
	"testing"
	"time"
)

func TestEtag(t *testing.T) {
	t.Parallel()
	// The etag that Google sent for a policy on 2023-08-09.
	at, err := time.Parse(time.RFC3339, "2023-08-09T00:22:02Z")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString("BwYCcnf5oMo=")
	if err != nil {
		t.Fatal(err)
	}
	got, err := base64.StdEncoding.DecodeString(etagOf(at.UnixMicro()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 8 || !slices.Equal(got[:4], raw[:4]) {
		t.Errorf("the etag of %v is %x, Google's was %x", at, got, raw)
	}

	var p Policy
	if p.Etag() != "ACAB" {
		t.Errorf("a policy never set has the etag %s", p.Etag())
	}
	seen := map[string]bool{}
	for range 100 { // the clock may stand still
		p.Touch(at)
		if seen[p.Etag()] {
			t.Fatalf("etag %s came twice", p.Etag())
		}
		seen[p.Etag()] = true
	}
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"BwYCcnf5oMo=", "BwYCcnf5oMo=", true},
		{"Bw//++5oMos=", "Bw__--5oMos=", true},
		{"Bw//++5oMos=", "Bw__--5oMos", true},
		{"BwYCcnf5oMo=", "BwYCcnf5oNo=", false},
		{"ACAB", "BwYCcnf5oMo=", false},
		{"not base64!", "not base64!", false},
	} {
		if got := SameEtag(tt.a, tt.b); got != tt.want {
			t.Errorf("sameEtag(%q, %q) = %v", tt.a, tt.b, got)
		}
	}
}
