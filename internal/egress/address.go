package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

// authorityOf reads the HOST:PORT of a CONNECT. A name that is written in another way than the
// table of hosts has it, or is an address, is none.
func authorityOf(text string) (host string, port uint16, err error) {
	name, number, ok := strings.Cut(text, ":")
	n, bad := strconv.ParseUint(number, 10, 16)
	if !ok || bad != nil || n == 0 || number != strconv.FormatUint(n, 10) {
		return "", 0, errors.New("what to connect to is HOST:PORT, with the name of a host")
	}
	if host = strings.ToLower(name); !isHostname(host) {
		return "", 0, errors.New("only a host with a name is connected to, no address")
	}
	return host, uint16(n), nil
}

// isHostname reports whether this is the full name of a host, in lower case and without a dot at
// its end. An IPv4 address in whatever form has digits at the end, as no top-level domain has.
func isHostname(host string) bool {
	labels := strings.Split(host, ".")
	if len(host) > 253 || len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		if strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	last := labels[len(labels)-1]
	return last[0] < '0' || last[0] > '9'
}

// internal are addresses that the packages net and netip do not call private, and that lead to
// this machine, its networks, a cloud's own servers or nowhere.
var internal = sync.OnceValue(func() []netip.Prefix {
	return prefixes(
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"168.63.129.16/32", // Azure's metadata and name servers
		"100::/64", "2001::/23", "2001:db8::/32", "fec0::/10", "::/96",
		"2002::/16", "64:ff9b::/96", "64:ff9b:1::/48", // they have an IPv4 address in them, of any kind
	)
})

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// isPublic reports whether an address is one of the internet.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() ||
		a.IsLinkLocalUnicast() || a.IsMulticast() {
		return false
	}
	for _, p := range internal() {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// addressError is a name that leads to where no request may go.
type addressError struct {
	host string
	addr netip.Addr
}

// Error names the host and its address.
func (e *addressError) Error() string {
	return fmt.Sprintf("%s has the address %s, which is not one of the internet", e.host, e.addr)
}

// dialHost connects to a host. Its name is resolved once, and what was checked is what is
// connected to. If any of its addresses must not be reached, none is: which of them a client gets
// could otherwise be tried again and again.
func (p *Proxy) dialHost(ctx context.Context, host string, port uint16, named []netip.Prefix) (net.Conn, error) {
	addrs, err := p.cfg.Resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("looking up %s: %w", host, err)
	}
	for _, a := range addrs {
		allowed := isPublic(a)
		for _, n := range named {
			allowed = allowed || n.Contains(a.Unmap())
		}
		if !allowed {
			return nil, &addressError{host, a}
		}
	}
	err = fmt.Errorf("looking up %s: it has no address", host)
	for _, a := range addrs {
		var conn net.Conn
		if conn, err = p.cfg.Dial(ctx, netip.AddrPortFrom(a, port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// dialOut connects the transport to a host that a CONNECT has named.
func (p *Proxy) dialOut(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := authorityOf(address)
	if err != nil {
		return nil, err
	}
	t, why := p.targetOf(host, port)
	if why != nil {
		return nil, errors.New(why.text)
	}
	if t.rule == nil && p.cfg.Google != nil {
		return p.cfg.Google(ctx, host)
	}
	var named []netip.Prefix
	if t.rule != nil {
		named = t.rule.Addresses
	}
	return p.dialHost(ctx, host, port, named)
}
