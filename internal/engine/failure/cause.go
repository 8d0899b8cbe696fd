package failure

import (
	"context"
	"errors"
)

// CauseName returns the name of a context's cause of end, as a child gets it.
func CauseName(cause error) string {
	for _, name := range []string{"canceled", "timeout", "expired", "stopping", "lease lost"} {
		if errors.Is(cause, known[name]) {
			return name
		}
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return "deadline exceeded"
	}
	return "context canceled"
}

// EncodeCause returns the message that tells a child why a context has ended. It is nil
// for a deadline, because the child has the same deadline.
func EncodeCause(ctx context.Context) []byte {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	return []byte(CauseName(context.Cause(ctx)))
}

// DecodeCause returns the cause of a name that CauseName returned.
func DecodeCause(name []byte) error {
	if err := known[string(name)]; err != nil {
		return err
	}
	return context.Canceled
}
