package task

import (
	"context"
	"time"
)

// Info is what a handler can know about the attempt it runs.
type Info struct {
	ID    ID
	Name  string
	Queue string

	// Attempt is 1 for the first and only ever grows: it can serve as a fencing
	// token towards systems that refuse an older one, for a process that was
	// stopped and woke up after its lease had ended.
	Attempt    uint32
	Retried    int // how often it failed before
	MaxRetries int // how often it may fail before it is given up
	Recoveries int // how many attempts were cut short by the death of a minion

	Meta     map[string]string // shared by all who ask: do not change it
	Enqueued time.Time         // by the submitter's clock

	// Submitter sends tasks from within this one.
	Submitter Submitter
}

type infoKey struct{}

// NewContext returns a context in which [FromContext] finds info. Minions call
// it, and tests of handlers can.
func NewContext(ctx context.Context, info *Info) context.Context {
	return context.WithValue(ctx, infoKey{}, info)
}

// FromContext returns what is known about the attempt that ctx belongs to, and
// whether it belongs to one; if not, the Info is empty.
func FromContext(ctx context.Context) (Info, bool) {
	info, ok := ctx.Value(infoKey{}).(*Info)
	if !ok || info == nil {
		return Info{}, false
	}
	return *info, true
}
