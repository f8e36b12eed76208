// Command goclients is a program in a sandbox: it asks for what each of its lines names, with the client of Google's
// that its argument names and application default credentials, and answers each in a line. The first word of an answer
// says what it is, by the type, code and reason of the error; "ok" is what was asked for.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/compute/metadata"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"cloud.google.com/go/storage"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/idtoken"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const project = "acme-agents"

// asking returns what asks for one thing.
type asking func(ctx context.Context) (func(context.Context, string) (string, error), error)

var clients = map[string]asking{
	"storage": func(ctx context.Context) (func(context.Context, string) (string, error), error) {
		client, err := storage.NewClient(ctx)
		return read(client), err
	},
	"storage-grpc": func(ctx context.Context) (func(context.Context, string) (string, error), error) {
		client, err := storage.NewGRPCClient(ctx, storage.WithDisabledClientMetrics())
		return read(client), err
	},
	"pubsub": func(ctx context.Context) (func(context.Context, string) (string, error), error) {
		client, err := pubsub.NewClient(ctx, project)
		return func(ctx context.Context, what string) (string, error) {
			verb, name, _ := strings.Cut(what, " ")
			if verb == "publish" {
				p := client.Publisher(name)
				defer p.Stop()
				id, err := p.Publish(ctx, &pubsub.Message{Data: []byte("hello")}).Get(ctx)
				return "messageIds " + id, err
			}
			t, err := client.TopicAdminClient.GetTopic(ctx,
				&pubsubpb.GetTopicRequest{Topic: "projects/" + project + "/topics/" + name})
			return t.GetName(), err
		}, err
	},
	"secretmanager": func(ctx context.Context) (func(context.Context, string) (string, error), error) {
		client, err := secretmanager.NewClient(ctx)
		return func(ctx context.Context, what string) (string, error) {
			v, err := client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{
				Name: "projects/" + project + "/secrets/" + what + "/versions/latest",
			})
			return string(v.GetPayload().GetData()), err
		}, err
	},
	"idtoken": func(context.Context) (func(context.Context, string) (string, error), error) {
		return func(ctx context.Context, audience string) (string, error) {
			source, err := idtoken.NewTokenSource(ctx, audience) // it would keep the last one for an hour
			if err != nil {
				return "", err
			}
			t, err := source.Token()
			if err != nil {
				return "", err
			}
			return t.AccessToken, nil
		}, nil
	},
}

func read(client *storage.Client) func(context.Context, string) (string, error) {
	return func(ctx context.Context, what string) (string, error) {
		bucket, name, _ := strings.Cut(what, "/")
		r, err := client.Bucket(bucket).Object(name).NewReader(ctx)
		if err != nil {
			return "", err
		}
		defer r.Close()
		text, err := io.ReadAll(r)
		return string(text), err
	}
}

func main() {
	ctx := context.Background()
	ask, starting := clients[os.Args[1]](ctx)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		text, err := "", starting
		if err == nil {
			text, err = ask(ctx, lines.Text())
		}
		answer := "ok " + text
		if err != nil {
			answer = kind(err) + " " + err.Error()
		}
		fmt.Println(strings.Join(strings.Fields(answer), " "))
	}
}

// kind says what an error is.
func kind(err error) string {
	var body []byte
	code := 0
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		body, code = []byte(e.Body), e.Code
	} else if e, ok := errors.AsType[*auth.Error](err); ok && e.Response != nil {
		body, code = e.Body, e.Response.StatusCode
	} else if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		body, code = e.Body, e.Response.StatusCode
	} else if _, ok := errors.AsType[metadata.NotDefinedError](err); ok {
		return "absent"
	} else if _, ok := errors.AsType[*url.Error](err); ok {
		return "unreachable" // nothing was answered
	} else if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		reason := ""
		for _, d := range s.Details() {
			if info, ok := d.(*errdetails.ErrorInfo); ok {
				reason = info.GetReason()
			}
		}
		switch s.Code() {
		case codes.PermissionDenied:
			return "denied " + reason
		case codes.Unauthenticated:
			return "unauthenticated " + reason
		case codes.Unavailable:
			return "unreachable"
		}
		return "failed"
	}
	var oauth struct{ Error string }
	switch {
	case json.Unmarshal(body, &oauth) == nil && oauth.Error == "invalid_grant":
		return "invalid_grant"
	case code == 403:
		return "denied"
	case code == 401:
		return "unauthenticated"
	}
	return "failed"
}
