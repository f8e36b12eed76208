package certify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/emulator/evidence"
	"github.com/taskiam/taskiam/internal/gcp"
	"github.com/taskiam/taskiam/internal/resource"
)

func deadToken(ctx context.Context, w *site) (verdict, error) {
	a, err := w.keyed(ctx, "dead")
	if err != nil {
		return verdict{}, err
	}
	r := request{as: a.as, method: http.MethodGet, url: w.accountURL(a.email)}
	got, err := w.ask(ctx, r)
	if err != nil || got.Status == http.StatusUnauthorized {
		return verdict{}, errors.Join(err, got.unexpected("asking with a token that is good"))
	}
	if _, err := w.done(ctx, "disabling "+a.email, request{
		method: http.MethodPost, url: w.accountURL(a.email) + ":disable", body: map[string]any{},
	}); err != nil {
		return verdict{}, err
	}
	waited, err := w.until(ctx, "waiting for the end of a disabled account's token", settle, func() (bool, error) {
		got, err = w.ask(ctx, r)
		return got.Status == http.StatusUnauthorized, err
	})
	if err != nil {
		return verdict{}, err
	}
	r.about, r.given = "a token of a disabled account", []string{evidence.GivenSelfDisabled}
	if got, err = w.ask(ctx, r); err != nil {
		return verdict{}, err
	}
	says := fmt.Sprintf("401, %s after the account was disabled", waited)
	if got.detail("google.rpc.ErrorInfo") {
		return verdict{saw: says + ", with an ErrorInfo"}, nil
	}
	return verdict{other: true, saw: says + ", without an ErrorInfo"}, nil
}

func alias(ctx context.Context, w *site) (verdict, error) {
	a, err := w.keyed(ctx, "alias")
	if err != nil {
		return verdict{}, err
	}
	name, err := w.secret(ctx)
	if err != nil {
		return verdict{}, err
	}
	at := secretsAt + "projects/" + w.cfg.Project + "/secrets/" + name
	if _, err := w.done(ctx, "binding an account to the first version of a secret", request{
		method: http.MethodPost, url: at + ":setIamPolicy", body: map[string]any{"policy": map[string]any{
			"version": 3, "bindings": []binding{bind("roles/secretmanager.secretAccessor",
				condition(`resource.name.endsWith("/versions/1")`), a.member())},
		}},
	}); err != nil {
		return verdict{}, err
	}
	read := func(version, about string) (answer, error) {
		return w.ask(ctx, request{
			as: a.as, method: http.MethodGet, url: at + "/versions/" + version + ":access", about: about,
			given: []string{evidence.GivenFirstVersion},
		})
	}
	if _, err := w.until(ctx, "reading versions/1 of a secret", settle, func() (bool, error) {
		got, err := read("1", "")
		if err == nil && got.Status != http.StatusOK && got.Status != http.StatusForbidden {
			err = got.unexpected("reading versions/1 of a secret")
		}
		return got.Status == http.StatusOK, err
	}); err != nil {
		return verdict{}, err
	}
	got, err := read("latest", "versions/latest under a condition on versions/1")
	if err != nil {
		return verdict{}, err
	}
	return either(got, "reading versions/latest of a secret", http.StatusForbidden, http.StatusOK)
}

func session(ctx context.Context, w *site) (verdict, error) {
	a, err := w.keyed(ctx, "upload")
	if err != nil {
		return verdict{}, err
	}
	bucket, err := w.bucket(ctx)
	if err != nil {
		return verdict{}, err
	}
	begin := func() (answer, error) {
		return w.ask(ctx, request{
			as: a.as, method: http.MethodPost, url: uploadAt + bucket + "/o?uploadType=resumable&name=certify",
			body: map[string]any{},
		})
	}
	bound := func(on bool) error { return w.bindOnBucket(ctx, bucket, a.member(), on) }
	if err := bound(true); err != nil {
		return verdict{}, err
	}
	var begun answer
	if _, err := w.until(ctx, "beginning an upload", settle, func() (bool, error) {
		begun, err = begin()
		if err == nil && begun.Status != http.StatusOK && begun.Status != http.StatusForbidden {
			err = begun.unexpected("beginning an upload")
		}
		return begun.Status == http.StatusOK, err
	}); err != nil {
		return verdict{}, err
	}
	location, err := url.Parse(begun.Header.Get("Location"))
	if err != nil || location.Query().Get("upload_id") == "" {
		return verdict{}, errors.New("beginning an upload: the answer has no address for it")
	}
	if err := bound(false); err != nil {
		return verdict{}, err
	}
	if _, err := w.until(ctx, "waiting until the account may begin no upload", settle, func() (bool, error) {
		got, err := begin()
		return got.Status == http.StatusForbidden, err
	}); err != nil {
		return verdict{}, err
	}
	got, err := w.ask(ctx, request{
		as: w.op.As(gcp.Anybody()), method: http.MethodPut, raw: []byte("x"),
		url: "https://storage.googleapis.com" + location.EscapedPath() + "?" + location.RawQuery,
	})
	if err != nil {
		return verdict{}, err
	}
	if got.Status == http.StatusUnauthorized {
		got.Status = http.StatusForbidden
	}
	return either(got, "going on with an upload after the right ended", http.StatusOK, http.StatusForbidden)
}

// bindOnBucket gives a member the right to write objects, or takes it.
func (w *site) bindOnBucket(ctx context.Context, bucket, member string, on bool) error {
	const role, doing = "roles/storage.objectUser", "changing the policy of the bucket"
	at := storageAt + "/" + bucket + "/iam"
	_, err := w.until(ctx, doing, settle, func() (bool, error) {
		got, err := w.done(ctx, "reading the policy of the bucket", request{
			method: http.MethodGet, url: at + "?optionsRequestedPolicyVersion=3",
		})
		if err != nil {
			return false, err
		}
		bindings := without(bindingsOf(got.json), func(b binding, m string) bool {
			return b["role"] == role && m == member
		})
		if on {
			bindings = append(bindings, bind(role, nil, member))
		}
		got.json["bindings"], got.json["version"] = bindings, 3
		got, err = w.ask(ctx, request{method: http.MethodPut, url: at, body: got.json})
		again := got.Status == http.StatusPreconditionFailed || strings.Contains(got.message(), "does not exist")
		if err == nil && got.Status != http.StatusOK && !again {
			err = got.unexpected(doing)
		}
		return got.Status == http.StatusOK, err
	})
	return err
}

const owner = "roles/owner"

func userOwner(ctx context.Context, w *site) (verdict, error) {
	member := w.operator.Member
	if !strings.HasPrefix(member, "user:") {
		return verdict{}, untried("you are no user: " + strings.SplitN(member, ":", 2)[0])
	}
	policy, bindings, err := w.policy(ctx, "")
	if err != nil {
		return verdict{}, err
	}
	if slices.ContainsFunc(bindings, func(b binding) bool {
		return b["role"] == owner && slices.Contains(b.members(), member)
	}) {
		return verdict{}, untried("you own the project by its own policy, and nobody else is made an owner for a try")
	}
	w.owns = true
	w.made = append(w.made, made{"your own binding to " + owner, func(ctx context.Context, w *site) error {
		return w.disown(ctx)
	}})
	got, err := w.set(ctx, policy, append(bindings, bind(owner, nil, member)), "setIamPolicy makes a user an owner")
	if err != nil {
		return verdict{}, err
	}
	return either(got, "making a user an owner", http.StatusBadRequest, http.StatusOK)
}

// delete deletes an account.
func (w *site) delete(ctx context.Context, a *account) error {
	_, err := w.done(ctx, "deleting "+a.email, request{method: http.MethodDelete, url: w.accountURL(a.email)})
	return err
}

// deleted reports whether a policy names the account as a deleted one.
func deleted(bindings []binding, a *account) bool {
	return slices.ContainsFunc(bindings, func(b binding) bool {
		return slices.ContainsFunc(b.members(), func(m string) bool {
			return strings.HasPrefix(m, "deleted:serviceAccount:"+a.email+"?")
		})
	})
}

func tombstoneLag(ctx context.Context, w *site) (verdict, error) {
	a, err := w.account(ctx, "tomb")
	if err != nil {
		return verdict{}, err
	}
	if err := w.edit(ctx, func(all []binding) []binding {
		return append(all, bind("roles/browser", nil, a.member()))
	}); err != nil {
		return verdict{}, err
	}
	if err := w.delete(ctx, a); err != nil {
		return verdict{}, err
	}
	waited, err := w.until(ctx, "waiting until the policy names the account as deleted", settle, func() (bool, error) {
		_, bindings, err := w.policy(ctx, "")
		return deleted(bindings, a), err
	})
	switch {
	case err != nil:
		return verdict{}, err
	case waited == 0:
		return verdict{saw: "as the account is deleted"}, nil
	}
	seconds := int(waited.Seconds())
	return verdict{
		other: true, set: strconv.Itoa(seconds),
		saw: fmt.Sprintf("between %d and %d seconds after the account is deleted",
			seconds-int(pause.Seconds()), seconds),
	}, nil
}

// maxMembers is how many members a policy may have.
const maxMembers = 1500

func tombstones(ctx context.Context, w *site) (verdict, error) {
	const people = 30
	if err := w.makeCrowd(ctx, people); err != nil {
		return verdict{}, err
	}
	name, _, err := resource.Parse("projects/" + w.cfg.Project)
	if err != nil {
		return verdict{}, err
	}
	grantable, err := w.op.GrantableRoles(ctx, name)
	if err != nil {
		return verdict{}, err
	}
	var readers []string
	for _, role := range slices.Sorted(maps.Keys(grantable)) {
		if strings.HasSuffix(role, ".viewer") && len(readers) <= maxMembers/people {
			readers = append(readers, role)
		}
	}
	if len(readers) <= maxMembers/people {
		return verdict{}, untried(fmt.Sprintf("there are %d roles that only read; %d are needed", len(readers),
			maxMembers/people+1))
	}
	extra := readers[len(readers)-1]
	err = w.edit(ctx, func(all []binding) []binding {
		room := maxMembers - count(all)
		for _, role := range readers[:len(readers)-1] {
			members := make([]string, 0, people)
			for _, a := range w.crowd[:min(people, room)] {
				members = append(members, a.member())
			}
			if room -= len(members); len(members) > 0 {
				all = append(all, bind(role, nil, members...))
			}
		}
		return all
	})
	if err != nil {
		return verdict{}, untried("a policy with 1,500 members is refused before the question arises: " + err.Error())
	}
	gone := w.crowd[0]
	if err := w.delete(ctx, gone); err != nil {
		return verdict{}, err
	}
	var policy map[string]any
	var bindings []binding
	if _, err := w.until(ctx, "waiting until the policy names the account as deleted", settle, func() (bool, error) {
		policy, bindings, err = w.policy(ctx, "")
		return deleted(bindings, gone), err
	}); err != nil {
		return verdict{}, err
	}
	got, err := w.set(ctx, policy, append(bindings, bind(extra, nil, w.crowd[1].member())), "")
	if err != nil {
		return verdict{}, err
	}
	v, err := either(got, "writing a policy with one member more than 1,500, some of them deleted",
		http.StatusBadRequest, http.StatusOK)
	v.saw += fmt.Sprintf(" for %d members, those of a deleted account among them", maxMembers+1)
	return v, err
}

// makeCrowd makes accounts until there are so many.
func (w *site) makeCrowd(ctx context.Context, n int) error {
	from := len(w.crowd)
	made := make([]*account, max(0, n-from))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range made {
		group.Go(func() error {
			a, got, err := w.create(ctx, fmt.Sprintf("q%03d", from+i), request{})
			if err == nil && got.Status != http.StatusOK {
				err = got.unexpected("creating service account " + a.email)
			}
			made[i] = a
			return err
		})
	}
	err := group.Wait()
	if err == nil {
		w.crowd = append(w.crowd, made...)
	}
	return err
}

func accountQuota(ctx context.Context, w *site) (verdict, error) {
	const most = 110
	for n := len(w.crowd); n < most; n++ {
		a, got, err := w.create(ctx, fmt.Sprintf("q%03d", n), request{quotaed: true})
		if err != nil {
			return verdict{}, err
		}
		if got.Status == http.StatusOK {
			w.crowd = append(w.crowd, a)
			continue
		}
		if got.Status == http.StatusTooManyRequests { // a minute later the quota of calls is free again
			if err := w.cfg.Wait(ctx, 65*time.Second); err != nil {
				return verdict{}, err
			}
		}
		_, got, err = w.create(ctx, fmt.Sprintf("q%03d", n), request{
			quotaed: true, about: "iam.serviceAccounts.create over the project's quota",
			given: []string{evidence.GivenAccountsFull},
		})
		if err != nil {
			return verdict{}, err
		}
		if got.Status == http.StatusOK {
			w.evidence = w.evidence[:len(w.evidence)-1]
			w.crowd = append(w.crowd, a)
			continue
		}
		v, err := either(got, "creating an account over the quota", http.StatusTooManyRequests, http.StatusBadRequest)
		v.saw += fmt.Sprintf(" after %d accounts", n)
		return v, err
	}
	return verdict{}, untried(fmt.Sprintf("the project's quota is above %d accounts", most))
}
