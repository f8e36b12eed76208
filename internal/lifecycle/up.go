package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/customrole"
	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
	"github.com/taskiam/taskiam/internal/secret"
	"github.com/taskiam/taskiam/internal/wait"
)

const (
	// visibleWithin bounds the wait for a new account to be seen by those who have
	// to name it; a minute or more is normal (iam/docs/service-accounts-create).
	visibleWithin = 3 * time.Minute
	// undoWithin bounds a teardown after an up that failed or was interrupted.
	// It queues for the policies like every other.
	undoWithin = contestWithin
	// tokenGap is how long a run may be without a token before it ends; coming up takes
	// about as long.
	tokenGap = time.Minute
	// clockSkew is by how much the servers of Google may disagree on what time it is.
	clockSkew = 5 * time.Minute
)

// UpOptions are what an up is told beside its plan.
type UpOptions struct {
	ManifestPath   string // absolute
	ManifestSHA256 string // of the manifest's bytes, in hex
	Dir            string // where the delivery goes; must not exist or be empty
	// ReadyTimeout is how long to wait until all access is usable.
	ReadyTimeout time.Duration
	// Metadata is the address at which the run's metadata server is to answer, HOST:PORT;
	// empty if there cannot be one.
	Metadata string
	// OwnUser is a user who exists for this run alone; zero is none.
	OwnUser journal.OwnUser
	// Socket says that it is to answer on a socket in the delivery, and on no port.
	Socket bool
	// Keep starts what keeps a delivery good in the background: what serves metadata, or
	// renews the token before it ends. It hands each process to record, and lets it begin
	// only when that has come off. Nil leaves it to the caller.
	Keep func(ctx context.Context, run grants.RunID, record func(journal.ProcessStarted) error) error
	// Job, Login and Apart are those of [journal.Opened].
	Job, Login string
	Apart      bool
	// NoWait returns as soon as everything is bound and delivered. Nobody has asked
	// then whether the access works, and that it is not known is no error.
	NoWait bool
}

// Result is a run that is up.
type Result struct {
	Plan     grants.Plan
	Operator grants.Identity
	Run      *journal.Run
	Dir      string
	Grants   []journal.GrantState // one for each grant of the task, in its order
	Elapsed  time.Duration
}

// NewPlan plans a run of the task that begins now.
func (e *Engine) NewPlan(task grants.Task) (grants.Plan, error) {
	var random [5]byte
	if _, err := io.ReadFull(e.Random, random[:]); err != nil {
		return grants.Plan{}, fmt.Errorf("making a run id: %w", err)
	}
	return grants.NewPlan(task, grants.NewRunID(e.Now(), random)), nil
}

// Up carries out the plan. What can be refused is refused before anything is
// written; if a later step fails for good, what was done is undone.
//
// With a [fault.NotReady] the result is there and the run is up, but not all of its
// access was usable within the timeout. With any other error nothing is left, or
// the error is [fault.Incomplete] and says what.
func (e *Engine) Up(ctx context.Context, plan grants.Plan, o UpOptions) (*Result, error) {
	plan.Job = o.Job
	u := &upRun{
		Engine:        e,
		plan:          plan,
		options:       o,
		begun:         e.Now(),
		created:       make(chan struct{}),
		hasCredential: make(chan struct{}),
		rolesReady:    make(chan struct{}),
		bound:         map[resource.Name]chan struct{}{},
		grants:        make([]journal.GrantState, len(plan.Task.Grants)),
	}
	for _, edit := range plan.Edits {
		u.bound[edit.Resource] = make(chan struct{})
	}
	if delivery.For(plan.Task)[0].MakesKey {
		u.makeKey()
	}

	if err := e.Journals.Probe(); err != nil {
		return nil, err
	}
	s, err := e.survey(ctx, plan)
	if err != nil {
		return nil, err
	}
	cloud, endpoint := e.Cloud.Cloud()
	refused := errors.Join(s.refusals...)
	if refused == nil || fault.Is(refused, fault.Denied) { // who it is that may not
		e.report("acting as "+s.operator.Member, cloud+" ("+endpoint+")", Known, nil)
	}
	if refused != nil {
		return nil, refused
	}
	plan = s.plan
	u.plan = plan
	if s.ahead != 0 {
		plan = plan.BeginAt(plan.Began.Add(s.ahead))
		u.plan = plan
		e.warnOfClock(s.ahead, "the run expires by the cloud's, at "+plan.Expires.Format(time.RFC3339))
	}
	u.survey = s
	e.prune()
	e.tellAccepted(plan.Task, s)
	j, err := e.Journals.Create(journal.Opened{
		Run: plan.Run, Task: plan.Task.Name, Cloud: cloud, Endpoint: endpoint, Operator: s.operator.Member,
		Project: plan.Task.Project, AccountID: plan.AccountID, Email: plan.Email, Expires: plan.Expires,
		Began:        plan.Mark().Began,
		ManifestPath: o.ManifestPath, ManifestSHA256: o.ManifestSHA256,
		Deliver: s.deliver, DeliveryDir: o.Dir, Reason: plan.Task.Reason,
		Job: o.Job, Login: o.Login, Apart: o.Apart,
		Metadata: o.Metadata, Socket: o.Socket, OwnUser: o.OwnUser,
		TokenLifetime: int(plan.Task.TokenLifetime / time.Second),
		Audiences:     plan.Task.Audiences,
		Grants:        declared(plan.Task), Edits: intended(plan),
	}, journal.AccountIntended{})
	if err != nil {
		return nil, err
	}
	defer j.Close()
	u.journal = j

	if err := u.carryOut(ctx); err != nil {
		return nil, e.undo(ctx, j, err)
	}
	if err := j.Append(journal.Up{}); err != nil {
		return nil, e.undo(ctx, j, err)
	}
	result := &Result{
		Plan: u.plan.WithRoles(u.survey.custom.Names()), Operator: s.operator, Run: j.Run(), Dir: o.Dir,
		Grants: u.grants, Elapsed: e.Now().Sub(u.begun),
	}
	if o.NoWait {
		return result, nil
	}
	return result, u.unready()
}

// declared returns the task's grants as the journal keeps them.
func declared(task grants.Task) []journal.Grant {
	out := make([]journal.Grant, len(task.Grants))
	for i, g := range task.Grants {
		if len(g.Permissions) > 0 {
			g.Role = "" // which it is, the records of the roles say
		}
		out[i] = journal.Grant{
			Role: g.Role, Permissions: g.Permissions, Resource: g.Resource.Full(), Prefix: g.Prefix,
			Condition: g.Condition, Unbounded: !g.Bounded(),
			Accepted: accepted(task, i),
		}
	}
	return out
}

// intended returns the plan's edits as the journal keeps them.
func intended(plan grants.Plan) []journal.Edit {
	out := make([]journal.Edit, len(plan.Edits))
	for i, edit := range plan.Edits {
		out[i] = journal.Edit{Resource: edit.Resource.Full(), Grants: edit.Grants}
		for _, b := range edit.Bindings {
			out[i].Bindings = append(out[i].Bindings, journal.BindingOf(b))
		}
	}
	return out
}

// undo takes down what an up did before it failed.
func (e *Engine) undo(ctx context.Context, j journal.Journal, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	teardown, err := e.takeDown(ctx, j)
	if err == nil {
		return cause
	}
	// Incomplete comes first: it is what the exit code has to say.
	errs := []error{err}
	if teardown != nil {
		for _, what := range teardown.Run.Left() {
			errs = append(errs, errors.New("left: "+what))
		}
	}
	return errors.Join(append(errs, cause)...)
}

// upRun is one `up` in progress. Its steps run concurrently and wait for each other on
// channels; each channel is closed once.
type upRun struct {
	*Engine
	plan    grants.Plan
	options UpOptions
	survey  *survey
	journal journal.Journal
	begun   time.Time

	pair func() (KeyPair, error)
	// forbidden says that Google refuses to let the account have a key.
	forbidden bool
	account   grants.Account // once created is closed
	tester    *gcp.Client    // the cloud as the account sees it, once hasCredential is closed

	created       chan struct{}                   // the account exists
	rolesReady    chan struct{}                   // every custom role is there
	hasCredential chan struct{}                   // there is a credential
	bound         map[resource.Name]chan struct{} // the policy is written

	readyUntil atomic.Pointer[time.Time] // when proving is given up; nil until all is bound

	grants []journal.GrantState
}

// makeKey starts to make the key pair, which takes longer than a round trip.
func (u *upRun) makeKey() {
	type made struct {
		pair KeyPair
		err  error
	}
	done := make(chan made, 1)
	go func() {
		pair, err := u.Credentials.NewKeyPair()
		done <- made{pair, err}
	}()
	u.pair = func() (KeyPair, error) { m := <-done; return m.pair, m.err }
}

// carryOut carries out the plan. The steps end together. Proving that the access works runs
// beside them and may take longer: access that is not usable yet is not a failure.
func (u *upRun) carryOut(outer context.Context) error {
	ready, cancel := context.WithCancel(outer)
	defer cancel()
	prove := u.proveAll
	if u.options.NoWait {
		prove = u.proveNone
	}
	proofs := prove(ready)
	seen := u.seeAccount(ready)

	g, ctx := errgroup.WithContext(outer)
	g.Go(func() error { return u.createAccount(ctx) })
	g.Go(func() error { return u.provideRoles(ctx) })
	for _, edit := range u.plan.Edits {
		g.Go(func() error { return u.bind(ctx, edit) })
	}
	g.Go(func() error { return u.deliverCredential(ctx) })
	if err := g.Wait(); err != nil {
		cancel()
		<-proofs
		<-seen
		return err
	}
	// Time in the queue for a policy is no time that Google had to make access usable.
	until := u.Now().Add(u.options.ReadyTimeout)
	u.readyUntil.Store(&until)
	timeout := time.AfterFunc(u.options.ReadyTimeout, cancel)
	defer timeout.Stop()
	err := <-proofs
	cancel()
	if err := errors.Join(err, <-seen); err != nil {
		return err
	}
	// A role that was retired or changed since it was bound would make all of that untrue.
	if err := u.customRoles().Watch(outer, u.survey.custom, u.journal.Append); err != nil {
		return err
	}
	// Running out of time leaves the run up; being interrupted does not.
	return context.Cause(outer)
}

// provideRoles makes the custom roles that do not exist. They are shared, so no teardown
// takes them away.
func (u *upRun) provideRoles(ctx context.Context) error {
	if err := u.customRoles().Provide(ctx, u.survey.custom, u.journal.Append); err != nil {
		return err
	}
	close(u.rolesReady)
	return nil
}

// after waits until a step is done, or returns why it will not be.
func after(ctx context.Context, step <-chan struct{}) error {
	if ctx.Err() != nil { // also when the step is done by now: which came first is chance
		return context.Cause(ctx)
	}
	select {
	case <-step:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// displayName is what an account of the task is called.
func displayName(task string) string { return "taskiam: " + task }

func (u *upRun) createAccount(ctx context.Context) error {
	return u.step("create service account", u.plan.Email, func() error {
		project, mark := u.plan.Task.Project, u.plan.Mark().String()
		account, err := u.Cloud.CreateAccount(ctx, project, u.plan.AccountID, displayName(u.plan.Task.Name), mark)
		if fault.Is(err, fault.Exists) {
			// An earlier try of this very call may have been applied and its answer lost.
			got, lookErr := u.Cloud.Account(ctx, project, u.plan.Email)
			if lookErr == nil && got.Description == mark {
				account, err = got, nil
			}
		}
		if fault.Refused(err) {
			return errors.Join(err, u.journal.Append(journal.AccountRefused{}))
		}
		if err != nil {
			return err
		}
		u.account = account
		if err := u.journal.Append(journal.AccountCreated{UniqueID: account.UniqueID}); err != nil {
			return err
		}
		close(u.created)
		return nil
	})
}

// seeAccount reads the account until it is shown, or ctx is done. A teardown then need not
// wait for an account that is not shown: it is gone. The channel gets one value: nil, unless
// the journal fails.
func (u *upRun) seeAccount(ctx context.Context) <-chan error {
	out := make(chan error, 1)
	go func() {
		if after(ctx, u.created) != nil {
			out <- nil
			return
		}
		for looks := 0; ; looks++ {
			if _, err := u.Cloud.Account(ctx, u.plan.Task.Project, u.plan.Email); err == nil {
				out <- u.journal.Append(journal.AccountSeen{})
				return
			}
			if wait.For(ctx, wait.Jitter(firstLook, looks, longestLook)) != nil {
				out <- nil
				return
			}
		}
	}()
	return out
}

// deliverCredential delivers a credential of the first kind that is allowed.
func (u *upRun) deliverCredential(ctx context.Context) error {
	kinds := u.survey.deliver
	for i, name := range kinds {
		kind := delivery.Of(name)
		if !kind.MakesKey {
			return u.deliverToken(ctx, kind)
		}
		err := u.deliverKey(ctx, kind)
		if !u.forbidden || i == len(kinds)-1 {
			return err
		}
		u.report(fmt.Sprintf("keys are not allowed on project %s: delivering by %s", u.plan.Task.Project, kinds[i+1]),
			"", Known, nil)
	}
	return nil
}

func (u *upRun) deliverKey(ctx context.Context, kind delivery.Kind) error {
	if u.pair == nil {
		u.makeKey()
	}
	// Announced while the account is being made, so that nothing waits for the disk.
	if err := u.journal.Append(journal.KeyIntended{}); err != nil {
		return err
	}
	pair, err := u.pair()
	if err != nil {
		return err
	}
	certificate, err := pair.Certificate(u.plan.Began.Add(-clockSkew), u.plan.Expires)
	if err != nil {
		return err
	}
	if err := after(ctx, u.created); err != nil {
		return err
	}
	var file secret.String
	err = u.step("upload key", u.plan.Email, func() error {
		var key grants.Key
		err := u.repeat(ctx, "upload key", u.plan.Email, forAccount, u.visibleWithin(), func() (err error) {
			key, err = u.Cloud.UploadKey(ctx, u.plan.Task.Project, u.plan.Email, certificate)
			if fault.Is(err, fault.Exists) {
				key, err = u.onlyKey(ctx, err)
			}
			return err
		}, fault.NotFound, fault.Denied)
		if err != nil {
			u.forbidden = fault.Is(err, fault.Precondition)
			return u.keysRefused(ctx, u.plan.Task.Project, u.plan.Task.TTL, putTTL, err)
		}
		if err := u.journal.Append(journal.KeyCreated{KeyID: key.ID, ValidBefore: key.ValidBefore}); err != nil {
			return err
		}
		if key.ValidBefore.After(u.plan.Expires) {
			return fault.New(fault.Precondition, "key %s should expire at %s, but Google says %s", key.ID,
				u.plan.Expires.Format(time.RFC3339), key.ValidBefore.Format(time.RFC3339))
		}
		file, err = pair.File(u.account, key.ID)
		return err
	})
	if err != nil {
		return err
	}
	source, err := gcp.KeySource(file)
	if err != nil {
		return err
	}
	u.tester = u.Cloud.As(source)
	close(u.hasCredential)
	return u.deliver(ctx, delivery.Delivery{Kind: kind.Name, Key: file}, false)
}

// onlyKey returns the key of the account. It is for an upload that was applied although its
// answer was lost: the account is fresh and has no other key.
func (u *upRun) onlyKey(ctx context.Context, exists error) (grants.Key, error) {
	keys, err := u.Cloud.Keys(ctx, u.plan.Task.Project, u.plan.Email)
	if err != nil || len(keys) != 1 {
		return grants.Key{}, errors.Join(exists, err)
	}
	return keys[0], nil
}

// letMint lets the operator mint tokens of the account, if nothing else does.
func (u *upRun) letMint(ctx context.Context) error {
	if u.survey.mints {
		return nil
	}
	account, _, err := resource.Parse("projects/" + u.plan.Task.Project + "/serviceAccounts/" + u.plan.Email)
	if err != nil {
		return err
	}
	edit := grants.Edit{Resource: account, Bindings: []policy.Binding{u.plan.MinterBinding(u.survey.operator.Member)}}
	// The account's policy vanishes with the account, and the operator is no member
	// that a teardown may touch: this binding is not journalled.
	return u.step("let the operator mint", u.plan.Email, func() error {
		err := u.writeFirst(ctx, edit)
		if fault.Is(err, append(invisible, fault.Conflict, fault.Throttled, fault.Unavailable)...) {
			err = u.edit(ctx, u.binding(edit, &customrole.Set{}, fault.Denied))
		}
		return err
	})
}

// neverSet is the policy that a resource has until somebody sets one.
const neverSet = `{"etag":"ACAB"}`

// writeFirst writes the first policy that a resource made a moment ago has, which
// spares the round trip of reading it. It is a conflict if there is one already.
func (u *upRun) writeFirst(ctx context.Context, edit grants.Edit) error {
	doc, err := policy.Decode(edit.Resource.Type().API.Dialect, []byte(neverSet))
	if err != nil {
		return err
	}
	for _, b := range edit.Bindings {
		doc.Add(b)
	}
	t := attempt{Engine: u.Engine, policyEdit: u.binding(edit, &customrole.Set{})}
	return t.put(ctx, doc, func(error) {})
}

// deliverToken mints a token, to be handed over or, where a metadata server is to
// mint others, to prove with.
func (u *upRun) deliverToken(ctx context.Context, kind delivery.Kind) error {
	if err := after(ctx, u.created); err != nil {
		return err
	}
	if err := u.letMint(ctx); err != nil {
		return err
	}
	lifetime := kind.Lifetime(u.plan.Task)
	if kind.Upkeep == delivery.Serve {
		lifetime = min(max(lifetime, u.options.ReadyTimeout), grants.TokenLifetime)
	}
	var token grants.Token
	err := u.step("mint token", u.plan.Email, func() error {
		lifetime := min(u.plan.Expires.Sub(u.Cloud.Clock()), lifetime)
		err := u.repeat(ctx, "mint token", u.plan.Email, forAccess, u.options.ReadyTimeout, func() (err error) {
			token, err = u.Cloud.AccessToken(ctx, u.plan.Email, lifetime)
			return err
		}, fault.NotFound, fault.Denied)
		if err != nil {
			return err
		}
		return u.journal.Append(journal.TokenMinted{Expires: token.Expires})
	})
	if err != nil {
		return err
	}
	u.tester = u.Cloud.As(gcp.StaticToken(token.Value))
	close(u.hasCredential)
	switch kind.Upkeep {
	case delivery.Serve:
		return u.deliver(ctx, delivery.Delivery{Kind: kind.Name, Metadata: u.options.Metadata}, true)
	case delivery.Refresh:
		return u.deliver(ctx, delivery.Delivery{Kind: kind.Name, Token: token},
			token.Expires.Before(u.plan.Expires.Add(-tokenGap)))
	default:
		return u.deliver(ctx, delivery.Delivery{Kind: kind.Name, Token: token}, false)
	}
}

// deliver hands the credential over; kept says that something has to keep it good.
func (u *upRun) deliver(ctx context.Context, d delivery.Delivery, kept bool) error {
	d.Dir, d.Run, d.Task, d.Expires = u.options.Dir, u.plan.Run, u.plan.Task.Name, u.plan.Expires
	d.Account = grants.Account{Email: u.plan.Email, Project: u.plan.Task.Project}
	err := u.step("deliver", d.Dir, func() error {
		if err := u.journal.Append(journal.DeliverIntended{Kind: d.Kind, Paths: []string{d.Dir}}); err != nil {
			return err
		}
		folder, err := u.Credentials.Deliver(d)
		if err != nil {
			return err
		}
		return u.journal.Append(journal.Delivered{Folder: folder})
	})
	if err != nil || !kept || u.options.Keep == nil {
		return err
	}
	return u.step("start server", d.Metadata, func() error {
		return u.options.Keep(ctx, u.plan.Run, func(p journal.ProcessStarted) error { return u.journal.Append(p) })
	})
}
