package view

import "time"

// Version is what `version --json` prints.
type Version struct {
	Schema   string `json:"schema"` // taskiam.version/v1
	Version  string `json:"version"`
	Revision string `json:"revision"` // the commit; "" if it was not built from a checkout
	Time     string `json:"time"`     // when that commit was made, RFC 3339; "" likewise
	Modified bool   `json:"modified"` // whether the checkout had changes of its own
	Build    string `json:"build"`    // release, module (by go install) or source
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Show adds the version to a report.
func (d Version) Show(r *Report) { r.Line("taskiam %s %s %s", d.Version, d.Go, d.Platform) }

// EmulatorStatus is what `emulator status --json` prints.
type EmulatorStatus struct {
	Schema   string    `json:"schema"`   // taskiam.emulator-status/v1
	Address  string    `json:"address"`  // host and port
	Operator string    `json:"operator"` // "" of an emulator with another state folder
	Now      time.Time `json:"now"`      // on its clock
}

// Show adds where the emulator is to a report.
func (d EmulatorStatus) Show(r *Report) {
	r.Line("emulator of Google Cloud on http://%s; it is %s there", d.Address, Moment(d.Now))
	if d.Operator != "" {
		r.Line("you are %s", d.Operator)
	}
}

// Environment is what `env --format json` prints.
type Environment struct {
	Schema  string            `json:"schema"` // taskiam.env/v1
	Run     string            `json:"run"`
	Task    string            `json:"task"`
	Account string            `json:"account"`
	Project string            `json:"project"`
	Expires time.Time         `json:"expires"`
	Env     map[string]string `json:"env"`
}

// Token is what `token --json` prints. It has no form for people: a Writer would redact it.
type Token struct {
	Schema  string    `json:"schema"` // taskiam.token/v1
	Run     string    `json:"run"`
	Account string    `json:"account"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}
