package guard

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/grants"
)

// ScopeNetwork is what may be reached in a closed network, beside Google's APIs.
type ScopeNetwork struct {
	Hosts     []ScopeHost `json:"hosts,omitempty"`
	Resources []string    `json:"resources,omitempty"`
	MaxUpload int64       `json:"max_upload,omitempty"` // in bytes; 0 is no limit
}

// ScopeHost is a host of a [ScopeNetwork].
type ScopeHost struct {
	Name      string         `json:"name"`
	Port      uint16         `json:"port"`
	Write     bool           `json:"write,omitempty"`
	Tunnel    bool           `json:"tunnel,omitempty"`
	MaxUpload int64          `json:"max_upload,omitempty"` // in bytes; 0 is no limit
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	// Header, Scheme and From are of the credential that is added outside of the sandbox, which From names.
	Header string `json:"header,omitempty"`
	Scheme string `json:"scheme,omitempty"`
	From   string `json:"from,omitempty"`
}

func networkOf(n *grants.Network) *ScopeNetwork {
	if n == nil {
		return nil
	}
	s := &ScopeNetwork{MaxUpload: n.MaxUpload}
	for _, name := range n.Resources {
		s.Resources = append(s.Resources, name.String())
	}
	for _, h := range n.Hosts {
		s.Hosts = append(s.Hosts, ScopeHost{
			Name: h.Name, Port: h.Port, Write: h.Write, Tunnel: h.Tunnel, MaxUpload: h.MaxUpload,
			Addresses: slices.Clone(h.Addresses), Header: h.Header, Scheme: h.Scheme, From: h.From.String(),
		})
	}
	return s
}

// widerNetwork returns what one network opens beyond another one. A manifest that says nothing of the network opens
// nothing in a closed one, and it is not refused in an open one: so it is no less than any that says something, and
// what says something is no less than it.
func widerNetwork(was, now *ScopeNetwork) []Widening {
	switch {
	case now == nil && was == nil:
		return nil
	case now == nil:
		return []Widening{{WiderNetwork, -1, "network", "not said: any network will do", "a closed one"}}
	case was == nil:
		was = &ScopeNetwork{}
	}
	var out []Widening
	wider := func(kind WideningKind, what, now, was string) {
		out = append(out, Widening{kind, -1, what, now, was})
	}
	if more := beyond(was.Resources, now.Resources); len(more) > 0 {
		wider(WiderResources, "network.resources", listed(more), listed(was.Resources))
	}
	if moreBytes(was.MaxUpload, now.MaxUpload) {
		wider(WiderUpload, "network.max_upload", bytesOf(now.MaxUpload), bytesOf(was.MaxUpload))
	}
	for _, h := range now.Hosts {
		before := slices.IndexFunc(was.Hosts, func(o ScopeHost) bool { return o.Name == h.Name && o.Port == h.Port })
		if before < 0 {
			wider(WiderHost, "host "+h.String(), h.verbs(), "not reached")
			continue
		}
		o := was.Hosts[before]
		if !o.lets(h) {
			wider(WiderHost, "host "+h.String(), h.verbs(), o.verbs())
		}
		if moreBytes(o.MaxUpload, h.MaxUpload) {
			wider(WiderUpload, "host "+h.String()+": max_upload", bytesOf(h.MaxUpload), bytesOf(o.MaxUpload))
		}
		if more := h.addressesBeyond(o); len(more) > 0 {
			wider(WiderAddresses, "host "+h.String()+": addresses", listed(more), listed(texts(o.Addresses)))
		}
	}
	return out
}

// lets reports whether everything that another may send to the same host may be sent to this one: in what way, and with
// which credential. Without an added credential, reading is the least and a tunnel the most. With one all others are
// refused, so that what adds none lets through what it does not; what reads without any it does.
func (h ScopeHost) lets(o ScopeHost) bool {
	if o.From != "" || o.Header != "" {
		return o.From == h.From && o.Header == h.Header && o.Scheme == h.Scheme && (h.Write || !o.Write) &&
			(h.Tunnel || !o.Tunnel)
	}
	switch {
	case o.Tunnel:
		return h.Tunnel && h.From == ""
	case o.Write:
		return (h.Write || h.Tunnel) && h.From == ""
	default:
		return true
	}
}

// String returns the host with its port.
func (h ScopeHost) String() string {
	if h.Port == 443 {
		return h.Name
	}
	return fmt.Sprintf("%s:%d", h.Name, h.Port)
}

// verbs says what may be sent to the host.
func (h ScopeHost) verbs() string {
	how := "read"
	switch {
	case h.Tunnel:
		how = "a tunnel"
	case h.Write:
		how = "every method and login"
	case h.From != "":
		how = "every method"
	}
	if h.From != "" {
		how += ", with " + h.From + " added as " + strings.TrimSpace(h.Header+" "+h.Scheme)
	}
	return how
}

// addressesBeyond returns the addresses of the host that are in none of another's.
func (h ScopeHost) addressesBeyond(o ScopeHost) []string {
	return texts(slices.DeleteFunc(slices.Clone(h.Addresses), func(p netip.Prefix) bool {
		return slices.ContainsFunc(o.Addresses, func(q netip.Prefix) bool {
			return q.Bits() <= p.Bits() && q.Contains(p.Addr())
		})
	}))
}

func texts(prefixes []netip.Prefix) []string {
	out := make([]string, len(prefixes))
	for i, p := range prefixes {
		out[i] = p.String()
	}
	return out
}

// moreBytes reports whether more may be sent; 0 is no limit.
func moreBytes(was, now int64) bool { return was != 0 && (now == 0 || now > was) }

func bytesOf(n int64) string {
	if n == 0 {
		return "any number of bytes"
	}
	return fmt.Sprintf("%d bytes", n)
}
