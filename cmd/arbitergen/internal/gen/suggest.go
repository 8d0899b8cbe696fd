package gen

import (
	"fmt"
	"strings"
)

// suggest returns "; did you mean x?" for the candidate that is most similar to word, or "" if none is similar.
func suggest(word string, candidates []string) string {
	best, least := "", 2 // accept one typing error, or two in a long word
	if len(word) > 5 {
		least = 3
	}
	for _, c := range candidates {
		if d := distance(word, c); d < least && d < len(c) {
			best, least = c, d
		}
		if best == "" && len(word) > 2 && strings.HasPrefix(c, word) {
			best = c
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance returns how many letters must be added, removed, changed or swapped with their neighbour to turn a into b.
func distance(a, b string) int {
	var before []int // the row before prev
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(prev[j]+cost, prev[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}
