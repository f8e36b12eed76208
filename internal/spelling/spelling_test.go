package spelling

import "testing"

func TestNearest(t *testing.T) {
	t.Parallel()
	words := []string{"role", "resource", "condition", "unbounded"}
	for _, tt := range []struct{ word, want string }{
		{"role", "role"},
		{"roles", "role"},
		{"Resource", "resource"},
		{"resorce", "resource"},
		{"conditon", "condition"},
		{"unbound", "unbounded"},
		{"expiry", ""},
		{"x", ""},
		{"", ""},
	} {
		if got := Nearest(tt.word, words); got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"ABC", "abc", 0}, {"secret", "secrets", 1}} {
		if got := Distance(tt.a, tt.b); got != tt.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := Distance(tt.b, tt.a); got != tt.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}
