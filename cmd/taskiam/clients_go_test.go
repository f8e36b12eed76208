package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/api/bigquery/v2"
	"google.golang.org/api/cloudresourcemanager/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/iamcredentials/v1"
	"google.golang.org/api/option"
	"google.golang.org/api/pubsub/v1"
	"google.golang.org/api/secretmanager/v1"
	"google.golang.org/api/storage/v1"
)

// goLibraries is golibraries [URL]: a program that calls each service once with Google's own
// client for Go and application default credentials: at URL, or at production URLs.
// It says what came of it, and ends with 1 if a call failed.
func goLibraries() {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	url := ""
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	failed := false
	for _, c := range goCalls {
		var options []option.ClientOption
		if url != "" {
			options = append(options, option.WithEndpoint(url+c.base))
		}
		answer, err := c.call(ctx, options...)
		if err != nil {
			failed = true
			answer = "failed: " + err.Error()
		}
		fmt.Printf("%s: %s\n", c.service, answer)
	}
	if failed {
		os.Exit(1)
	}
}

var goCalls = []struct {
	service string
	base    string // what its URL ends with
	call    func(context.Context, ...option.ClientOption) (string, error)
}{
	{"iam", "/", func(ctx context.Context, o ...option.ClientOption) (string, error) {
		s, err := iam.NewService(ctx, o...)
		if err != nil {
			return "", err
		}
		a, err := s.Projects.ServiceAccounts.Get("projects/acme-agents/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com").Context(ctx).Do()
		if err != nil {
			return "", err
		}
		return a.DisplayName, nil
	}},
	{"iamcredentials", "/", func(ctx context.Context, o ...option.ClientOption) (string, error) {
		s, err := iamcredentials.NewService(ctx, o...)
		if err != nil {
			return "", err
		}
		// An owner may not mint: to be told so is the answer.
		_, err = s.Projects.ServiceAccounts.GenerateAccessToken("projects/-/serviceAccounts/ci-runner@acme-agents.iam.gserviceaccount.com",
			&iamcredentials.GenerateAccessTokenRequest{Scope: []string{storage.CloudPlatformScope}}).Context(ctx).Do()
		return denial(err)
	}},
	{"cloudresourcemanager", "/", func(ctx context.Context, o ...option.ClientOption) (string, error) {
		s, err := cloudresourcemanager.NewService(ctx, o...)
		if err != nil {
			return "", err
		}
		p, err := s.Projects.GetIamPolicy("projects/acme-agents", &cloudresourcemanager.GetIamPolicyRequest{
			Options: &cloudresourcemanager.GetPolicyOptions{RequestedPolicyVersion: 3},
		}).Context(ctx).Do()
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("policy of version %d", p.Version), nil
	}},
	{"storage", "/storage/v1/", func(ctx context.Context, o ...option.ClientOption) (string, error) {
		s, err := storage.NewService(ctx, o...)
		if err != nil {
			return "", err
		}
		if _, err := s.Objects.Insert("acme-drop", &storage.Object{Name: "go.txt"}).Media(strings.NewReader("from go")).Context(ctx).Do(); err != nil {
			return "", err
		}
		r, err := s.Objects.Get("acme-drop", "go.txt").Context(ctx).Download()
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		return string(text), errors.Join(err, s.Objects.Delete("acme-drop", "go.txt").Context(ctx).Do())
	}},
	{"secretmanager", "/", func(ctx context.Context, o ...option.ClientOption) (string, error) {
		s, err := secretmanager.NewService(ctx, o...)
		if err != nil {
			return "", err
		}
		v, err := s.Projects.Secrets.Versions.Access("projects/acme-agents/secrets/db-password/versions/latest").Context(ctx).Do()
		if err != nil {
			return "", err
		}
		text, err := base64.StdEncoding.DecodeString(v.Payload.Data)
		return string(text), err
	}},
	{"pubsub", "/", func(ctx context.Context, o ...option.ClientOption) (string, error) {
		s, err := pubsub.NewService(ctx, o...)
		if err != nil {
			return "", err
		}
		_, err = s.Projects.Topics.Publish("projects/acme-agents/topics/reports", &pubsub.PublishRequest{
			Messages: []*pubsub.PubsubMessage{{Data: base64.StdEncoding.EncodeToString([]byte("from go"))}},
		}).Context(ctx).Do()
		if err != nil {
			return "", err
		}
		const name = "projects/acme-agents/subscriptions/reports-audit"
		got, err := s.Projects.Subscriptions.Pull(name, &pubsub.PullRequest{MaxMessages: 1}).Context(ctx).Do()
		if err != nil {
			return "", err
		}
		if len(got.ReceivedMessages) != 1 {
			return "", fmt.Errorf("%d messages came", len(got.ReceivedMessages))
		}
		_, err = s.Projects.Subscriptions.Acknowledge(name, &pubsub.AcknowledgeRequest{AckIds: []string{got.ReceivedMessages[0].AckId}}).Context(ctx).Do()
		text, decoding := base64.StdEncoding.DecodeString(got.ReceivedMessages[0].Message.Data)
		return string(text), errors.Join(err, decoding)
	}},
	{"bigquery", "/bigquery/v2/", func(ctx context.Context, o ...option.ClientOption) (string, error) {
		s, err := bigquery.NewService(ctx, o...)
		if err != nil {
			return "", err
		}
		rows, err := s.Tabledata.List("acme-data", "sales", "orders").Context(ctx).Do()
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d rows", rows.TotalRows), nil
	}},
}

// denial returns what a call was refused with.
func denial(err error) (string, error) {
	refused, ok := errors.AsType[*googleapi.Error](err)
	if !ok {
		return "", fmt.Errorf("it was not refused: %w", err)
	}
	return fmt.Sprintf("%d %s", refused.Code, refused.Message), nil
}
