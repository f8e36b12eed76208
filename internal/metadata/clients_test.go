package metadata

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/idtoken"
	"golang.org/x/oauth2/google"
)

// alone leaves the test's process with the given metadata server, and with no login of
// anybody's.
func alone(t *testing.T, address string) {
	t.Helper()
	t.Setenv("GCE_METADATA_HOST", address)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("NO_PROXY", "127.0.0.1")
}

// Google's libraries for Go find the server by the environment, or by the file, and take
// what it says.
func TestGoClients(t *testing.T) {
	s, m, address, _ := serve(t)
	file := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(file, s.CredentialsFile("http://"+address), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, named := range map[string]string{"metadata": "", "file": file} {
		t.Run(name, func(t *testing.T) {
			alone(t, address)
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", named)
			begun := time.Now()
			check := func(library, token string, expires time.Time) {
				t.Helper()
				if left := expires.Sub(begun); token != "ya29.test" || left <= 0 || left > maxExpiresIn+time.Since(begun) {
					t.Errorf("%s: the token is %q, and has %s left", library, token, left)
				}
			}
			scopes := []string{readOnly}

			found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: scopes})
			if err != nil {
				t.Fatal(err)
			}
			newer, err := found.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			check("cloud.google.com/go/auth", newer.Value, newer.Expiry)
			if name == "metadata" {
				if project, err := found.ProjectID(t.Context()); project != "acme-agents" || err != nil {
					t.Errorf("the project is %q: %v", project, err)
				}
			}
			if universe, err := found.UniverseDomain(t.Context()); universe != "googleapis.com" || err != nil {
				t.Errorf("the universe is %q: %v", universe, err)
			}

			old, err := google.FindDefaultCredentials(t.Context(), scopes...)
			if err != nil {
				t.Fatal(err)
			}
			older, err := old.TokenSource.Token()
			if err != nil {
				t.Fatal(err)
			}
			check("golang.org/x/oauth2", older.AccessToken, older.Expiry)

			for i, asked := range m.asked {
				if asked != readOnly {
					t.Errorf("token %d was made with %q", i, asked)
				}
			}
			m.asked = nil
		})
	}
	t.Run("after the end", func(t *testing.T) {
		alone(t, address)
		s.Extend(time.Now())
		defer s.Extend(time.Time{})
		for name, named := range map[string]string{"metadata": "", "file": file} {
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", named)
			found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{readOnly}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			token, err := found.Token(ctx)
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "and there are no more tokens") {
				t.Errorf("%s: got a token %v, %v", name, token != nil, err)
			}
			cancel()
		}
	})
	t.Run("identity", func(t *testing.T) {
		alone(t, address)
		found, err := idtoken.NewCredentials(&idtoken.Options{Audience: wanted})
		if err != nil {
			t.Fatal(err)
		}
		token, err := found.Token(t.Context())
		if err != nil || token.Value != "eyJ.test.jwt" {
			t.Errorf("got %v: %v", token != nil && token.Value == "eyJ.test.jwt", err)
		}
	})
}
