package visible

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain\ttext, déjà vu, 日本\n":      "plain\ttext, déjà vu, 日本\n",
		"\x1b[2J\x1b[31mred":              `\x1b[2J\x1b[31mred`,
		"a\rb\x07\x00\x7f":                `a\rb\a\x00\x7f`,
		"\u009b31m":                       `\u009b31m`,
		"a\u2028b\u2029c":                 `a\u2028b\u2029c`,
		"roles/\u202egpj.exe \u2066x":     `roles/\u202egpj.exe \u2066x`,
		"zero\u200bwidth\ufeff \u200d":    `zero\u200bwidth\ufeff \u200d`,
		"filled\u3164 \u2800\ufe0f\u034f": `filled\u3164 \u2800\ufe0f\u034f`,
		"tag \U000e0041":                  `tag \U000e0041`,
		"a no-break\u00a0space":           `a no-break\u00a0space`,
		"bad \xff\xc3":                    `bad \xff\xc3`,
		"a true \ufffd":                   "a true \ufffd",
		"roles/st\u043erage.viewer":       `roles/st\u043erage.viewer`,
		"user:\u0430\u0440\u0435@x":       `user:\u0430\u0440\u0435@x`,
		"gs://\uff41cme":                  `gs://\uff41cme`,
		"ad\u0131min \u0251dmin":          `ad\u0131min \u0251dmin`,
		"it’s “so” – 20€ · Привет, мир":   "it’s “so” – 20€ · Привет, мир",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q is written as %q, want %q", in, got, want)
		}
		if again := Text(want); again != want {
			t.Errorf("%q is escaped again, as %q", want, again)
		}
	}
	if got, want := Line("a\nb\tc\u2028st\u043erage"), `a\nb\tc\u2028st\u043erage`; got != want {
		t.Errorf("a line is %q, want %q", got, want)
	}
	if got, want := ASCII(`"é" == "\n"`+"\n"), `"\u00e9" == "\n"\n`; got != want {
		t.Errorf("as ASCII it is %q, want %q", got, want)
	}
}

func TestFirstAndForeign(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"": -1, "a\n\tb é": -1, "é\x1b": 2, "a\u202e": 1, "ab\xff": 2, "\u200b": 0} {
		if got := First(in); got != want {
			t.Errorf("First(%q) = %d, want %d", in, got, want)
		}
	}
	if got := Foreign("roles/st\u043erage"); !strings.Contains(got, "U+043E") {
		t.Errorf("the letter is not named: %q", got)
	}
	if got := Foreign("roles/storage.viewer"); got != "" {
		t.Errorf("a plain name has %q", got)
	}
}
