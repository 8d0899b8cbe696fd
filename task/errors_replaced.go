package task

import "fmt"

// ReplacedError is the error of a task that another call has replaced, with [ConflictReplace] or
// [ConflictLatest]. It wraps [ErrCanceled]. A task that was replaced while its minion held it has
// an error that wraps ErrCanceled only. No signature covers the field By: anybody who can write to
// the broker can end a waiting task like this.
type ReplacedError struct {
	ID   ID     // the task that was canceled
	Name string // its name; empty if the broker does not tell
	By   ID     // the task that took its place
}

// Error names the task and its successor.
func (e *ReplacedError) Error() string {
	name := "task"
	if e.Name != "" {
		name += " " + e.Name
	}
	return fmt.Sprintf("%s %s: canceled: task %s, which has the same unique key, has replaced it", name, e.ID, e.By)
}

// Unwrap returns [ErrCanceled].
func (e *ReplacedError) Unwrap() error { return ErrCanceled }
