package certify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/lazy"
	"github.com/taskiam/taskiam/internal/resource"
)

// made is a thing that has to go.
type made struct {
	what   string
	remove func(context.Context, *site) error
}

// remember notes what is about to be made, and its address.
func (w *site) remember(what, url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made = append(w.made, deletable(what, url))
}

func (w *site) rememberBucket(name string) { w.made = append(w.made, emptied(name)) }

// deletable is what goes by a DELETE.
func deletable(what, url string) made {
	return made{what, func(ctx context.Context, w *site) error {
		got, err := w.ask(ctx, request{method: http.MethodDelete, url: url})
		if err != nil {
			return fmt.Errorf("deleting %s: %w", what, err)
		}
		if got.Status/100 != 2 && got.Status != http.StatusNotFound {
			return got.unexpected("deleting " + what)
		}
		return nil
	}}
}

// emptied is a bucket, whose objects go first.
func emptied(name string) made {
	at := storageAt + "/" + name
	return made{"bucket " + name, func(ctx context.Context, w *site) error {
		var got answer
		bound := false
		_, err := w.until(ctx, "listing the objects of bucket "+name, settle, func() (bool, error) {
			var err error
			got, err = w.ask(ctx, request{method: http.MethodGet, url: at + "/o"})
			if err != nil || got.Status != http.StatusForbidden && got.json["items"] == nil || bound {
				return got.Status != http.StatusForbidden, err
			}
			// Not every owner of a project may see and delete objects in it, but all may let themselves.
			bound = true
			return false, w.bindOnBucket(ctx, name, w.operator.Member, true)
		})
		if err != nil {
			return err
		}
		items, _ := got.json["items"].([]any)
		for _, v := range items {
			object, _ := v.(map[string]any)
			id, _ := object["name"].(string)
			if _, err := w.until(ctx, "deleting object "+id, settle, func() (bool, error) {
				got, err := w.ask(ctx, request{method: http.MethodDelete, url: at + "/o/" + id})
				return err == nil && got.Status != http.StatusForbidden, err
			}); err != nil {
				return err
			}
		}
		return deletable("bucket "+name, at).remove(ctx, w)
	}}
}

// clean takes things away: the bindings first, because what names a deleted account is harder to find.
func (w *site) clean(ctx context.Context, things []made) error {
	if len(things) == 0 {
		return nil
	}
	errs := make([]error, len(things), len(things)+2)
	errs = append(errs, w.unbind(ctx))
	var group errgroup.Group
	group.SetLimit(8)
	for i, m := range things {
		group.Go(func() error {
			errs[i] = m.remove(ctx, w)
			return nil
		})
	}
	_ = group.Wait() // each has left its error
	// An account that was deleted while it was bound leaves a member behind.
	return errors.Join(append(errs, w.unbind(ctx))...)
}

// ours are members that a certification has bound.
var ours = lazy.Regexp(`^(deleted:)?serviceAccount:tc-[a-z2-7]{6}-[a-z0-9]+@`)

// unbind takes every binding of a certification out of the policy of the project.
func (w *site) unbind(ctx context.Context) error {
	return w.edit(ctx, func(bindings []binding) []binding {
		return without(bindings, func(_ binding, member string) bool { return ours().MatchString(member) })
	})
}

// binding is one of a policy. What else is in it stays.
type binding map[string]any

func (b binding) members() []string {
	list, _ := b["members"].([]any)
	var out []string
	for _, m := range list {
		s, _ := m.(string)
		out = append(out, s)
	}
	return out
}

// bind is a binding of one role.
func bind(role string, condition map[string]any, members ...string) binding {
	list := make([]any, len(members))
	for i, m := range members {
		list[i] = m
	}
	b := binding{"role": role, "members": list}
	if condition != nil {
		b["condition"] = condition
	}
	return b
}

// condition is one of a binding.
func condition(expression string) map[string]any {
	return map[string]any{"title": "certify", "expression": expression}
}

// without drops members, and bindings that have none left.
func without(bindings []binding, drop func(binding, string) bool) []binding {
	var out []binding
	for _, b := range bindings {
		kept := slices.DeleteFunc(b.members(), func(m string) bool { return drop(b, m) })
		if len(kept) == 0 && len(b.members()) > 0 {
			continue
		}
		if len(kept) < len(b.members()) {
			c := maps.Clone(b)
			c["members"] = bind("", nil, kept...)["members"]
			b = c
		}
		out = append(out, b)
	}
	return out
}

// policy reads the policy of the project.
func (w *site) policy(ctx context.Context, about string) (policy map[string]any, bindings []binding, err error) {
	doing := "reading the policy of project " + w.cfg.Project
	got, err := w.ask(ctx, request{
		method: http.MethodPost, url: managerAt + w.cfg.Project + ":getIamPolicy", about: about,
		body: map[string]any{"options": map[string]any{"requestedPolicyVersion": 3}},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", doing, err)
	}
	if got.Status != http.StatusOK {
		return nil, nil, got.unexpected(doing)
	}
	return got.json, bindingsOf(got.json), nil
}

func bindingsOf(policy map[string]any) []binding {
	list, _ := policy["bindings"].([]any)
	var out []binding
	for _, v := range list {
		b, _ := v.(map[string]any)
		out = append(out, b)
	}
	return out
}

// set writes the policy of the project with other bindings, and returns the answer whatever it is.
func (w *site) set(ctx context.Context, policy map[string]any, bindings []binding, about string) (answer, error) {
	policy = maps.Clone(policy)
	policy["bindings"], policy["version"] = bindings, 3
	return w.ask(ctx, request{
		method: http.MethodPost, url: managerAt + w.cfg.Project + ":setIamPolicy", about: about,
		body: map[string]any{"policy": policy},
	})
}

// edit changes the policy of the project. Where nothing is to be changed, nothing is written.
func (w *site) edit(ctx context.Context, change func([]binding) []binding) error {
	doing := "changing the policy of project " + w.cfg.Project
	_, err := w.until(ctx, doing, settle, func() (bool, error) {
		policy, bindings, err := w.policy(ctx, "")
		if err != nil {
			return false, err
		}
		changed := change(bindings)
		if count(changed) == count(bindings) {
			return true, nil
		}
		got, err := w.set(ctx, policy, changed, "")
		switch {
		case err != nil:
			return false, fmt.Errorf("%s: %w", doing, err)
		case got.Status == http.StatusConflict, strings.Contains(got.message(), "does not exist"):
			return false, nil // somebody else wrote, or an account is not seen yet
		case got.Status != http.StatusOK:
			return false, got.unexpected(doing)
		}
		return true, nil
	})
	return err
}

// count is how many members stand in bindings, each as often as it does.
func count(bindings []binding) int {
	n := 0
	for _, b := range bindings {
		n += len(b.members())
	}
	return n
}

// inventory is what is in the project.
type inventory struct {
	foreign []string
	ours    []made
}

// collection is one kind of thing that a project can hold.
type collection struct {
	url, items string
	what       string
	// judge says what an item is called, how it goes if it is of a certification, and whether it is Google's own.
	judge func(w *site, item map[string]any) (name string, remove *made, googles bool)
}

func collections(project string) []collection {
	at := "projects/" + project
	text := func(item map[string]any, key string) string { s, _ := item[key].(string); return s }
	labelled := func(item map[string]any) bool {
		labels, _ := item["labels"].(map[string]any)
		return labels["taskiam"] == "certify"
	}
	plain := func(w *site, item map[string]any) (string, *made, bool) {
		name := text(item, "name") + text(item, "id")
		return name[strings.LastIndex(name, "/")+1:], nil, false
	}
	return []collection{
		{iamAt + at + "/serviceAccounts?pageSize=100", "accounts", "service account",
			func(w *site, item map[string]any) (string, *made, bool) {
				email := text(item, "email")
				if text(item, "description") == mark {
					m := deletable("service account "+email, w.accountURL(email))
					return email, &m, false
				}
				own := strings.HasSuffix(email, "-compute@developer.gserviceaccount.com") ||
					strings.HasSuffix(email, "@appspot.gserviceaccount.com")
				return email, nil, own
			}},
		{iamAt + at + "/roles?pageSize=300", "roles", "custom role",
			func(w *site, item map[string]any) (string, *made, bool) {
				name := text(item, "name")
				id := name[strings.LastIndex(name, "/")+1:]
				if strings.HasPrefix(id, "taskiam_certify_") {
					m := deletable("custom role "+id, iamAt+name)
					return id, &m, false
				}
				return id, nil, false
			}},
		{storageAt + "?project=" + project, "items", "bucket",
			func(w *site, item map[string]any) (string, *made, bool) {
				if labelled(item) {
					m := emptied(text(item, "name"))
					return text(item, "name"), &m, false
				}
				return text(item, "name"), nil, false
			}},
		{secretsAt + at + "/secrets", "secrets", "secret",
			func(w *site, item map[string]any) (string, *made, bool) {
				name := text(item, "name")
				id := name[strings.LastIndex(name, "/")+1:]
				if labelled(item) {
					m := deletable("secret "+id, secretsAt+at+"/secrets/"+id)
					return id, &m, false
				}
				return id, nil, false
			}},
		{"https://pubsub.googleapis.com/v1/" + at + "/topics", "topics", "topic", plain},
		{"https://bigquery.googleapis.com/bigquery/v2/" + at + "/datasets", "datasets", "dataset", plain},
	}
}

const disabled = "SERVICE_DISABLED"

// optional are services that need not be enabled: then there is nothing of theirs.
func optional(c collection) bool { return c.what == "topic" || c.what == "dataset" }

// inventory looks at what is in the project.
func (w *site) inventory(ctx context.Context) (inventory, error) {
	var out inventory
	for _, c := range collections(w.cfg.Project) {
		doing := "listing every " + c.what + " of project " + w.cfg.Project
		page := ""
		for {
			at := c.url
			if page != "" {
				at += map[bool]string{true: "&", false: "?"}[strings.Contains(at, "?")] + "pageToken=" + page
			}
			got, err := w.ask(ctx, request{method: http.MethodGet, url: at})
			if err != nil {
				return out, fmt.Errorf("%s: %w", doing, err)
			}
			if optional(c) && got.Status == http.StatusForbidden && strings.Contains(string(got.Body), disabled) {
				break
			}
			if got.Status != http.StatusOK {
				return out, got.unexpected(doing)
			}
			items, _ := got.json[c.items].([]any)
			for _, v := range items {
				item, _ := v.(map[string]any)
				switch name, remove, googles := c.judge(w, item); {
				case remove != nil:
					out.ours = append(out.ours, *remove)
				case !googles:
					out.foreign = append(out.foreign, c.what+" "+name)
				}
			}
			if page, _ = got.json["nextPageToken"].(string); page == "" {
				break
			}
		}
	}
	return out, nil
}

// left looks whether anything of a certification is there, takes it away again for a minute, and says what stays:
// what was made a moment ago may not have been seen when it was to go, and what is gone may still be listed.
func (w *site) left(ctx context.Context) ([]string, error) {
	var out []string
	var again error
	_, err := w.until(ctx, "waiting until nothing is left", time.Minute, func() (bool, error) {
		there, err := w.inventory(ctx)
		if err != nil {
			return false, err
		}
		_, bindings, err := w.policy(ctx, "")
		if err != nil {
			return false, err
		}
		out = []string{}
		for _, m := range there.ours {
			out = append(out, m.what)
		}
		for _, b := range bindings {
			for _, m := range b.members() {
				role, _ := b["role"].(string)
				if ours().MatchString(m) || w.owns && role == owner && m == w.operator.Member {
					out = append(out, role+" of "+m+" in the policy of the project")
				}
			}
		}
		if len(out) > 0 {
			again = errors.Join(w.clean(ctx, there.ours), w.unbind(ctx), w.disown(ctx))
		}
		return len(out) == 0, nil
	})
	if errors.Is(err, errNotYet) {
		err = again
	}
	return out, err
}

// disown takes away the operator's ownership, if it was given for a try.
func (w *site) disown(ctx context.Context) error {
	if !w.owns {
		return nil
	}
	return w.edit(ctx, func(all []binding) []binding {
		return without(all, func(b binding, m string) bool { return b["role"] == owner && m == w.operator.Member })
	})
}

// needed is what the operator has to be allowed on the project.
var needed = []string{
	"iam.roles.create", "iam.serviceAccountKeys.create", "iam.serviceAccounts.create",
	"resourcemanager.projects.setIamPolicy", "secretmanager.secrets.create", "storage.buckets.create",
}

// able refuses an operator who could not carry it through, or not take everything away again.
func (w *site) able(ctx context.Context) error {
	name, _, err := resource.Parse("projects/" + w.cfg.Project)
	if err != nil {
		return err
	}
	const onBuckets = "storage.buckets.setIamPolicy"
	held, err := w.op.TestPermissions(ctx, name, append(slices.Clone(needed), onBuckets))
	if err != nil {
		return err
	}
	lacks := slices.DeleteFunc(slices.Clone(needed), func(p string) bool { return slices.Contains(held, p) })
	_, bindings, err := w.policy(ctx, "")
	if err != nil {
		return err
	}
	// Who owns a project by its own policy owns its buckets too; who inherits that does not.
	owns := slices.ContainsFunc(bindings, func(b binding) bool {
		return b["role"] == "roles/owner" && slices.ContainsFunc(b.members(), func(m string) bool {
			return m == w.operator.Member || strings.HasPrefix(m, "group:")
		})
	})
	if !owns && !slices.Contains(held, onBuckets) {
		lacks = append(lacks, onBuckets)
	}
	if len(lacks) == 0 {
		return nil
	}
	return fault.WithHint(
		fault.New(fault.Denied, "%s may not certify project %s: what is lacking is %s",
			w.operator.Member, w.cfg.Project, strings.Join(lacks, ", ")),
		"gcloud projects add-iam-policy-binding "+w.cfg.Project+" --role roles/storage.admin --member "+
			w.operator.Member,
		"or ask for roles/owner on the project itself")
}
