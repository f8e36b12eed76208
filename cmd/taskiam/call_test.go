package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/auth/credentials"
)

// call METHOD URL [BODY] is what a sandbox's own program is to the scripts: it calls
// Google at its production URL, as whoever the environment says it is, and prints the
// status and the answer. The token is the one that the environment names, else that
// of the application default credentials.
func call() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := callAs(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "call:", err)
		os.Exit(1)
	}
}

func callAs(ctx context.Context, args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return errors.New("usage: call METHOD URL [BODY]")
	}
	token, err := ambientToken(ctx)
	if err != nil {
		return err
	}
	var body io.Reader
	if len(args) == 3 {
		body = strings.NewReader(args[2])
	}
	req, err := http.NewRequestWithContext(ctx, args[0], args[1], body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%d\n%s\n", resp.StatusCode, answer)
	return err
}

func ambientToken(ctx context.Context) (string, error) {
	if file := os.Getenv("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"); file != "" {
		b, err := os.ReadFile(file)
		return string(b), err
	}
	creds, err := credentials.DetectDefault(&credentials.DetectOptions{
		Scopes: []string{"https://www.googleapis.com/auth/cloud-platform"},
		Client: &http.Client{Timeout: 10 * time.Second},
	})
	if err != nil {
		return "", err
	}
	token, err := creds.Token(ctx)
	if err != nil {
		return "", err
	}
	return token.Value, nil
}
