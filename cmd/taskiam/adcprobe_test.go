package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"cloud.google.com/go/auth/credentials"
	"google.golang.org/api/storage/v1"
)

// adcprobe is a program of the sandbox's that knows nothing of taskiam: it reads an
// object with Google's own Go client and application default credentials alone, and
// says as whom. It ends with 1 if it cannot.
func adcprobe() {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	// Both are tried: neither of the two ways to a login may find somebody else's.
	if err := errors.Join(sayWho(ctx), readReport(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, "adcprobe:", err)
		os.Exit(1)
	}
}

func sayWho(ctx context.Context) error {
	creds, err := credentials.DetectDefault(&credentials.DetectOptions{
		Scopes: []string{"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email"},
	})
	if err != nil {
		return err
	}
	token, err := creds.Token(ctx)
	if err != nil {
		return err
	}
	resp, err := http.PostForm("https://oauth2.googleapis.com/tokeninfo", url.Values{"access_token": {token.Value}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var info struct{ Email string }
	if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
		return err
	}
	_, err = fmt.Println("acted as", info.Email)
	return err
}

func readReport(ctx context.Context) error {
	service, err := storage.NewService(ctx)
	if err != nil {
		return err
	}
	answer, err := service.Objects.Get("acme-reports", "2026/01.csv").Context(ctx).Download()
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	fmt.Println("read", n, "bytes")
	return err
}
