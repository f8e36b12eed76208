package cli

import (
	"bytes"
	"strings"
	"testing"
)

const (
	sampleToken = "ya29.c.b0Aaek-x_Y1z.more=="
	sampleKey   = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----"
)

func TestScrubber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "nothing here\n", "nothing here\n"},
		{"no newline", "nothing here", "nothing here"},
		{"a token", "token " + sampleToken + " is out\n", "token [redacted] is out\n"},
		{"two tokens", sampleToken + "," + sampleToken + "\n", "[redacted],[redacted]\n"},
		{"a token in JSON", `{"access_token":"` + sampleToken + `"}`, `{"access_token":"[redacted]"}`},
		{"a key", "before\n" + sampleKey + "\nafter\n", "before\n[redacted]\nafter\n"},
		{"an RSA key", strings.ReplaceAll(sampleKey, "PRIVATE", "RSA PRIVATE"), "[redacted]"},
		{"a key in JSON", `{"private_key":"` + strings.ReplaceAll(sampleKey, "\n", `\n`) + `\n","x":1}` + "\n", `{"private_key":"[redacted]\n","x":1}` + "\n"},
		{"half a key", "before\n-----BEGIN PRIVATE KEY-----\nMIIEvQ\nAAA", "before\n[redacted]"},
		{"a key and a token", sampleKey + " " + sampleToken, "[redacted] [redacted]"},
		{"a certificate", "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"},
		{"a certificate and a key", "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n" + sampleKey, "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n[redacted]"},
		{"the beginning of a token", "ya2 ya29 ya29", "ya2 ya29 ya29"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// However it is cut into two writes, the secret stays inside.
			for cut := range len(c.in) + 1 {
				var out bytes.Buffer
				s := &scrubber{to: &out}
				for _, part := range []string{c.in[:cut], c.in[cut:]} {
					if n, err := s.Write([]byte(part)); n != len(part) || err != nil {
						t.Fatalf("Write = %d, %v", n, err)
					}
				}
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
				if out.String() != c.want {
					t.Fatalf("cut at %d: got %q, want %q", cut, out.String(), c.want)
				}
			}
		})
	}
}

// TestTalkIsScrubbed goes by the way that every message takes.
func TestTalkIsScrubbed(t *testing.T) {
	t.Parallel()
	e, stdout, stderr := testEnv(map[string]string{envStateHome: "/nonexistent"})
	code := Main(t.Context(), []string{"taskiam", "down", sampleToken}, e)
	if code != int(exitFailure) {
		t.Errorf("exit code %d", code)
	}
	if stdout.Len() > 0 || !strings.Contains(stderr.String(), "[redacted]") || strings.Contains(stderr.String(), "ya29.c") {
		t.Errorf("stdout %q\nstderr %q", stdout, stderr)
	}
}
