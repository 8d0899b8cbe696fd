package minion

import (
	"fmt"
	"log/slog"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// A codec that signs or encrypts seals a task's arguments and metadata, and its result or
// failure. An attempt opens the former before its handler starts, and seals the latter
// before they are stored. The seal is bound to the task's id and name, so a sealed value
// can't be moved to another task: see internal/engine/seal.

// seals has the opened values of an attempt whose task is sealed. The delivery stays as it
// was stored.
type seals struct {
	codec.Sealer
	args []byte            // the plain arguments
	meta map[string]string // the plain metadata
}

// unseal opens the arguments and metadata. An error means that the task was not sent like
// this by a holder of the key.
func (a *attempt) unseal() error {
	s := seal.Of(a.codec)
	if s == nil {
		return nil
	}
	args, meta, err := seal.Open(s, &a.d.Task)
	if err != nil {
		return fmt.Errorf("%w: %w", task.ErrBadArguments, err)
	}
	a.codec = &seals{s, args, meta}
	return nil
}

// opened returns the opened values of the attempt's task, or nil if it is not sealed.
func (a *attempt) opened() *seals {
	s, _ := a.codec.(*seals)
	return s
}

// meta returns the metadata of the task as it was sent.
func (a *attempt) meta() map[string]string {
	if s := a.opened(); s != nil {
		return s.meta
	}
	return a.d.Meta
}

// sealResult seals the handler's result, also if it is empty.
func (a *attempt) sealResult(s codec.Sealer, out []byte) ([]byte, error) {
	o := broker.Outcome{State: broker.StateSucceeded, Name: a.d.Name, Result: out}
	if err := seal.Outcome(s, a.d.ID, &o); err != nil {
		return nil, fmt.Errorf("%w: %w", task.ErrBadResult, err)
	}
	return o.Result, nil
}

// sealer returns the codec that seals the outcome of the attempt: the codec of the task
// or, if the minion does not know or accept that, the first of its own codecs that seals.
// It is nil if nothing is sealed.
func (a *attempt) sealer() codec.Sealer {
	if s := a.opened(); s != nil {
		return s.Sealer
	}
	if a.codec != nil {
		return seal.Of(a.codec)
	}
	return seal.First(a.s.r.codecs)
}

// sealerOf is sealer for the name of the task's codec.
func (r *run) sealerOf(name string) codec.Sealer {
	c, err := codec.ByName(name, r.codecs...)
	if err != nil {
		return seal.First(r.codecs)
	}
	return seal.Of(c)
}

// sealOutcome seals the outcome of a settlement that ends the task. The result is sealed
// already, unless middleware has not called the handler.
func (a *attempt) sealOutcome(st *broker.Settlement) {
	s := a.sealer()
	if s == nil {
		return
	}
	o := &st.Outcome
	done := o.State == broker.StateSucceeded && o.Result != nil
	if done {
		return
	}
	if err := seal.Outcome(s, a.d.ID, o); err != nil { // only a fault of the user's codec can cause this
		o.State, o.Result, o.Codec = broker.StateFailed, nil, s.Name()
		o.Err = task.NewFailure(fmt.Errorf("%w: %w", task.ErrBadResult, err))
		st.Submit = nil
		a.s.r.log.failed(slog.LevelError, "the outcome of the task can't be sealed", a.d, err)
	}
}

// sealRetry seals the failure of an attempt after which the task is retried.
func (a *attempt) sealRetry(st *broker.Settlement) {
	s := a.sealer()
	if s == nil {
		return
	}
	if err := seal.LastFailure(s, st); err != nil {
		st.Outcome.Err = nil
		a.s.r.log.failed(slog.LevelError, "the failure of the attempt can't be sealed", a.d, err)
	}
}
