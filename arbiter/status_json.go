package arbiter

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
)

// statusJSON is a Status in JSON. The keys task_type, state, result and meta are the original's.
type statusJSON struct {
	TaskType    string       `json:"task_type"`
	State       broker.Phase `json:"state"`
	Result      any          `json:"result"`
	ResultError string       `json:"result_error,omitempty"`
	Omitted     bool         `json:"result_omitted,omitempty"`
	ID          task.ID      `json:"id"`
	Detail      string       `json:"detail,omitempty"`
	Error       *Failure     `json:"error,omitempty"`
	ErrorTry    int          `json:"error_attempt,omitempty"`
	ErrorAt     time.Time    `json:"error_at,omitzero"`
	Name        string       `json:"name,omitempty"`
	Queue       string       `json:"queue,omitempty"`
	Attempts    int          `json:"attempts,omitempty"`
	Retried     int          `json:"retried,omitempty"`
	Minion      *task.ID     `json:"minion,omitempty"`
	DueAt       time.Time    `json:"due_at,omitzero"`
	EnqueuedAt  time.Time    `json:"enqueued_at,omitzero"`
	StartedAt   time.Time    `json:"started_at,omitzero"`
	FinishedAt  time.Time    `json:"finished_at,omitzero"`

	Meta map[string]string `json:"meta,omitempty"`
}

// MarshalJSON encodes the status. These keys are the original's: task_type, state, result and meta. The key state has the
// original's word, which is initiated, running or done ([Status.Phase]). The key detail has [Status.State]: scheduled,
// blocked, pending, retrying or parked for initiated; running for running; succeeded, failed, canceled or expired for done.
//
// These keys are added, too: id, error (the fields of [Failure]), name, queue, attempts, retried, minion, and the times
// due_at, enqueued_at, started_at and finished_at in the form of RFC 3339. A task that is being retried has the error of its
// last failed attempt, with the number and time of the attempt in error_attempt and error_at.
//
// Unknown values are left out, except result, which is null unless the task succeeded. If the result can't be decoded,
// result_error has the error. If a group's status has left it out, result_omitted is true.
//
// A group or pipe also has the original's keys initiated, running and done, the numbers of its members, callback and
// finalizers in these states, and tasks, which are their statuses. Each has its result and a task_type of task, callback or
// finalize, or group or pipe for a member that is one. These are added: size, quorum and succeeded, which count only the
// members; more, the number of members that are not listed; results_omitted, killed and reason; see [FlowStatus].
//
// Values that JSON does not have become strings: numbers that are not finite, and keys of maps that are not strings.
func (st Status) MarshalJSON() ([]byte, error) {
	out := statusJSON{
		TaskType: cmp.Or(st.Type, client.KindName(st.ID)), State: st.Phase(), ID: st.ID, Error: st.Error,
		ErrorTry: st.ErrorAttempt, ErrorAt: st.ErrorAt, Meta: st.Meta, Omitted: st.ResultOmitted,
		Name: st.Name, Queue: st.Queue, Attempts: st.Attempts, Retried: st.Retried,
		DueAt: st.Due, EnqueuedAt: st.Enqueued, StartedAt: st.Started, FinishedAt: st.Finished,
	}
	if st.State != broker.StateUnknown {
		out.Detail = st.State.String()
	}
	if !st.Minion.IsZero() {
		out.Minion = &st.Minion
	}
	if st.State == broker.StateSucceeded && !st.ResultOmitted {
		result, err := st.Result()
		if err != nil {
			out.ResultError = err.Error()
		} else {
			out.Result = forJSON(result)
		}
	}
	if st.Flow != nil {
		return json.Marshal(st.Flow.json(out))
	}
	return json.Marshal(out)
}

// forJSON replaces the values that encoding/json refuses, among the types that a codec decodes into an any.
func forJSON(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
	case []any:
		for i := range v {
			v[i] = forJSON(v[i])
		}
	case map[string]any:
		for k, e := range v {
			v[k] = forJSON(e)
		}
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[fmt.Sprint(k)] = forJSON(e)
		}
		return m
	case time.Time: // RFC 3339 has only years from 0 to 9999
		if y := v.Year(); y < 0 || y > 9999 {
			return v.String()
		}
	}
	return v
}
