package egress

import (
	"slices"
	"strconv"
	"strings"
)

// What is read of a query is its words, and the paths among them. The fence is for a path that
// leads into another project; what is allowed in its own, IAM decides. The reading errs on the safe
// side: a column of a struct, a.b.c, is taken for a table of the project a.

// statements are those with which a query may begin. The others run text that is made while they
// run, call what does, or send data elsewhere.
var statements = []string{
	"SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "DROP", "ALTER", "FROM",
}

// defined is what CREATE, DROP and ALTER may be about. The name of a schema has its project in front.
var defined = []string{
	"TABLE", "VIEW", "MATERIALIZED", "TEMP", "TEMPORARY", "FUNCTION", "AGGREGATE", "MODEL", "SNAPSHOT", "OR",
}

// unreadWords make a query one that cannot be read, wherever they are and also as names in quotes:
// other places are named by connections, or in texts that are code.
var unreadWords = []string{
	"EXTERNAL_QUERY", "CONNECTION", "REMOTE", "PROCEDURE", "EXTERNAL", "LANGUAGE", "AI", "IMMEDIATE", "SCHEMA",
}

// tablesIn returns the datasets and projects that a query in GoogleSQL names, or why it cannot be read.
func tablesIn(query string) ([]named, *refusal) {
	if strings.Contains(strings.ToLower(query), "#legacysql") {
		return nil, forbid("only GoogleSQL can be read by this proxy")
	}
	words, ok := lex(query)
	if !ok {
		return nil, forbid("the query cannot be read by this proxy: a text or a comment in it has no end, " +
			"or a name in it is not ASCII")
	}
	var out []named
	start := true
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w.kind == wordText:
			out = append(out, namesInText(bigqueryHost, w.text)...)
			continue
		case w.kind == wordSign:
			start = w.text == ";" || start && w.text == "("
			continue
		}
		if why := unread(words, i, start); why != nil {
			return nil, why
		}
		start = false
		var parts []string
		parts, i = pathAt(words, i)
		if len(parts) < 3 || len(parts) == 3 && strings.EqualFold(parts[1], "INFORMATION_SCHEMA") {
			continue // a dataset, or a region, of the project that the query runs in
		}
		out = append(out, named{bigqueryHost, "projects/" + parts[0] + "/datasets/" + parts[1]})
	}
	return out, nil
}

// unread refuses a word that makes a query one that cannot be read. start says that a statement
// begins with it.
func unread(words []word, at int, start bool) *refusal {
	upper := strings.ToUpper(words[at].text)
	cannot := forbid("a query with %.40q cannot be read by this proxy", upper)
	switch {
	case slices.Contains(unreadWords, upper), words[at].kind == wordQuoted && strings.ContainsAny(upper, ":\\"):
		return cannot
	case words[at].kind == wordQuoted || !start:
		return nil
	case !slices.Contains(statements, upper):
		return cannot
	case upper == "CREATE" || upper == "DROP" || upper == "ALTER":
		if at+1 == len(words) || !slices.Contains(defined, strings.ToUpper(words[at+1].text)) {
			return cannot
		}
	}
	return nil
}

// pathAt returns the parts of the path that begins at a word, and where it ends. A quoted name may
// be a whole path.
func pathAt(words []word, at int) (parts []string, end int) {
	add := func(w word) {
		if w.kind == wordQuoted {
			parts = append(parts, strings.Split(w.text, ".")...)
		} else {
			parts = append(parts, w.text)
		}
	}
	add(words[at])
	for {
		// Without quotes, a project may have dashes in it: acme-data.reports.daily.
		for at+2 < len(words) && words[at+1].text == "-" && words[at+1].kind == wordSign &&
			words[at+1].joined && words[at+2].joined && words[at+2].kind != wordText && words[at+2].kind != wordSign {
			parts[len(parts)-1] += "-" + words[at+2].text
			at += 2
		}
		if at+2 >= len(words) || words[at+1].text != "." || words[at+1].kind != wordSign ||
			words[at+2].kind == wordText || words[at+2].kind == wordSign {
			return parts, at
		}
		add(words[at+2])
		at += 2
	}
}

type wordKind int

const (
	wordName   wordKind = iota // a keyword, an identifier or a number
	wordQuoted                 // an identifier in backquotes
	wordText                   // a string
	wordSign                   // anything else, one character
)

type word struct {
	kind wordKind
	text string
	// joined is that nothing is between it and the word before it.
	joined bool
}

// lex splits a query into words, and reports whether all of it could be.
func lex(query string) (words []word, ok bool) {
	joined := false
	for i := 0; i < len(query); {
		if length := between(query[i:]); length != 0 {
			i, joined = i+max(length, 0), false
			if length < 0 {
				return nil, false
			}
			continue
		}
		c := query[i]
		end := i + 1
		kind := wordSign
		switch {
		case c == '`':
			at := strings.IndexByte(query[end:], '`')
			if at < 0 || strings.Contains(query[end:end+at], `\`) {
				return nil, false
			}
			words = append(words, word{wordQuoted, query[end : end+at], joined})
			i, joined = end+at+1, true
			continue
		case c == '"' || c == '\'':
			text, length := quoted(query[i:], rawBefore(words, joined))
			if length == 0 {
				return nil, false
			}
			words = append(words, word{wordText, text, joined})
			i, joined = i+length, true
			continue
		case c >= 0x80: // a space that is none here, or a letter that looks like another
			return nil, false
		case isWordByte(c):
			kind = wordName
			for end < len(query) && isWordByte(query[end]) {
				end++
			}
		}
		words = append(words, word{kind, query[i:end], joined})
		i, joined = end, true
	}
	return words, true
}

// between returns the length of what is no word: a space or a comment; -1 for a comment without an end.
func between(query string) int {
	switch {
	case strings.ContainsRune(" \t\n\r\f\v", rune(query[0])):
		return 1
	case query[0] == '#' || strings.HasPrefix(query, "--"):
		if end := strings.IndexByte(query, '\n'); end >= 0 {
			return end
		}
		return len(query)
	case strings.HasPrefix(query, "/*"):
		if end := strings.Index(query[2:], "*/"); end >= 0 {
			return end + 4
		}
		return -1
	}
	return 0
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// rawBefore reports whether the word right before a quote makes a raw string of it: r"...".
func rawBefore(words []word, joined bool) bool {
	if !joined || len(words) == 0 || words[len(words)-1].kind != wordName {
		return false
	}
	switch strings.ToLower(words[len(words)-1].text) {
	case "r", "rb", "br":
		return true
	}
	return false
}

// quoted returns the text of a string at the beginning, and its length with the quotes; 0 if it has
// no end. In a raw string a backslash is itself, but a quote behind it ends nothing either.
func quoted(query string, raw bool) (text string, length int) {
	quote := query[:1]
	if strings.HasPrefix(query, strings.Repeat(quote, 3)) {
		quote = query[:3]
	}
	for i := len(quote); i < len(query); i++ {
		switch {
		case query[i] == '\\':
			i++
		case strings.HasPrefix(query[i:], quote):
			inner := query[len(quote):i]
			if !raw && strings.Contains(inner, `\`) {
				inner = unescape(inner)
			}
			return inner, i + len(quote)
		case len(quote) == 1 && query[i] == '\n':
			return "", 0
		}
	}
	return "", 0
}

// unescape reads the escapes of a string as far as they could hide the name of a bucket. A string
// with one that it does not know is read as it is and once more without its backslashes.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		digits, base := 0, 16
		switch text[i] {
		case 'x', 'X':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		case '0', '1', '2', '3':
			digits, base = 3, 8
			i--
		}
		if digits > 0 && i+digits < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+1+digits], base, 32); err == nil {
				b.WriteRune(rune(n))
				i += digits
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
