package view

import (
	"fmt"
	"strings"

	"github.com/taskiam/taskiam/internal/delivery"
	"github.com/taskiam/taskiam/internal/grants"
)

// WayOut is where something can leave a closed network to. Nothing else leaves it.
type WayOut struct {
	Host string `json:"host"` // "*.googleapis.com" is Google's APIs
	Port int    `json:"port"` // it alone is reached there
	// "granted" (towards the resources of the grants), "read" (GET, HEAD, git fetch, without a
	// login), "write" (every method) or "tunnel" (whatever it is: the connection is not opened).
	Verbs     string `json:"verbs"`
	Any       bool   `json:"way_out"`    // whether the task can send what it likes there, as whomever it likes
	MaxUpload *int64 `json:"max_upload"` // in bytes; null for no limit of its own
	// What is added outside of the sandbox: "run" is the run's token, else where it is read; "" for none.
	Credential string   `json:"credential"`
	Header     string   `json:"header"`    // the field in which it is added; "" for none
	Resources  []string `json:"resources"` // what may be named at Google beside the resources of the grants
	Addresses  []string `json:"addresses"` // those that it may have beside addresses of the internet
}

const googleAPIs = "*.googleapis.com"

// NewWaysOut returns what can leave a closed network, Google's APIs first.
func NewWaysOut(n grants.Network) []WayOut {
	google := WayOut{
		Host: googleAPIs, Port: 443, Verbs: "granted", Credential: "run", Header: "Authorization",
		MaxUpload: bytesOrNone(n.MaxUpload), Resources: []string{}, Addresses: []string{},
	}
	for _, name := range n.Resources {
		google.Resources = append(google.Resources, name.String())
	}
	out := []WayOut{google}
	for _, h := range n.Hosts {
		v := WayOut{
			Host: h.Name, Port: int(h.Port), Verbs: "read", Any: h.WayOut(), MaxUpload: bytesOrNone(h.MaxUpload),
			Credential: h.From.String(), Header: h.Header, Resources: []string{}, Addresses: []string{},
		}
		switch {
		case h.Tunnel:
			v.Verbs = "tunnel"
		case h.Write, h.Injects():
			v.Verbs = "write"
		}
		if n.MaxUpload > 0 && (h.MaxUpload == 0 || h.MaxUpload > n.MaxUpload) {
			v.MaxUpload = bytesOrNone(n.MaxUpload)
		}
		for _, a := range h.Addresses {
			v.Addresses = append(v.Addresses, a.String())
		}
		out = append(out, v)
	}
	return out
}

// waysOut returns those of a task; none unless it is for a closed network.
func waysOut(task grants.Task) []WayOut {
	_, must := delivery.Proxied(task)
	switch {
	case task.Network != nil:
		return NewWaysOut(*task.Network)
	case must:
		return NewWaysOut(grants.Network{})
	}
	return []WayOut{}
}

func bytesOrNone(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// ShowWaysOut adds the ways out of a closed network to a report, in one table.
func ShowWaysOut(r *Report, ways []WayOut) {
	r.Line("ways out of the closed network; nothing else leaves")
	for _, w := range ways {
		host := w.Host
		if w.Port != 443 {
			host = fmt.Sprintf("%s:%d", w.Host, w.Port)
		}
		r.Row("  "+host, w.verbs(), w.bytes(), w.credential())
	}
	if len(ways) > 0 && ways[0].MaxUpload != nil {
		r.Line("  in all, at most %s leave", bytesText(*ways[0].MaxUpload))
	}
	for _, w := range ways {
		if len(w.Addresses) > 0 {
			r.Line("  %s may have the addresses %s", w.Host, strings.Join(w.Addresses, ", "))
		}
	}
}

func (w WayOut) verbs() string {
	switch {
	case w.Verbs == "granted" && len(w.Resources) > 0:
		return "on what is granted, and on " + strings.Join(w.Resources, ", ")
	case w.Verbs == "granted":
		return "on what is granted"
	case w.Verbs == "tunnel":
		return "a way out: a tunnel, which is not opened"
	case w.Any:
		return "a way out: every method"
	case w.Verbs == "write":
		return "every method"
	}
	return "GET, HEAD, git fetch"
}

func (w WayOut) bytes() string {
	if w.MaxUpload == nil {
		return "any number of bytes"
	}
	return "up to " + bytesText(*w.MaxUpload)
}

func (w WayOut) credential() string {
	switch {
	case w.Host == googleAPIs:
		return "the run's token is added"
	case w.Credential != "":
		return w.Credential + " is added as " + w.Header
	case w.Any:
		return "with any login"
	}
	return "without a login"
}

// bytesText writes a number of bytes as manifests have it: 10MiB.
func bytesText(n int64) string {
	unit := 0
	for n%1024 == 0 && n > 0 && unit < 3 {
		n, unit = n/1024, unit+1
	}
	return fmt.Sprintf("%d%s", n, []string{"B", "KiB", "MiB", "GiB"}[unit])
}
