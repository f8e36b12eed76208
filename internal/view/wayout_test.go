package view

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// The table in docs/plan.md is the one that is printed.
func TestWaysOutAreAsInTheDocs(t *testing.T) {
	t.Parallel()
	data, _, err := resource.Parse("gs://acme-public-data")
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	ShowWaysOut(&r, NewWaysOut(grants.Network{
		Resources: []resource.Name{data}, MaxUpload: 10 << 20,
		Hosts: []grants.Host{{Name: "docs.acme.example", Port: 443}, {Name: "git.acme.example", Port: 8443, Write: true}},
	}))
	doc, err := os.ReadFile("../../docs/plan.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), "```text\n"+r.String()+"```\n") {
		t.Errorf("docs/plan.md does not have\n%s", r.String())
	}
}

// Whatever opens more than reading shows.
func TestWaysOut(t *testing.T) {
	t.Parallel()
	ways := NewWaysOut(grants.Network{Hosts: []grants.Host{
		{Name: "w.example", Port: 443, Write: true, MaxUpload: 1500}, {Name: "t.example", Port: 443, Tunnel: true},
		{Name: "k.example", Port: 443, Header: "X-Key", From: grants.Origin{Kind: grants.FromFile, Name: "k"}},
		{Name: "r.example", Port: 443, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
	}})
	var r Report
	ShowWaysOut(&r, ways)
	for _, want := range []string{
		"on what is granted", "any number of bytes", "w.example", "a way out: every method", "up to 1500B", "with any login",
		"a way out: a tunnel", "file:k is added as X-Key", "GET, HEAD, git fetch", "r.example may have the addresses 10.0.0.0/8",
	} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("no %q in\n%s", want, r.String())
		}
	}
	if strings.Contains(r.String(), "in all") {
		t.Errorf("there is no limit for all:\n%s", r.String())
	}
	for i, want := range []bool{false, true, true, false, false} {
		if ways[i].Any != want {
			t.Errorf("%s is a way out: %v", ways[i].Host, ways[i].Any)
		}
	}
}
