package wire

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// A random lag lies in its range, and its seed decides.
func TestRandomLag(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 3, 11, 0, 0, 0, time.UTC)
	draw := func(seed uint64) []time.Duration {
		s := &Server{}
		s.SetLag(Lag{Seed: seed, Key: Delay{Min: time.Minute, Max: 2 * time.Minute}})
		var out []time.Duration
		for range 20 {
			out = append(out, s.lags.After(iam.KeyMade, start).Sub(start))
		}
		return out
	}
	a := draw(7)
	if !cmp.Equal(a, draw(7)) || cmp.Equal(a, draw(8)) {
		t.Error("the seed does not decide")
	}
	for _, d := range a {
		if d < time.Minute || d > 2*time.Minute {
			t.Errorf("drew %v", d)
		}
	}
}

func TestParseDelay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"90s": "1m30s", "30s..2m": "30s..2m0s", "0s": "0s", "0s..1s": "0s..1s"} {
		d, err := ParseDelay(text)
		if err != nil || d.String() != want {
			t.Errorf("%q: %v %v, want %s", text, d, err, want)
		}
	}
	for _, text := range []string{"", "soon", "-1s", "2m..1m", "1m..", "..1m"} {
		if d, err := ParseDelay(text); err == nil {
			t.Errorf("%q was read as %v", text, d)
		}
	}
	var l Lag
	for name, value := range map[string]string{"seed": "7", "grant": "1m..2m", "key": "1s"} {
		if err := l.Set(name, value); err != nil {
			t.Error(err)
		}
	}
	if want := (Lag{Seed: 7, Grant: Delay{Min: time.Minute, Max: 2 * time.Minute}, Key: Delay{Min: time.Second}}); l != want {
		t.Errorf("lag is %+v, want %+v", l, want)
	}
	for name, value := range map[string]string{"seed": "x", "nonsense": "1s", "grant": "x", "key": "{}"} {
		if err := l.Set(name, value); err == nil {
			t.Errorf("%s was set to %s", name, value)
		}
	}
}
