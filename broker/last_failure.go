package broker

import (
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/internal/base/cut"
)

// The limits of a stored last failure. They are smaller than those of an outcome, since an
// outage can leave many tasks in retry at the same time.
const (
	MaxLastMessage = 2 << 10 // bytes of the message; a longer one is cut
	MaxLastStack   = 4 << 10 // bytes of the stack; a longer one is cut
	maxLastChain   = 4       // messages of the chain
	maxLastLink    = 256     // bytes of each message of the chain
	maxLastCodes   = 16
)

// LastFailure is the error of the last failed attempt at a task that is retried.
type LastFailure struct {
	Err     Failure   // message and stack cut to MaxLastMessage and MaxLastStack, the chain to a few messages
	Attempt uint32    // number of the start that failed, as in Delivery.Start
	At      time.Time // by the minion's clock, in ms, for display only; zero if not known
}

// LastFailure returns the failure that a look-up shows once the settlement is accepted: a
// copy that is cut to the limits. It is nil if the settlement is not a retry, or has no
// error. An earlier failure stays in that case.
func (s *Settlement) LastFailure() *LastFailure {
	if s.Verb != VerbRetry || s.Outcome.Err == nil {
		return nil
	}
	f := *s.Outcome.Err
	f.Message, f.Stack = cut.To(f.Message, MaxLastMessage), cut.To(f.Stack, MaxLastStack)
	f.Chain = slices.Clone(f.Chain[:min(len(f.Chain), maxLastChain)])
	for i := range f.Chain {
		f.Chain[i] = cut.To(f.Chain[i], maxLastLink)
	}
	f.Codes = slices.Clone(f.Codes[:min(len(f.Codes), maxLastCodes)])
	l := &LastFailure{Err: f, Attempt: s.Delivery.Start}
	if at := s.Outcome.Finished; !at.IsZero() {
		l.At = time.UnixMilli(at.UnixMilli()).UTC()
	}
	return l
}
