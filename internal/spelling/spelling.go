// Package spelling finds which word was probably meant by one that does not exist.
package spelling

import "strings"

// Nearest returns the candidate that takes the fewest changed letters to become word,
// capitals aside, or "" if none is near: more than a third of word would be wrong.
// Of equally near ones it is the first.
func Nearest(word string, candidates []string) string {
	best, cost := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if d := Distance(word, c); d < cost {
			best, cost = c, d
		}
	}
	return best
}

// Distance returns how many letters have to be put in, left out or changed to turn a
// into b, capitals aside.
func Distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1) // row[j] is the Distance from a[:i] to b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
