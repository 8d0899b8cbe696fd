package redis

import (
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The client returns the reply of a script as nested values of type any: int64, string,
// []any, or nil for false. The functions here read them without errors: a value of another
// type is 0, "" or empty, and so is an element that is missing. The scripts are part of this
// package, so a reply of another form comes from a proxy or a damaged server. Where such a
// reply could lose tasks, the caller checks its length.

// toInt reads a number, or text that is a number, such as a score of a sorted set.
func toInt(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case string:
		f, _ := strconv.ParseFloat(v, 64)
		return int64(f)
	}
	return 0
}

// toString reads text.
func toString(v any) string {
	s, _ := v.(string)
	return s
}

// toList reads a list.
func toList(v any) []any {
	l, _ := v.([]any)
	return l
}

// toStrings reads a list of texts.
func toStrings(v any) []string { return texts(toList(v)) }

// texts returns the elements of a list that are texts.
func texts(list []any) []string {
	out := make([]string, 0, len(list))
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// toID reads an id of 16 bytes.
func toID(v any) (id broker.ID) {
	copy(id[:], toString(v))
	return id
}

// item returns the element of a list at an index, or nil if the list is shorter.
func item(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

// toTime returns a time given in unix ms; 0 is the zero time.
func toTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
