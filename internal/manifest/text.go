package manifest

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// origins returns, for every character of a string's value, the offset in bytes inside
// raw, the string as TOML writes it, where that character comes from; and one offset
// more, for the end. It reports false if raw does not read as text.
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
		from := i
		rest := strings.TrimLeft(raw[i+1:end], " \t")
		if quotes == 3 && (strings.HasPrefix(rest, "\n") || strings.HasPrefix(rest, "\r\n")) {
			// The backslash at a line's end takes all white space up to the next text.
			i = end - len(strings.TrimLeft(rest, " \t\r\n"))
			continue
		}
		if i+1 >= end {
			return nil, false
		}
		i += 2
		digits := 0
		switch c := raw[i-1]; c {
		case 'b':
			r = '\b'
		case 't':
			r = '\t'
		case 'n':
			r = '\n'
		case 'f':
			r = '\f'
		case 'r':
			r = '\r'
		case 'e':
			r = '\x1b'
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		default:
			r = rune(c)
		}
		if digits > 0 {
			if i+digits > end {
				return nil, false
			}
			code, err := strconv.ParseUint(raw[i:i+digits], 16, 32)
			if err != nil {
				return nil, false
			}
			r = rune(code)
			i += digits
		}
		put(r, from)
	}
	return append(at, end), read.String() == text
}
