package manifest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/lazy"
)

var (
	namePattern = lazy.Regexp(`^[a-z][a-z0-9-]{0,39}$`)
	// Predefined roles, and custom ones of a project or an organisation
	// (iam/docs/reference/rest/v1/roles).
	rolePattern = lazy.Regexp(
		`^(roles/[a-z][A-Za-z0-9_]*(\.[A-Za-z0-9]+)*|(projects/[^/]+|organizations/[0-9]+)/roles/[A-Za-z0-9_.]{3,64})$`)
)

// maxReason is how long a reason may be, so that it fits on a line of an audit log.
const maxReason = 256

// manifest reads the whole file.
func (r *reader) manifest(file *table) grants.Task {
	// In a later version, every other key may have another meaning.
	if v, ok := get[int64](file, "version", "version = 1"); ok && v != version {
		r.add(file.place.child("version").value, "version = 1",
			"version %d of the manifest is not known; this program reads version %d", v, version)
		return grants.Task{}
	} else if _, there := file.values["version"]; !there {
		r.add(0, "version = 1", "the version of the manifest is missing")
	}
	file.only(manifestKeys...)

	var task grants.Task
	if t := file.sub("task"); t != nil {
		r.task(t, &task)
	} else if _, there := file.values["task"]; !there {
		r.add(0, "[task]", "the table [task] is missing")
	}
	r.home = r.limits.Given.Over(Settings{Project: task.Project}).Over(r.limits.Usual).Project
	r.grants(file, &task)
	if t := file.sub("credentials"); t != nil {
		r.credentials(t, &task)
	}
	if t := file.sub("network"); t != nil {
		task.Network = r.network(t)
	}
	if t := file.sub("sandbox"); t != nil {
		task.Sandbox = r.sandbox(t)
	}
	r.settle(&task)
	return task
}

// settle decides between what the manifest declares and what is set elsewhere.
func (r *reader) settle(task *grants.Task) {
	declared := Settings{Project: task.Project, TTL: task.TTL, Deliver: task.Deliver}
	defaults := Settings{TTL: min(defaultTTL, r.limits.maxTTL())}
	s := r.limits.Given.Over(declared).Over(r.limits.Usual).Over(defaults)
	task.Project, task.TTL, task.Deliver = s.Project, s.TTL, s.Deliver
}

func (r *reader) task(t *table, task *grants.Task) {
	t.only(taskKeys...)

	example := `name = "nightly-report"`
	if name, ok := t.text("name", example); ok {
		if !namePattern().MatchString(name) {
			r.add(t.place.child("name").value, `name = `+strconv.Quote(taskName(name)),
				"%q cannot be a task's name: up to 40 of a-z, 0-9 and -, beginning with a letter", name)
		}
		task.Name = name
	} else if _, there := t.values["name"]; !there {
		t.missing("name", example)
	}

	task.Project, task.TTL = r.project(t), r.ttl(t)
	if _, there := t.values["project"]; !there && r.limits.Given.Over(r.limits.Usual).Project == "" {
		t.missing("project", `project = "acme-agents"`)
	}

	if reason, ok := t.text("reason", `reason = "Build the nightly report"`); ok {
		// It is sent as a header, which can hold printable ASCII only.
		bad := strings.IndexFunc(reason, func(c rune) bool { return c < ' ' || c > '~' })
		switch {
		case bad >= 0:
			r.add(r.inside(t.place.child("reason"), len([]rune(reason[:bad]))), "",
				"the reason is sent as a header and cannot hold %+q: printable ASCII only", []rune(reason[bad:])[0])
		case len(reason) > maxReason:
			r.add(t.place.child("reason").value, "",
				"the reason has %d characters, and at most %d are sent", len(reason), maxReason)
		}
		task.Reason = reason
	}
}

func (r *reader) credentials(t *table, task *grants.Task) {
	t.only(credentialsKeys...)
	task.Deliver = r.deliver(t)
	if text, ok := t.text("token_lifetime", `token_lifetime = "15m"`); ok {
		lifetime, message := tokenLifetime(text)
		if message != "" {
			r.add(t.place.child("token_lifetime").value, `token_lifetime = "15m"`, "%s", message)
		}
		task.TokenLifetime = lifetime
	}
	for _, word := range t.texts("audiences", `audiences = ["https://reports.example.com"]`) {
		switch {
		case word.text == "" || strings.ContainsFunc(word.text, func(c rune) bool { return c <= ' ' || c == 0x7f }):
			r.add(word.place.value, "", "%q cannot be an audience: it is empty, or has white space in it", word.text)
		case slices.Contains(task.Audiences, word.text):
			r.add(word.place.value, "", "%q is listed twice", word.text)
		default:
			task.Audiences = append(task.Audiences, word.text)
		}
	}
}

const deliverExample = `deliver = ["key", "token"]`

// deliveries lists the kinds of delivery in words.
func deliveries() string {
	names := deliveryNames()
	for i := range names {
		names[i] = strconv.Quote(names[i])
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// tokenLifetime reads how long one token lives, and says what is wrong with it.
func tokenLifetime(text string) (lifetime time.Duration, message string) {
	lifetime, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Sprintf(`%q is not a duration such as "15m"`, text)
	case lifetime < minTokenLifetime || lifetime > grants.TokenLifetime:
		return 0, fmt.Sprintf("a token lives between %s and %s, not %s",
			grants.Span(minTokenLifetime), grants.Span(grants.TokenLifetime), grants.Span(lifetime))
	case lifetime%time.Second != 0:
		return 0, fmt.Sprintf("a lifetime of %s is not in whole seconds", lifetime)
	}
	return lifetime, ""
}

// inside returns the offset in the file of a string's character, counted from 0.
func (r *reader) inside(p *place, character int) int {
	at, ok := origins(p.raw, p.text)
	if !ok || character >= len(at) {
		return p.value
	}
	return p.value + at[character]
}

// taskName makes a task's name of any text.
func taskName(s string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9' && b.Len() > 0:
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := b.String()
	name = strings.TrimRight(name[:min(len(name), 40)], "-")
	if name == "" {
		return "my-task"
	}
	return name
}
