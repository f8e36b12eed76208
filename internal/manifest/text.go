package manifest

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// origins returns, for every character of a string's value, the offset in bytes of that
// character in raw, which is the string as it is written in TOML; and one more offset, for
// the end. It reports false if raw does not stand for text.
func origins(raw, text string) ([]int, bool) {
	var at []int
	var read strings.Builder
	put := func(r rune, from int) {
		read.WriteRune(r)
		at = append(at, from)
	}
	quotes, basic := 1, strings.HasPrefix(raw, `"`)
	if strings.HasPrefix(raw, `"""`) || strings.HasPrefix(raw, `'''`) {
		quotes = 3
	}
	if len(raw) < 2*quotes {
		return nil, false
	}
	i, end := quotes, len(raw)-quotes
	if quotes == 3 { // a line break right after the quotes does not count
		if strings.HasPrefix(raw[i:end], "\r\n") {
			i += 2
		} else if strings.HasPrefix(raw[i:end], "\n") {
			i++
		}
	}
	for i < end {
		r, n := utf8.DecodeRuneInString(raw[i:])
		if r != '\\' || !basic {
			put(r, i)
			i += n
			continue
		}
		rest := strings.TrimLeft(raw[i+1:end], " \t")
		if quotes == 3 && (strings.HasPrefix(rest, "\n") || strings.HasPrefix(rest, "\r\n")) {
			// The backslash at a line's end takes all white space up to the next text.
			i = end - len(strings.TrimLeft(rest, " \t\r\n"))
			continue
		}
		r, n, ok := escape(raw[i:end])
		if !ok {
			return nil, false
		}
		put(r, i)
		i += n
	}
	return append(at, end), read.String() == text
}

// The letters after a backslash: what they stand for, or how many digits follow.
var (
	escapes      = map[byte]rune{'b': '\b', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r', 'e': '\x1b'}
	escapeDigits = map[byte]int{'x': 2, 'u': 4, 'U': 8}
)

// escape reads the escape sequence at the beginning of s, and returns its length in bytes.
func escape(s string) (r rune, n int, ok bool) {
	if len(s) < 2 {
		return 0, 0, false
	}
	letter := s[1]
	if r, ok := escapes[letter]; ok {
		return r, 2, true
	}
	digits := escapeDigits[letter]
	if digits == 0 {
		return rune(letter), 2, true
	}
	if len(s) < 2+digits {
		return 0, 0, false
	}
	code, err := strconv.ParseUint(s[2:2+digits], 16, 32)
	return rune(code), 2 + digits, err == nil
}
