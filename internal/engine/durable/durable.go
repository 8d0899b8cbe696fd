// Package durable has the state of durable steps during one attempt at a task: what package step works
// with in a handler, and what a minion, or a child process for its minion, provides.
package durable

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/guard"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// Key is the key under which the context of an attempt has its *State.
type Key struct{}

// Store saves and loads the state of the task. Data is plain: the store seals and opens it.
type Store interface {
	Save(ctx context.Context, s broker.Step) error
	Load(ctx context.Context) (broker.Saved, error)
	// Await notes that the task, if the attempt ends with a snooze, is due when it gets the signal.
	Await(signal string)
}

// The kinds of a step: the first byte of its data. They are a stored format.
const (
	KindRun     = 'r' // the encoded result follows
	KindSleep   = 's'
	KindWait    = 'w' // for a signal
	KindOver    = 'o' // a wait whose time was over
	KindEach    = 'e' // the number of items that are done follows, in decimal
	KindChanged = 'c' // 1 or 0 follows
)

var kinds = map[byte]string{
	KindRun: "Run", KindSleep: "Sleep", KindWait: "Wait", KindOver: "Wait", KindEach: "Each", KindChanged: "Changed",
}

// State is the state of durable steps during one attempt. Its methods may be called concurrently.
type State struct {
	store  Store
	codec  codec.Codec // encodes results; it does not seal
	codecs []codec.Codec
	first  bool // no earlier attempt can have saved a step

	mu      sync.Mutex
	loaded  bool
	steps   map[string]broker.Step   // by name, as they were loaded
	signals map[string]broker.Signal // by name
	at      time.Time                // when they were loaded
	used    map[string]struct{}      // names that this attempt has used
	over    error                    // set once the attempt must end: the snooze
}

// New returns the state of an attempt that begins. first says that no earlier attempt can have saved a
// step. codecs are those that the program accepts.
func New(s Store, plain codec.Codec, codecs []codec.Codec, first bool) *State {
	return &State{store: s, codec: plain, codecs: codecs, first: first}
}

// Begin begins a step: the name must be new in this attempt. It returns the saved step of that name, if
// there is one. With signals, it loads the state in any case.
func (s *State) Begin(ctx context.Context, name string, signals bool, kinds ...byte) (data []byte, left time.Duration, found bool, err error) {
	if err := broker.CheckName("step", name); err != nil {
		return nil, 0, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return nil, 0, false, s.over
	}
	if _, twice := s.used[name]; twice {
		return nil, 0, false, fmt.Errorf("step %s: %w: the attempt has a step of that name already; give each step its own name, in a loop with the number of the round", name, broker.ErrInvalid)
	}
	if err := s.load(ctx, signals); err != nil {
		return nil, 0, false, fmt.Errorf("step %s: %w", name, err)
	}
	if s.used == nil {
		s.used = make(map[string]struct{})
	}
	s.used[name] = struct{}{}
	step, ok := s.steps[name]
	if !ok {
		return nil, 0, false, nil
	}
	if len(step.Data) == 0 || !slices.Contains(kinds, step.Data[0]) {
		return nil, 0, false, mismatch(name, step.Data)
	}
	return step.Data, step.Wait - time.Since(s.at), true, nil
}

// mismatch is the error for a step that was saved by another function of package step.
func mismatch(name string, data []byte) error {
	by := "a newer version of package step"
	if len(data) > 0 && kinds[data[0]] != "" {
		by = "step." + kinds[data[0]]
	}
	return fmt.Errorf("step %s: %w: it was saved by %s; give the step another name", name, broker.ErrInvalid, by)
}

// load loads the state, once. The caller holds s.mu.
func (s *State) load(ctx context.Context, signals bool) error {
	if s.loaded || s.first && !signals {
		return nil
	}
	at := time.Now()
	saved, err := s.store.Load(ctx)
	if err != nil {
		return err
	}
	s.loaded, s.at = true, at
	s.steps, s.signals = map[string]broker.Step{}, map[string]broker.Signal{}
	for _, step := range saved.Steps {
		if _, own := s.used[step.Name]; !own { // this attempt may have saved some before
			s.steps[step.Name] = step
		}
	}
	for _, one := range saved.Signals {
		s.signals[one.Name] = one
	}
	return nil
}

// Encode encodes the result of a step.
func (s *State) Encode(name string, result any) (data []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("step %s: %w: its result can't be encoded: %w", name, broker.ErrInvalid, err)
		}
	}()
	defer guard.Codec(s.codec.Name(), "AppendValue", &err)
	return s.codec.AppendValue(nil, result)
}

// Decode decodes the stored result of a step into a pointer.
func (s *State) Decode(name string, data []byte, into any) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("step %s: %w: its stored result does not fit %T; give the step another name: %w", name, broker.ErrInvalid, into, err)
		}
	}()
	defer guard.Codec(s.codec.Name(), "DecodeValue", &err)
	return s.codec.DecodeValue(data, into)
}

// Save saves a step that Begin has begun.
func (s *State) Save(ctx context.Context, name string, wait time.Duration, kind byte, data []byte) error {
	err := s.store.Save(ctx, broker.Step{Name: name, Data: append([]byte{kind}, data...), Wait: wait})
	if err != nil {
		return fmt.Errorf("step %s: %w", name, err)
	}
	return nil
}

// Signal decodes the signal of that name into the pointer into, if the task has it.
func (s *State) Signal(name string, into any) (found bool, err error) {
	s.mu.Lock()
	one, ok := s.signals[name]
	s.mu.Unlock()
	if !ok {
		return false, nil
	}
	c, err := codec.ByName(one.Codec, s.codecs...)
	if err == nil {
		err = func() (err error) {
			defer guard.Codec(c.Name(), "DecodeValue", &err)
			return seal.Plain(c).DecodeValue(one.Data, into)
		}()
	}
	if err != nil {
		return false, fmt.Errorf("signal %s: %w: %w", name, broker.ErrInvalid, err)
	}
	return true, nil
}

// Suspend ends the attempt: it returns the error that the handler must return, so that the task is due
// again after d or, if signal is not empty, when it has that signal. All further steps return it, too.
func (s *State) Suspend(name string, d time.Duration, signal string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if signal != "" {
		s.store.Await(signal)
	}
	s.over = fmt.Errorf("step %s: %w", name, task.Snooze(d))
	return s.over
}

// Left reports whether there are saved steps that this attempt has not used yet: an earlier one has come
// farther than this one.
func (s *State) Left() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range maps.Keys(s.steps) {
		if _, is := s.used[name]; !is {
			return true
		}
	}
	return false
}
