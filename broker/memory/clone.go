package memory

import (
	"maps"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// The broker shares no memory with its callers: it copies data that comes in and data that
// goes out.

func copyBytes(b []byte) []byte { return append([]byte(nil), b...) }

// copyMeta returns nil for an empty map.
func copyMeta(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

func copyTask(t *broker.Task) *broker.Task {
	c := *t
	c.Payload = copyBytes(t.Payload)
	c.Meta = copyMeta(t.Meta)
	c.Lane = copyLane(t.Lane)
	return &c
}

func copyLane(l *broker.Lane) *broker.Lane {
	if l == nil {
		return nil
	}
	c := *l
	c.Limits = slices.Clone(l.Limits)
	return &c
}

// copyOutcome returns a copy with the texts of the error cut to their limits.
func copyOutcome(o *broker.Outcome) *broker.Outcome {
	c := *o
	c.Result = copyBytes(o.Result)
	if o.Err != nil {
		f := *o.Err
		f.Trim()
		f.Chain = slices.Clone(f.Chain)
		f.Codes = slices.Clone(f.Codes)
		c.Err = &f
	}
	return &c
}
