package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/policy"
)

// fullPolicy writes an allow policy with so many members of others, in bindings of 70.
func fullPolicy(members int) ([]byte, error) {
	type binding struct {
		Role    string   `json:"role"`
		Members []string `json:"members"`
	}
	p := struct {
		Version  int       `json:"version"`
		Etag     string    `json:"etag"`
		Bindings []binding `json:"bindings"`
	}{Version: 3, Etag: "BwX+/="}
	for i := range members {
		if i%70 == 0 {
			p.Bindings = append(p.Bindings, binding{Role: fmt.Sprintf("roles/bench.role%d", i/70)})
		}
		b := &p.Bindings[len(p.Bindings)-1]
		b.Members = append(b.Members, fmt.Sprintf("user:somebody.else.%04d@a-long-name.example.com", i))
	}
	return json.Marshal(p)
}

// edits reads a policy, asks whether there is room, adds 20 bindings, encodes it, and
// takes them all out again: the algebra of one up and one down, without a call.
func edits(data []byte) error {
	const email = "bench@bench-agents.iam.gserviceaccount.com"
	p, err := policy.DecodePolicy(data)
	if err != nil {
		return err
	}
	var add []policy.Binding
	for i := range 20 {
		add = append(add, policy.Binding{Role: fmt.Sprintf("roles/bench.role%d", i), Member: policy.Member(email),
			Condition: policy.Condition{Title: "bench", Expression: "true"}})
	}
	if err := p.Room(add); err != nil {
		return err
	}
	for _, b := range add {
		p.Add(b)
	}
	if data, err = p.Encode(); err != nil {
		return err
	}
	if p, err = policy.DecodePolicy(data); err != nil {
		return err
	}
	for _, b := range add {
		if !p.Has(b) {
			return fmt.Errorf("%s was not added", b.Role)
		}
	}
	p.RemoveAccount(email, "")
	_, err = p.Encode()
	return err
}

// benchFullPolicy prints what the edits of a policy cost by how full it is, with no
// emulator in it: 20 grants, into a policy with 10 members of others, and with 1,400.
func benchFullPolicy(ctx context.Context, out io.Writer) error {
	const rounds, each = 9, 50
	fmt.Fprintf(out, "| 20 grants on one policy, edited without a call | size | per up and down | ratio | per KB |\n"+
		"|---|---:|---:|---:|---:|\n")
	var base time.Duration
	for _, members := range []int{10, 1400} {
		data, err := fullPolicy(members)
		if err != nil {
			return err
		}
		var took []time.Duration
		for range rounds {
			if err := ctx.Err(); err != nil {
				return err
			}
			begun := time.Now()
			for range each {
				if err := edits(data); err != nil {
					return err
				}
			}
			took = append(took, time.Since(begun)/each)
		}
		d := median(took)
		if base == 0 {
			base = d
		}
		kb := float64(len(data)) / 1024
		fmt.Fprintf(out, "| %d members of others | %.1f KB | %s | %.1f | %s |\n", members, kb,
			d.Round(time.Microsecond), float64(d)/float64(base), time.Duration(float64(d)/kb).Round(time.Microsecond))
	}
	return nil
}

// projectRoles are bound on the project whose policy is full.
var projectRoles = []string{
	"roles/browser", "roles/pubsub.viewer", "roles/pubsub.publisher", "roles/pubsub.subscriber", "roles/storage.objectViewer",
	"roles/secretmanager.viewer", "roles/secretmanager.secretAccessor", "roles/bigquery.dataViewer", "roles/bigquery.jobUser", "roles/logging.viewer",
}

// crowded is the company with so many members of others in the project's policy, and a
// task of ten grants there and ten on others.
func crowded(members int) (companySeed, task []byte) {
	var b strings.Builder
	b.Write(seed(10))
	for i, role := range projectRoles {
		var names []string
		for n := i; n < members; n += len(projectRoles) {
			names = append(names, fmt.Sprintf("%q", fmt.Sprintf("user:somebody.else.%04d@a-long-name.example.com", n)))
		}
		fmt.Fprintf(&b, "[[project.binding]]\nrole = %q\nmembers = [%s]\n", role, strings.Join(names, ", "))
	}
	var m strings.Builder
	m.Write(manifest(10, "key"))
	for _, role := range projectRoles {
		fmt.Fprintf(&m, "[[grant]]\nrole = %q\nresource = \"projects/%s\"\n", role, host)
	}
	return []byte(b.String()), []byte(m.String())
}

// comparePolicies prints up and down with a policy that is nearly full beside the same
// with a small one, and then what of that are our own edits.
func comparePolicies(ctx context.Context, out io.Writer, dir, program string, rtt time.Duration, rounds int) error {
	fmt.Fprintf(out, "| 20 grants, 10 of them on one policy | up: inside | ratio | down: inside | ratio |\n"+
		"|---|---:|---:|---:|---:|\n")
	var base measurement
	for _, members := range []int{10, 1400} {
		s, task := crowded(members)
		c, err := openWith(filepath.Join(dir, fmt.Sprint(members)), program, rtt, s, task)
		if err != nil {
			return err
		}
		m, err := c.measure(ctx, rounds)
		c.close()
		if err != nil {
			return err
		}
		if base == (measurement{}) {
			base = m
		}
		fmt.Fprintf(out, "| %d members of others | %.1f | %.2f | %.1f | %.2f |\n",
			members, m.up.inside, m.up.inside/base.up.inside, m.down.inside, m.down.inside/base.down.inside)
	}
	fmt.Fprintln(out, "\nThe emulator's own reading and checking of the policy is in these. Without it:")
	fmt.Fprintln(out)
	return benchFullPolicy(ctx, out)
}
