package task

import (
	"errors"
	"fmt"
)

// SubmitError says which calls of a submission were not stored, or are not
// known to be. The others are stored. Sending the failed ones again is safe
// whatever happened: a Call keeps its id, so there never is a second task.
type SubmitError struct {
	Failed []FailedCall // in the order of the submission; at least one
	Total  int          // how many calls were submitted
}

// FailedCall is a part of a [SubmitError].
type FailedCall struct {
	Index int    // among the submitted calls
	ID    ID     // zero if the call never got one
	Name  string // of the task
	Err   error  // wraps ErrInvalid, ErrTooLarge, ErrDuplicate, ErrUnavailable or ErrIndeterminate
}

// Error names the first call that failed, and how many did.
func (e *SubmitError) Error() string {
	if len(e.Failed) == 0 {
		return "submit failed"
	}
	first := e.Failed[0]
	msg := fmt.Sprintf("submit %s: %v", first.Name, first.Err)
	if len(e.Failed) > 1 {
		msg = fmt.Sprintf("%s (and %d more of %d)", msg, len(e.Failed)-1, e.Total)
	}
	return msg
}

// Unwrap returns the errors of the failed calls.
func (e *SubmitError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}

// Indeterminate reports whether some of the failed calls may have been stored.
func (e *SubmitError) Indeterminate() bool { return errors.Is(e, ErrIndeterminate) }

// failed reports whether err, of a submission, says that the call at index was
// not stored.
func failed(err error, index int) bool {
	if err == nil {
		return false
	}
	var sub *SubmitError
	if !errors.As(err, &sub) {
		return true
	}
	for _, f := range sub.Failed {
		if f.Index == index {
			return true
		}
	}
	return false
}
