package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/fault"
	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

// Settings are what a person may set for all tasks: by flags, by the environment, or in a configuration. What is not
// set has its zero value.
type Settings struct {
	Project string
	TTL     time.Duration
	Deliver []grants.DeliveryKind
	// Colour is one of auto, always or never. Manifests have none.
	Colour string
}

// colours are when output is coloured: by default on a terminal.
var colours = []string{"auto", "always", "never"}

// Over returns what holds if s counts for more than t. It is the one place that decides: by [Parse], flags and the
// environment are over the manifest, which is over the configuration.
func (s Settings) Over(t Settings) Settings {
	if len(s.Deliver) == 0 {
		s.Deliver = t.Deliver
	}
	return Settings{cmp.Or(s.Project, t.Project), cmp.Or(s.TTL, t.TTL), s.Deliver, cmp.Or(s.Colour, t.Colour)}
}

// The names of the settings: the keys of a configuration, and the flags.
const (
	ProjectSetting = "project"
	TTLSetting     = "ttl"
	DeliverSetting = "deliver"
	ColourSetting  = "colour"
)

var settingsKeys = []string{ProjectSetting, TTLSetting, DeliverSetting, ColourSetting}

// ParseSettings reads a configuration: TOML whose keys are settings. As of [Parse], an error holds [Problems].
func ParseSettings(file string, src []byte, limits Limits) (Settings, error) {
	r := reader{file: file, src: src, lines: newLines(src), limits: limits}
	var s Settings
	if values, root := r.decode(); len(r.problems) == 0 {
		t := &table{&r, values, root, "the configuration"}
		t.only(settingsKeys...)
		s = Settings{r.project(t), r.ttl(t), r.deliver(t), r.colour(t)}
	}
	if len(r.problems) > 0 {
		r.problems.sort()
		return Settings{}, &fault.Error{Kind: fault.Usage, Err: r.problems}
	}
	return s, nil
}

// ParseSetting reads one setting that is given outside of a file. Kinds of delivery stand between commas.
func ParseSetting(name, text string, limits Limits) (Settings, error) {
	var s Settings
	var message string
	switch name {
	case ProjectSetting:
		s.Project, message = text, projectProblem(text)
	case TTLSetting:
		s.TTL, message = limits.ttl(text)
	case DeliverSetting:
		for kind := range strings.SplitSeq(text, ",") {
			d := grants.DeliveryKind(strings.TrimSpace(kind))
			if message = deliverProblem(d, s.Deliver); message != "" {
				break
			}
			s.Deliver = append(s.Deliver, d)
		}
	}
	if message != "" {
		return Settings{}, fault.New(fault.Usage, "%s", message)
	}
	return s, nil
}

// project reads the project that hosts accounts; "" if there is none, or if something is wrong with it.
func (r *reader) project(t *table) string {
	const example = `project = "acme-agents"`
	project, ok := t.text(ProjectSetting, example)
	if !ok {
		return ""
	}
	if message := projectProblem(project); message != "" {
		fix := ""
		if isNumber(project) {
			fix = example
		}
		r.add(t.place.child(ProjectSetting).value, fix, "%s", message)
		return ""
	}
	return project
}

func projectProblem(project string) string {
	if err := resource.CheckProject(project); err != nil {
		return err.Error() + foreign(project)
	}
	if isNumber(project) {
		return project + " is the number of a project; write its id, which the names of service accounts contain"
	}
	return ""
}

func isNumber(project string) bool { return strings.Trim(project, "0123456789") == "" }

// ttl reads how long a run lasts; 0 if that is not said, or if something is wrong with it.
func (r *reader) ttl(t *table) time.Duration {
	text, ok := t.text(TTLSetting, `ttl = "1h"`)
	if !ok {
		return 0
	}
	ttl, message := r.limits.ttl(text)
	if message != "" {
		fits := grants.Span(min(defaultTTL, r.limits.maxTTL()))
		r.add(t.place.child(TTLSetting).value, `ttl = "`+fits+`"`, "%s", message)
		return 0
	}
	return ttl
}

// ttl reads a duration, and says what is wrong with it.
func (l Limits) ttl(text string) (ttl time.Duration, message string) {
	ttl, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Sprintf(`%q is not a duration such as "90m" or "1h30m"`, text)
	case ttl < MinTTL:
		return 0, fmt.Sprintf("a ttl of %s is too short; the minimum is %s", grants.Span(ttl), grants.Span(MinTTL))
	case ttl > l.maxTTL():
		return 0, fmt.Sprintf("a ttl of %s is too long; the maximum is %s", grants.Span(ttl), grants.Span(l.maxTTL()))
	case ttl%time.Second != 0:
		return 0, fmt.Sprintf("a ttl of %s is not in whole seconds", ttl)
	}
	return ttl, ""
}

// deliver reads the kinds of credential that will do.
func (r *reader) deliver(t *table) []grants.DeliveryKind {
	var out []grants.DeliveryKind
	for _, word := range t.texts(DeliverSetting, deliverExample) {
		d := grants.DeliveryKind(word.text)
		if message := deliverProblem(d, out); message != "" {
			fix := ""
			if delivery.Of(d).Name == "" {
				fix = deliverExample
			}
			r.add(word.place.value, fix, "%s", message)
			continue
		}
		out = append(out, d)
	}
	return out
}

// colour reads when output is coloured; "" if that is not said.
func (r *reader) colour(t *table) string {
	const example = `colour = "never"`
	colour, ok := t.text(ColourSetting, example)
	if ok && !slices.Contains(colours, colour) {
		r.add(t.place.child(ColourSetting).value, example, "%q is none of %s", colour, strings.Join(colours, ", "))
	}
	return colour
}

// deliverProblem says why a kind of delivery cannot stand after the others.
func deliverProblem(d grants.DeliveryKind, before []grants.DeliveryKind) string {
	switch {
	case delivery.Of(d).Name == "":
		return fmt.Sprintf("%q is not a kind of delivery; allowed are %s", string(d), deliveries())
	case slices.Contains(before, d):
		return fmt.Sprintf("%q is listed twice", string(d))
	}
	return ""
}
