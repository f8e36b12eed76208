// Package visible makes text safe to look at. Text that others wrote can move a terminal's cursor, hide or reorder
// what stands beside it, or look like another name. This package says which characters do that, and writes each
// of them by its code point, as Go escapes it.
//
// It knows characters and nothing else. Package view applies it to everything that is printed.
package visible

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Rune reports whether r shows as itself wherever it stands. Control characters, changes of the direction of text,
// characters without width and everything else that leaves no mark do not. Nor do line breaks and tabs.
func Rune(r rune) bool {
	return unicode.IsPrint(r) && r != brailleBlank &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

const brailleBlank = '\u2800'

// Text returns s with every character escaped that is not visible, and with every letter escaped that poses as
// ASCII: one of another alphabet inside a word that has ASCII letters or digits, as names have. Line breaks and
// tabs pass.
func Text(s string) string {
	return escape(s, func(r rune, inName bool) bool {
		return r == '\n' || r == '\t' || Rune(r) && !(inName && poses(r))
	})
}

// Line is like [Text], but nothing in it can begin another line or another column.
func Line(s string) string {
	return escape(s, func(r rune, inName bool) bool { return Rune(r) && !(inName && poses(r)) })
}

// ASCII returns s with everything escaped that is not visible ASCII: for code and for names, in which no other
// character is expected.
func ASCII(s string) string {
	return escape(s, func(r rune, _ bool) bool { return r >= ' ' && r <= '~' })
}

// Foreign names the first character of s that is not visible ASCII, for a message about a name that should have
// none; "" if there is none.
func Foreign(s string) string {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return fmt.Sprintf("%U in it is not an ASCII character", r)
		}
	}
	return ""
}

// First returns the place of the first character that is not visible and no line break or tab, in bytes; -1 if
// there is none.
func First(s string) int {
	for i, r := range s {
		if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
			return i
		}
		if r != '\n' && r != '\t' && !Rune(r) {
			return i
		}
	}
	return -1
}

// escape returns s with each character escaped for which passes is false.
func escape(s string, passes func(r rune, inName bool) bool) string {
	var b strings.Builder
	for s != "" {
		end := strings.IndexFunc(s, unicode.IsSpace)
		if end < 0 {
			end = len(s)
		}
		inName := strings.ContainsFunc(s[:end], asciiAlphanumeric)
		if end < len(s) { // the white space goes with the word before it
			_, size := utf8.DecodeRuneInString(s[end:])
			end += size
		}
		escapeWord(&b, s[:end], inName, passes)
		s = s[end:]
	}
	return b.String()
}

func escapeWord(b *strings.Builder, word string, inName bool, passes func(r rune, inName bool) bool) {
	for word != "" {
		r, size := utf8.DecodeRuneInString(word)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(b, `\x%02x`, word[0])
		case passes(r, inName):
			b.WriteString(word[:size])
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		word = word[size:]
	}
}

func asciiAlphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// poses reports whether r can be taken for an ASCII character. The accented letters of European languages cannot,
// nor can the punctuation of prose.
func poses(r rune) bool {
	accented := r >= '\u00c0' && r <= '\u017f' && !strings.ContainsRune("×÷ıſ", r)
	return r > '~' && !accented && !strings.ContainsRune("‘’“”„«»…–—·•§©®°€£¥→", r)
}
