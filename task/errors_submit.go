package task

import (
	"errors"
	"fmt"
)

// SubmitError lists the calls of a submission that were not stored, or of which it is
// unknown. All others are stored. Sending the failed ones again is safe in any case: a Call
// keeps its id and never makes a second task.
type SubmitError struct {
	Failed []FailedCall // in the order of the submission; at least one
	Total  int          // how many calls were submitted
}

// FailedCall is one entry of [SubmitError].
type FailedCall struct {
	Index int    // the position of the call in the submission, from 0
	ID    ID     // zero if the call never got one
	Name  string // of the task
	Err   error  // one of the errors that Call.Send lists
}

// Error names the first failed call with its error, and tells how many more failed.
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

// Indeterminate reports whether some failed calls may have been stored all the same.
func (e *SubmitError) Indeterminate() bool { return errors.Is(e, ErrIndeterminate) }

// failed reports whether the call at index was not stored, by the error of its submission.
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
