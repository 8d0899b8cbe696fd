// Package cut shortens texts for errors, logs and records.
package cut

import "unicode/utf8"

// Mark is the end of a text that was cut.
const Mark = "…"

// To returns s if it has at most limit bytes. Otherwise it returns the first characters of s, followed by [Mark], with at
// most limit bytes in total. It never splits a character. If the limit is too small for the mark, it returns no text.
func To(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - len(Mark)
	if end < 0 {
		return ""
	}
	// A character has at most utf8.UTFMax bytes. Bytes that are not UTF-8 have no characters to keep whole.
	for at := end; at >= 0 && at > end-utf8.UTFMax; at-- {
		if utf8.RuneStart(s[at]) {
			end = at
			break
		}
	}
	return s[:end] + Mark
}
