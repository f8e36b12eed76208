package metadata

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRequestsOnTheWire sends what no client library does. A request whose end two readers could see at different
// places is not read at all, or what follows is a request of its own, which is judged like any other. Each row has the
// answers that come, in order; a token is made for no answer but 200.
func TestRequestsOnTheWire(t *testing.T) {
	t.Parallel()
	const (
		get     = "GET " + tokenPath + " HTTP/1.1\r\n"
		host    = "Host: 127.0.0.1\r\n"
		flavour = "Metadata-Flavor: Google\r\n"
		bare    = get + host + "\r\n" // without the protocol's header
		post    = "POST " + exchangePath + " HTTP/1.1\r\n" + host
	)
	for name, tt := range map[string]struct{ request, want string }{
		"as it should be":                   {get + host + flavour + "\r\n", "200"},
		"pipelined, one without header":     {get + host + flavour + "\r\n" + bare + get + host + flavour + "\r\n", "200 403 200"},
		"two lengths":                       {get + host + flavour + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n", "400"},
		"two lengths in one":                {get + host + flavour + "Content-Length: 0, 5\r\n\r\n", "400"},
		"a length with a sign":              {get + host + flavour + "Content-Length: +0\r\n\r\n", "400"},
		"a length and chunks":               {post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + bare, "400 403"},
		"chunks within a length":            {get + host + flavour + "Content-Length: 3\r\n\r\n" + bare, "200 400"},
		"chunked in another spelling":       {post + "Transfer-Encoding: xchunked\r\n\r\n", "501"},
		"chunked twice":                     {post + "Transfer-Encoding: chunked, chunked\r\n\r\n", "501"},
		"chunked before a length":           {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", "501"},
		"a chunk without an end":            {post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "400"},
		"a huge chunk extension":            {post + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 64<<10) + "\r\nx\r\n0\r\n\r\n", "400"},
		"the header at the end of chunks":   {get + host + "Transfer-Encoding: chunked\r\nTrailer: Metadata-Flavor\r\n\r\n0\r\n" + flavour + "\r\n", "403"},
		"the header twice, first wrong":     {get + host + "Metadata-Flavor: x\r\n" + flavour + "\r\n", "403"},
		"the header twice in one":           {get + host + "Metadata-Flavor: Google, Google\r\n\r\n", "403"},
		"the header before a space":         {get + host + "Metadata-Flavor : Google\r\n\r\n", "400"},
		"the header with an underscore":     {get + host + "Metadata_Flavor: Google\r\n\r\n", "403"},
		"the header folded into another":    {get + host + "X: y\r\n " + flavour + "\r\n", "403"},
		"folded before the first":           {get + " " + host + flavour + "\r\n", "400"},
		"a carriage return alone":           {get + host + "X: y\rMetadata-Flavor: Google\r\n\r\n", "400"},
		"a zero byte":                       {get + host + flavour + "X: \x00\r\n\r\n", "400"},
		"forwarded, in small letters":       {get + host + flavour + "x-forwarded-for: 192.0.2.1\r\n\r\n", "403"},
		"forwarded, in mixed letters":       {get + host + flavour + "X-FORWARDED-for:\r\n\r\n", "403"},
		"forwarded, before a space":         {get + host + flavour + "X-Forwarded-For : 192.0.2.1\r\n\r\n", "400"},
		"forwarded, folded":                 {get + host + flavour + "X-Forwarded-For:\r\n\t192.0.2.1\r\n\r\n", "403"},
		"forwarded, before a tab":           {get + host + flavour + "X-Forwarded-For\t: 192.0.2.1\r\n\r\n", "400"},
		"forwarded, twice":                  {get + host + flavour + "X-Forwarded-For: 127.0.0.1\r\nx-forwarded-for: 192.0.2.1\r\n\r\n", "403"},
		"forwarded, before its host":        {get + "X-Forwarded-For: 192.0.2.1\r\n" + host + flavour + "\r\n", "403"},
		"forwarded, as Connection's own":    {get + host + flavour + "Connection: X-Forwarded-For\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n", "403"},
		"forwarded, in an old version":      {"GET " + tokenPath + " HTTP/1.0\r\n" + host + flavour + "X-Forwarded-For: 192.0.2.1\r\n\r\n", "403"},
		"forwarded, by a newer header":      {get + host + flavour + "FORWARDED: for=192.0.2.1\r\n\r\n", "403"},
		"forwarded, behind a feed alone":    {get + host + flavour + "X: y\nX-Forwarded-For: 192.0.2.1\r\n\r\n", "403"},
		"forwarded, behind hidden letters":  {get + host + flavour + "\u200bX-Forwarded-For: 192.0.2.1\r\n\r\n", "400"},
		"forwarded, with an underscore":     {get + host + flavour + "X_Forwarded_For: 192.0.2.1\r\n\r\n", "200"}, // another header, to Google too
		"lines that end in a feed alone":    {strings.ReplaceAll(get+host+flavour+"\r\n", "\r\n", "\n"), "200"},
		"a feed alone at its end":           {get + host + flavour + "\n" + bare, "200 403"},
		"a feed alone, and no header":       {strings.ReplaceAll(bare, "\r\n", "\n"), "403"},
		"a feed alone in the first line":    {"GET " + tokenPath + " HTTP/1.1\n" + flavour + host + "\r\n" + bare, "200 403"},
		"a feed alone in a path":            {"GET " + tokenPath + "\n HTTP/1.1\r\n" + host + flavour + "\r\n", "400"},
		"a feed alone in its host":          {get + "Host: 127.0.0.1\n.evil.example\r\n" + flavour + "\r\n", "400"},
		"a feed alone after a chunk's size": {post + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n" + bare, "400"},
		"a feed alone after the last chunk": {post + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\n\n" + bare, "400"},
		"another server's address":          {"GET http://evil.example" + tokenPath + " HTTP/1.1\r\n" + host + flavour + "\r\n", "403"},
		"another server's, by a path":       {"GET //evil.example" + tokenPath + " HTTP/1.1\r\n" + host + flavour + "\r\n", "404"},
		"two hosts":                         {get + host + "Host: evil.example\r\n" + flavour + "\r\n", "400"},
		"no host":                           {get + flavour + "\r\n", "400"},
		"no host, in an old version":        {"GET " + tokenPath + " HTTP/1.0\r\n" + flavour + "\r\n", "403"},
		"a host with a user":                {get + "Host: 127.0.0.1@evil.example\r\n" + flavour + "\r\n", "400"},
		"a host with a path":                {get + "Host: 127.0.0.1/evil.example\r\n" + flavour + "\r\n", "400"},
		"a host that ends in a point":       {get + "Host: 127.0.0.1.\r\n" + flavour + "\r\n", "403"},
		"a tunnel":                          {"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + host + flavour + "\r\n", "405"},
		"a tunnel to itself":                {"CONNECT " + tokenPath + " HTTP/1.1\r\n" + host + flavour + "\r\n", "405"},
		"the beginning of HTTP/2":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "403"},
		"an upgrade to HTTP/2":              {get + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", "403"},
		"no version":                        {"GET " + tokenPath + "\r\n" + host + flavour + "\r\n", "400"},
		"a version that nobody knows":       {"GET " + tokenPath + " HTTP/9.9\r\n" + host + flavour + "\r\n", "505"},
		"no method":                         {" " + tokenPath + " HTTP/1.1\r\n" + host + flavour + "\r\n", "400"},
		"a method that is GET and more":     {"GETX " + tokenPath + " HTTP/1.1\r\n" + host + flavour + "\r\n", "405"},
		"another method by a header":        {"POST " + tokenPath + " HTTP/1.1\r\n" + host + flavour + "X-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n\r\n", "405"},
		"an announced body that comes not":  {post + "Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n", "400"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			_, m, address, _ := serve(t)
			c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, tt.request); err != nil {
				t.Fatal(err)
			}
			_ = c.(*net.TCPConn).CloseWrite() // the server may have closed it
			var codes []string
			for in := bufio.NewReader(c); ; {
				answer, err := http.ReadResponse(in, nil)
				if err != nil {
					break
				}
				if answer.StatusCode == http.StatusContinue {
					continue
				}
				codes = append(codes, answer.Status[:3])
				_, _ = io.Copy(io.Discard, answer.Body) // the next one follows it
			}
			if got := strings.Join(codes, " "); got != tt.want {
				t.Errorf("answered %s, want %s", got, tt.want)
			}
			if made := strings.Count(tt.want, "200"); len(m.asked) != made {
				t.Errorf("%d tokens were made", len(m.asked))
			}
		})
	}
}
