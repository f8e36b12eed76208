package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingPrintsTheValue(t *testing.T) {
	s := New("ya29.hidden")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "token", s, "nested", struct{ T String }{s})
	marshalled, err := json.Marshal(map[string]any{"t": s, "p": &s, "m": map[string]String{"k": s}})
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s),
		fmt.Sprintf("%+v", struct{ T String }{s}), fmt.Sprintf("%#v", &s),
		log.String(), string(marshalled),
	} {
		if strings.Contains(out, "hidden") || strings.Contains(out, fmt.Sprintf("%x", "hidden")) {
			t.Errorf("the secret was printed: %s", out)
		}
	}
	if s.Reveal() != "ya29.hidden" {
		t.Errorf("Reveal() = %q", s.Reveal())
	}
}
