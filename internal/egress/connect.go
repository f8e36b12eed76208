package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// target is where an opened connection leads, as its CONNECT named it.
type target struct {
	host string
	port uint16
	rule *rule // nil is one of Google's APIs
}

// authority is the target as the address of a request has it.
func (t target) authority() string {
	if t.port == 443 {
		return t.host
	}
	return fmt.Sprintf("%s:%d", t.host, t.port)
}

// names reports whether the Host header, or :authority, of a request is the target's.
func (t target) names(host string) bool {
	host = strings.ToLower(host)
	return host == t.host && t.port == 443 || host == fmt.Sprintf("%s:%d", t.host, t.port)
}

// targetOf returns where a CONNECT leads, or why it leads nowhere.
func (p *Proxy) targetOf(host string, port uint16) (target, *refusal) {
	t := target{host: host, port: port, rule: p.hosts[host]}
	switch {
	case t.rule != nil && port != t.rule.port():
		return t, refuse(http.StatusForbidden, "%s may be reached on port %d alone", host, t.rule.port())
	case t.rule != nil:
		return t, nil
	case !isGoogle(host):
		return t, refuse(http.StatusForbidden, "%s is not in [network] allow", host)
	case port != 443:
		return t, refuse(http.StatusForbidden, "%s may be reached on port 443 alone", host)
	}
	return t, nil
}

// connect answers a CONNECT. Nothing else is asked of a proxy: in clear text, a request and its
// answer could be changed on their way.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the connection has ended
	}
	handed := false
	defer func() {
		if !handed {
			_ = conn.Close()
		}
	}()
	t, why := p.destination(r)
	e := Event{Time: p.cfg.Now(), Method: r.Method, Host: r.Host, Status: http.StatusOK}
	if why != nil {
		e.Status, e.Refused = why.code, why.text
		p.cfg.Log(e)
		_ = conn.SetDeadline(time.Now().Add(headerTimeout))
		why.inStatusLine(conn)
		return
	}
	inside := &tunnelled{Conn: conn, early: early(buffered.Reader), to: t}
	if t.rule != nil && t.rule.Tunnel {
		p.tunnels.Add(1)
		handed = true
		go func() {
			defer p.tunnels.Done()
			defer conn.Close()
			p.tunnel(inside, e)
		}()
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	opened := tls.Server(inside, &tls.Config{
		NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if !strings.EqualFold(hello.ServerName, t.host) {
				return nil, errors.New("the name in the TLS greeting is not that of the CONNECT")
			}
			return p.ca.leaf(t.host)
		},
	})
	select {
	case p.opened.conns <- opened:
		handed = true
	case <-p.opened.done:
	}
}

// destination reads where a CONNECT leads.
func (p *Proxy) destination(r *http.Request) (target, *refusal) {
	if r.Method != http.MethodConnect {
		return target{}, refuse(http.StatusForbidden,
			"only HTTPS leaves this sandbox, through CONNECT; http:// addresses do not")
	}
	if r.Host != r.RequestURI {
		return target{}, refuse(http.StatusBadRequest, "the Host header is not what to connect to")
	}
	host, port, err := authorityOf(r.Host)
	if err != nil {
		return target{}, refuse(http.StatusForbidden, "%v", err)
	}
	return p.targetOf(host, port)
}

// early returns what the client sent right behind its CONNECT.
func early(b interface {
	Buffered() int
	Peek(int) ([]byte, error)
}) *bytes.Reader {
	sent, _ := b.Peek(b.Buffered()) // it is there
	return bytes.NewReader(bytes.Clone(sent))
}

// tunnelled is the connection behind a CONNECT.
type tunnelled struct {
	net.Conn
	early *bytes.Reader // what arrived with the CONNECT
	to    target
}

// Read reads first what arrived with the CONNECT.
func (c *tunnelled) Read(b []byte) (int, error) {
	if c.early.Len() > 0 {
		return c.early.Read(b)
	}
	return c.Conn.Read(b)
}

type targetKey struct{}

// withTarget tells the inner server where a connection leads.
func withTarget(ctx context.Context, c net.Conn) context.Context {
	if opened, ok := c.(*tls.Conn); ok {
		if inside, ok := opened.NetConn().(*tunnelled); ok {
			return context.WithValue(ctx, targetKey{}, inside.to)
		}
	}
	return ctx
}

// errGreeted ends the reading of a TLS greeting.
var errGreeted = errors.New("the greeting is read")

// greeting reads the TLS greeting of a client, and returns its bytes and the host that it names.
func greeting(c net.Conn) (raw []byte, host string, err error) {
	read := &bytes.Buffer{}
	err = tls.Server(&listening{Conn: c, read: read}, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			host = strings.ToLower(hello.ServerName)
			return nil, errGreeted
		},
	}).Handshake()
	if errors.Is(err, errGreeted) {
		err = nil
	}
	return read.Bytes(), host, err
}

// listening notes what is read, and writes nothing.
type listening struct {
	net.Conn
	read *bytes.Buffer
}

// Read notes what was read.
func (l *listening) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.read.Write(b[:n])
	return n, err
}

// Write throws the alert away with which the reading of a greeting ends.
func (l *listening) Write(b []byte) (int, error) { return len(b), nil }

// tunnel connects a client with a host whose TLS is not opened. That it is TLS, and for this
// host, is looked at.
func (p *Proxy) tunnel(c *tunnelled, e Event) {
	defer func() { p.cfg.Log(e) }()
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	out, err := p.dialHost(ctx, c.to.host, c.to.port, c.to.rule.Addresses)
	if err != nil {
		e.Status, e.Refused = http.StatusBadGateway, "it cannot be reached: "+err.Error()
		refuse(http.StatusBadGateway, "%s cannot be reached", c.to.host).inStatusLine(c.Conn)
		return
	}
	defer out.Close()
	defer context.AfterFunc(p.ctx, func() { _ = c.Close(); _ = out.Close() })()
	if _, err := io.WriteString(c.Conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(headerTimeout))
	hello, host, err := greeting(c)
	_ = c.SetReadDeadline(time.Time{})
	if err != nil || host != c.to.host {
		e.Status, e.Refused = http.StatusForbidden, "what follows the CONNECT is not TLS for its host"
		return
	}
	var sent, received atomic.Int64
	spent := &spending{proxy: p, host: c.to.rule, sent: &sent}
	var both sync.WaitGroup
	both.Go(func() {
		sendTunnelled(out, c, hello, spent)
		closeWrite(out)
	})
	both.Go(func() {
		n, _ := io.Copy(bare(c.Conn), out)
		received.Store(n)
		closeWrite(c.Conn)
	})
	both.Wait()
	e.Sent, e.Received = sent.Load(), received.Load()
	if spent.over {
		e.Refused = "more was sent than max_upload allows"
	}
}

// spliced is how many bytes the kernel copies before they are counted.
const spliced = 1 << 20

// sendTunnelled sends the greeting of a client and all that follows it.
func sendTunnelled(out net.Conn, c *tunnelled, hello []byte, spent *spending) {
	// What may not be sent is counted first, and is not sent.
	charged := io.MultiWriter(spent, out)
	if _, err := charged.Write(hello); err != nil {
		return
	}
	if spent.limited() {
		_, _ = io.Copy(charged, c)
		return
	}
	if _, err := c.early.WriteTo(charged); err != nil {
		return
	}
	// Without a limit the kernel may copy, which it does between the connections themselves alone.
	from := bare(c.Conn)
	for {
		n, err := io.CopyN(out, from, spliced)
		_ = spent.take(n) // there is no limit
		if err != nil {
			return
		}
	}
}

// bare returns the connection itself.
func bare(c net.Conn) net.Conn {
	if l, ok := c.(*counted); ok {
		return l.Conn
	}
	return c
}

// closeWrite ends one direction of a connection.
func closeWrite(c net.Conn) {
	if half, ok := bare(c).(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		_ = c.Close()
	}
}
