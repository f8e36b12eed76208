package view

import (
	"bytes"
	"strings"
	"testing"
)

const (
	sampleToken = "ya29.c.b0Aaek-x_Y1z.more=="
	sampleKey   = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----"
)

// longKey is a key in lines as wide as keys have them.
var longKey = []string{
	"-----BEGIN PRIVATE KEY-----", strings.Repeat("MIIEvQIBADANBgkq", 4), strings.Repeat("hkiG9w0BAQEFAASC", 4), "AAA=",
	"-----END PRIVATE KEY-----",
}

func TestWriterRedacts(t *testing.T) {
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
		{"an indented key", "key: |\n    " + strings.Join(longKey, "\n    ") + "\nnext: 1\n", "key: |\n    [redacted]\nnext: 1\n"},
		{"a quoted key", "> " + strings.Join(longKey, "\n> ") + "\n> after it\n", "> [redacted]\n> after it\n"},
		{"a key in strings", `"` + strings.Join(longKey, "\",\n\"") + `";`, `"[redacted]";`},
		{"a key in one line", "git: " + strings.Join(longKey, " ") + " was said", "git: [redacted] was said"},
		{"half a key in one line", strings.Join(longKey[:3], " ") + "\nafter it", "[redacted]\nafter it"},
		{"a key after dates", strings.Join(longKey[:3], "\n10:00 pod ") + "\n11:00 pod bye\n",
			"[redacted]\n10:00 pod [redacted]\n10:00 pod [redacted]\n11:00 pod bye\n"},
		{"a key of PGP", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n" + longKey[1] + "\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----\n", "[redacted]\n"},
		{"an encrypted key", longKey[0] + "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n" + longKey[1] + "\n" + longKey[3], "[redacted]"},
		{"two keys", strings.Join(longKey[:2], "\n") + "\n" + strings.Join(longKey, "\n") + "\nafter\n", "[redacted][redacted]\nafter\n"},
		{"a token after half a key", longKey[0] + "\nthe token " + sampleToken + " is out\n", "[redacted]\nthe token [redacted] is out\n"},
		{"no key after its name", longKey[0] + " is missing\nin the file\n", "[redacted] is missing\nin the file\n"},
		{"long words after no key", longKey[0] + "\na b\na b\na b\n" + longKey[1] + " is\n", "[redacted]\na b\na b\na b\n" + longKey[1] + " is\n"},
		{"the beginning of a token", "ya2 ya29 ya29", "ya2 ya29 ya29"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// However it is cut into two writes, the secret stays inside.
			for cut := range len(c.in) + 1 {
				var out bytes.Buffer
				s := NewWriter(&out)
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

// TestWriterEscapes: what others wrote cannot move the cursor, recolour, reorder or hide text.
func TestWriterEscapes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain\ttext, déjà vu, 日本\n": "plain\ttext, déjà vu, 日本\n",
		"\x1b[2J\x1b[31mred":         `\x1b[2J\x1b[31mred`,
		"a\rb\x07\x00\x7f":           `a\rb\a\x00\x7f`,
		"\u009b31m":                  `\u009b31m`,
		"roles/\u202egpj.exe":        `roles/\u202egpj.exe`,
		"zero\u200bwidth\ufeff":      `zero\u200bwidth\ufeff`,
		"bad \xff\xc3":               `bad \xff\xc3`,
		"a true \ufffd":              "a true \ufffd",
	} {
		var out bytes.Buffer
		w := NewWriter(&out)
		if _, err := w.Write([]byte(in)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("%q is written as %q, want %q", in, out.String(), want)
		}
	}
}

// TestKeyInAReport: a key is over no sooner in what is said at once.
func TestKeyInAReport(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := NewStream(&out).say("they said:\n" + strings.Join(longKey, "\n  ") + "\nafter it"); err != nil {
		t.Fatal(err)
	}
	if want := "they said:\n[redacted]\nafter it\n"; out.String() != want {
		t.Errorf("it is written as %q, want %q", out.String(), want)
	}
}
