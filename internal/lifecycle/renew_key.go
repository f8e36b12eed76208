package lifecycle

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/journal"
	"github.com/taskiam/taskiam/internal/secret"
)

// makeKey gives the account another key, and waits until it works.
func (x *renewRun) makeKey(ctx context.Context) (secret.String, error) {
	o := x.run.Opened
	pair, err := x.Credentials.NewKeyPair()
	if err != nil {
		return secret.String{}, err
	}
	certificate, err := pair.Certificate(x.Cloud.Clock().Add(-clockSkew), x.expires)
	if err != nil {
		return secret.String{}, err
	}
	if err := after(ctx, x.marked); err != nil {
		return secret.String{}, err
	}
	if err := x.journal.Append(journal.KeyIntended{}); err != nil {
		return secret.String{}, err
	}
	x.uploading = true
	var file secret.String
	err = x.step("upload key", o.Email, func() error {
		key, err := x.Cloud.UploadKey(ctx, o.Project, o.Email, certificate)
		if fault.Is(err, fault.Exists) { // an earlier try was applied and its answer lost
			key, err = x.unknownKey(ctx, err)
		}
		if err != nil {
			return x.keysRefused(ctx, o.Project, x.ttl, func(ttl string) string {
				return "taskiam renew " + string(o.Run) + " --ttl " + ttl
			}, err)
		}
		x.newKey = key.ID
		if err := x.journal.Append(journal.KeyCreated{KeyID: key.ID, ValidBefore: key.ValidBefore}); err != nil {
			return err
		}
		if key.ValidBefore.After(x.expires) {
			return fault.New(fault.Precondition, "key %s should expire at %s, but Google says %s", key.ID,
				x.expires.Format(time.RFC3339), key.ValidBefore.Format(time.RFC3339))
		}
		file, err = pair.File(x.account, key.ID)
		return err
	})
	if err != nil {
		return secret.String{}, err
	}
	return file, x.step("prove key", x.newKey, func() error { return x.proveKey(ctx, file) })
}

// keysBefore are the ids of the keys that the run had.
func (x *renewRun) keysBefore() (ids []string, all bool) {
	all = true
	for _, k := range x.run.Keys {
		if k.ID != "" {
			ids = append(ids, k.ID)
		} else if k.Effect.Standing() {
			all = false
		}
	}
	return ids, all
}

// unknownKey returns the only key of the account that the journal does not know of.
func (x *renewRun) unknownKey(ctx context.Context, exists error) (grants.Key, error) {
	keys, err := x.Cloud.Keys(ctx, x.run.Opened.Project, x.run.Opened.Email)
	before, all := x.keysBefore()
	keys = slices.DeleteFunc(keys, func(k grants.Key) bool { return slices.Contains(before, k.ID) })
	if err != nil || !all || len(keys) != 1 {
		return grants.Key{}, errors.Join(exists, err)
	}
	return keys[0], nil
}

// proveKey waits until Google knows the key: the old one must not give way to one that
// does not work yet. What the account may do is no matter.
func (x *renewRun) proveKey(ctx context.Context, file secret.String) error {
	source, err := gcp.KeySource(file)
	if err != nil {
		return err
	}
	tester := x.Cloud.As(source)
	host, err := projectName(x.run.Opened.Project)
	if err != nil {
		return err
	}
	return x.repeat(ctx, "prove key", x.newKey, forKey, visibleWithin, func() error {
		g, ctx := errgroup.WithContext(ctx)
		for range answersInARow {
			g.Go(func() error {
				_, err := tester.TestPermissions(ctx, host, []string{"resourcemanager.projects.get"})
				if fault.Is(err, fault.Denied, fault.NotFound, fault.Precondition) {
					return nil // whom Google refuses this, it knows
				}
				return err
			})
		}
		return g.Wait()
	}, fault.Unauthenticated)
}

// dropKey deletes a key.
func (x *renewRun) dropKey(ctx context.Context, id string) error {
	missing, err := x.deleteKey(ctx, x.run.Opened.Project, x.run.Opened.Email, id)
	if err != nil {
		return err
	}
	x.note(journal.KeyDeleted{KeyID: id, Missing: missing})
	return nil
}

// note records what was taken away. That it cannot be stops nothing: all of it was
// announced when it was made, and whoever takes the run down finds it gone.
func (x *renewRun) note(records ...journal.Record) { _ = x.journal.Append(records...) }

// deleteOldKeys deletes the keys that were there before the new one. One that stays ends
// by itself, when the run was to end.
func (x *renewRun) deleteOldKeys(ctx context.Context) error {
	if !delivery.Of(x.run.Kind).MakesKey {
		return nil
	}
	o := x.run.Opened
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	var ids []string
	all := true
	for _, k := range x.run.Keys {
		switch {
		case !k.Effect.Standing():
		case k.ID == "":
			all = false
		default:
			ids = append(ids, k.ID)
		}
	}
	var errs []error
	if !all { // an earlier renewal was cut off
		keys, err := x.Cloud.Keys(ctx, o.Project, o.Email)
		errs = append(errs, err)
		for _, k := range keys {
			if k.ID != x.newKey && !slices.Contains(ids, k.ID) {
				ids = append(ids, k.ID)
			}
		}
	}
	for _, id := range ids {
		errs = append(errs, x.step("delete key", id, func() error { return x.dropKey(ctx, id) }))
	}
	if err := errors.Join(errs...); err != nil {
		return fault.WithHint(fault.New(fault.Incomplete,
			"run %s is renewed, but its old key is valid until it expires, or until down: %w", o.Run, err),
			"taskiam down "+string(o.Run))
	}
	return nil
}

// dropNewKey deletes the key that was uploaded, be its id known or not.
func (x *renewRun) dropNewKey(ctx context.Context) error {
	if x.newKey != "" {
		return x.dropKey(ctx, x.newKey)
	}
	keys, err := x.Cloud.Keys(ctx, x.run.Opened.Project, x.run.Opened.Email)
	if err != nil {
		return err
	}
	var errs []error
	for _, k := range keys {
		if before, _ := x.keysBefore(); !slices.Contains(before, k.ID) {
			errs = append(errs, x.dropKey(ctx, k.ID))
		}
	}
	return errors.Join(errs...)
}
