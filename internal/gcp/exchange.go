package gcp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// Answer is what came back, as it was on the wire.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Exchange makes one request as it is told and returns the answer, whatever its status: it classifies nothing and
// tries nothing again. It is for whoever looks at answers themselves; everything else has a verb. An error means
// that there was no answer, or none in full.
func (c *Client) Exchange(ctx context.Context, method, url string, header http.Header, body []byte) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	doing := fmt.Sprintf("asking %s %s", method, url)
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", doing, err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := c.as.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", doing, c.classify(err))
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(out) > maxAnswer {
		err = fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("%s: reading the answer: %w", doing, err)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: out}, nil
}

// Anybody returns the login of whoever has none: requests go without a token.
func Anybody() TokenSource { return anonymous{} }
