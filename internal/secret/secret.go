// Package secret holds strings that must not be printed.
//
// A [String] redacts itself wherever a program prints, logs or marshals it; the
// value comes out through [String.Reveal] alone, so that a search for Reveal
// finds every place where a secret leaves.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// String is a credential: a token, a private key, an assertion.
// The zero value is the absent secret.
type String struct{ value string }

// New wraps value.
func New(value string) String { return String{value} }

// Reveal returns the secret itself.
func (s String) Reveal() string { return s.value }

// IsZero reports whether there is no secret.
func (s String) IsZero() bool { return s.value == "" }

// String returns a placeholder.
func (s String) String() string { return redacted }

// GoString returns a placeholder.
func (s String) GoString() string { return redacted }

// Format writes a placeholder for every verb, %x and %q included.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns a placeholder, so that JSON and TOML redact too.
func (s String) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns a placeholder.
func (s String) LogValue() slog.Value { return slog.StringValue(redacted) }
