package redis

import (
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// What scripts reply, read leniently: they are our own.

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

func toString(v any) string {
	s, _ := v.(string)
	return s
}

func toList(v any) []any {
	l, _ := v.([]any)
	return l
}

func toStrings(v any) []string { return texts(toList(v)) }

// texts returns those of a list that are strings.
func texts(list []any) []string {
	out := make([]string, 0, len(list))
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func toID(v any) (id broker.ID) {
	copy(id[:], toString(v))
	return id
}

// item returns an element of a reply, or nil if it is shorter.
func item(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

func toTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
