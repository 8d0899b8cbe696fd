package minion

import (
	"fmt"
	"log/slog"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/seal"
	"github.com/go-arbiter/arbiter/task"
)

// seals is what an attempt has beside the others if the codec of its task seals. The
// delivery stays as it was stored.
type seals struct {
	codec.Sealer
	args []byte            // not sealed
	meta map[string]string // the same
}

// unseal opens what the attempt begins with. An error says that nobody who has the key has
// sent this task as it is.
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

// opened returns what was in the seal of the attempt's task, nil if it has none.
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

// sealResult seals what the handler has returned; nothing, too.
func (a *attempt) sealResult(s codec.Sealer, out []byte) ([]byte, error) {
	o := broker.Outcome{State: broker.StateSucceeded, Name: a.d.Name, Result: out}
	if err := seal.Outcome(s, a.d.ID, &o); err != nil {
		return nil, fmt.Errorf("%w: %w", task.ErrBadResult, err)
	}
	return o.Result, nil
}

// sealer is what the outcome of the attempt is sealed with: the codec of the task, or
// another one of the minion's if the minion does not know that, or does not accept it.
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

// sealerOf is sealer by the name of the task's codec.
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
	if err := seal.Outcome(s, a.d.ID, o); err != nil { // which can only be a fault of a user's codec
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
