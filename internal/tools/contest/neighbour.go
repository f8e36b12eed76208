package contest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

// person is what the addresses of the neighbours' members begin with.
const person = "contest-neighbour-"

// kept is how many of its latest bindings a neighbour leaves in a policy.
const kept = 3

// Neighbour edits one policy again and again: each edit adds a binding and removes all
// but the latest few. When its write comes too late, it reads the policy again at once.
type Neighbour struct {
	// Client is the cloud, as somebody with [Agent] as its User-Agent.
	Client *gcp.Client
	// Policy is what it edits, and Role what it binds there.
	Policy resource.Name
	Role   string
	// Every is how long it waits between two edits.
	Every time.Duration

	next int
	log  []policy.Binding // what the policy must contain
}

// Run edits until ctx is done.
func (n *Neighbour) Run(ctx context.Context) error {
	tick := time.NewTicker(n.Every)
	defer tick.Stop()
	for {
		n.log = append(n.log,
			policy.Binding{Role: n.Role, Member: fmt.Sprintf("user:%s%d@acme.example", person, n.next)})
		n.next++
		over := n.log[:max(0, len(n.log)-kept)]
		// An edit that was begun is finished, since it is in the log.
		if err := n.edit(context.WithoutCancel(ctx), over); err != nil {
			return err
		}
		n.log = slices.Clone(n.log[len(over):])
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// edit adds the newest binding of the log to the policy, and removes those that are over.
func (n *Neighbour) edit(ctx context.Context, over []policy.Binding) error {
	for {
		doc, err := n.Client.ReadPolicy(ctx, n.Policy)
		if err != nil {
			return err
		}
		if missing := n.absent(doc, n.log[:len(n.log)-1]); missing != nil {
			return missing
		}
		for _, b := range over {
			doc.Remove(b)
		}
		doc.Add(n.log[len(n.log)-1])
		if _, err = n.Client.WritePolicy(ctx, n.Policy, doc); !fault.Is(err, fault.Conflict, fault.Throttled) {
			return err
		}
	}
}

// absent returns an error if something that was bound is not in the policy.
func (n *Neighbour) absent(doc policy.Document, bound []policy.Binding) error {
	var errs []error
	for _, b := range bound {
		if !doc.Has(b) {
			errs = append(errs, fmt.Errorf("the neighbour's %s on %s is gone", b.Member, n.Policy))
		}
	}
	return errors.Join(errs...)
}

// Leave removes what it has bound, after checking that all of it is still there.
func (n *Neighbour) Leave(ctx context.Context) error {
	for {
		doc, err := n.Client.ReadPolicy(ctx, n.Policy)
		if err != nil {
			return err
		}
		if err := n.absent(doc, n.log); err != nil {
			return err
		}
		for _, b := range n.log {
			doc.Remove(b)
		}
		if _, err = n.Client.WritePolicy(ctx, n.Policy, doc); !fault.Is(err, fault.Conflict, fault.Throttled) {
			return err
		}
	}
}
