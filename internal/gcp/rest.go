package gcp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/api/googleapi"
)

// Google's largest answer here is a dataset or a policy, of some hundred kilobytes.
const maxAnswer = 16 << 20

// rest makes one request and returns the body of the answer. Data may be nil.
func rest(ctx context.Context, hc *http.Client, verb, url string, header http.Header, data []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, verb, url, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if data != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := googleapi.CheckResponse(resp); err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(out) > maxAnswer {
		return nil, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	return out, nil
}
