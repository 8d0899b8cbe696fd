package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// This file saves the state of tasks that are not over. The hash steps of a partition has the
// records of all its tasks; steps.lua has the format. A minion that settles a task knows whether
// it has saved or read state for it, and then the settle script removes the records of a task that
// has ended. All other records are removed by the sweep, when it forgets the id of the task: those
// of dead letters, which a requeue still needs, of tasks that ended while they waited, and
// of tasks that got a signal that they never asked for.

var _ broker.Steps = (*Broker)(nil)

// SaveStep implements [broker.Steps].
func (b *Broker) SaveStep(ctx context.Context, d *broker.Delivery, s broker.Step) error {
	return do(ctx, func() error {
		if err := b.alive(ctx); err != nil {
			return err
		}
		if err := s.Check(); err != nil {
			return err
		}
		wait := (s.Wait + time.Millisecond - 1) / time.Millisecond // rounded up
		reply, err := b.aboutSteps(ctx, scriptStepSave, d, s.Name, int64(wait), s.Data, broker.MaxSteps, broker.MaxStepBytes)
		if err != nil {
			return err
		}
		return notSaved(reply, "task "+d.ID.String()+": step "+s.Name)
	})
}

// aboutSteps runs a script for the saved state of a task, if the consumer of the delivery is
// one of this client.
func (b *Broker) aboutSteps(ctx context.Context, s *script, d *broker.Delivery, args ...any) (any, error) {
	q, c := b.queues.known(d.Queue), b.consumers.find(d.Minion)
	if q == nil || c == nil {
		return nil, lost(d)
	}
	k := q.partition(d.ID)
	// The state is removed with the settlement also if the reply is lost.
	c.noteSteps(d)
	reply, err := s.run(ctx, b, []string{k.flight(c.minion), k.claim(c.minion), k.minions, k.unreadable, k.steps},
		append([]any{c.minion, d.ID[:], binary.BigEndian.AppendUint32(nil, d.Attempt)}, args...)...)
	if err == nil && reply == nil {
		err = lost(d)
	}
	return reply, err
}

// noteSteps remembers that a task may have saved state, until it is settled.
func (c *consumer) noteSteps(d *broker.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok := c.held.get(d.ID); ok && h.attempt == d.Attempt {
		if c.stepped == nil {
			c.stepped = make(map[broker.ID]struct{})
		}
		c.stepped[d.ID] = struct{}{}
	}
}

// notSaved returns the error for the reply of a script that saves a record; nil if it is saved.
func notSaved(reply any, what string) error {
	switch reply := reply.(type) {
	case []any:
		if n := toInt(item(reply, 1)); n >= broker.MaxSteps {
			return fmt.Errorf("%s: %w: it has %d steps and signals, the limit is %d", what, broker.ErrSteps, n, broker.MaxSteps)
		}
		return fmt.Errorf("%s: %w: %d bytes, the limit is %d", what, broker.ErrSteps, toInt(item(reply, 2)), broker.MaxStepBytes)
	case int64:
		if reply == -2 {
			return unreadableSteps(what)
		}
	}
	return nil
}

// unreadableSteps is the error for saved state that can't be read.
func unreadableSteps(what string) error {
	return fmt.Errorf("%s: %w: the saved state of the task; kill the task, and send it again", what, broker.ErrMalformed)
}

// LoadSteps implements [broker.Steps].
func (b *Broker) LoadSteps(ctx context.Context, d *broker.Delivery) (broker.Saved, error) {
	return ask(ctx, func() (out broker.Saved, err error) {
		if err := b.alive(ctx); err != nil {
			return out, err
		}
		reply, err := b.aboutSteps(ctx, scriptStepLoad, d)
		if err != nil {
			return out, err
		}
		what := "task " + d.ID.String()
		list, ok := reply.([]any)
		if !ok {
			return out, unreadableSteps(what)
		}
		at := toInt(item(list, 0))
		for i := 1; i+1 < len(list); i += 2 {
			if err := readRecord(&out, at, toString(list[i]), toString(list[i+1])); err != nil {
				return broker.Saved{}, fmt.Errorf("%s: %w: kill the task, and send it again", what, err)
			}
		}
		return out, nil
	})
}

// readRecord adds a record, which is described in steps.lua, to out. now is in unix ms.
func readRecord(out *broker.Saved, now int64, name, record string) error {
	const version = 1
	kind := byte(0)
	if len(name) > 0 {
		kind, name = name[0], name[1:]
	}
	switch {
	case len(record) > 0 && record[0] > version:
		return fmt.Errorf("step or signal %.40q: %w %d", name, broker.ErrVersion, record[0])
	case kind == 's' && len(record) >= 7 && record[0] == version:
		s := broker.Step{Name: name, Data: []byte(record[7:])}
		if due := binary.BigEndian.Uint64(append([]byte{0, 0}, record[1:7]...)); due > 0 {
			s.Wait = time.Duration(int64(due)-now) * time.Millisecond
		}
		out.Steps = append(out.Steps, s)
		return nil
	case kind == 'g' && len(record) >= 18 && record[0] == version && len(record) >= 18+int(record[17]):
		end := 18 + int(record[17])
		out.Signals = append(out.Signals, broker.Signal{
			ID: broker.ID([]byte(record[1:17])), Name: name, Codec: record[18:end], Data: []byte(record[end:]),
		})
		return nil
	}
	return fmt.Errorf("step or signal %.40q: %w", name, broker.ErrMalformed)
}

// Signal implements [broker.Steps].
func (b *Broker) Signal(ctx context.Context, id broker.ID, s broker.Signal) error {
	return do(ctx, func() error {
		if err := b.alive(ctx); err != nil {
			return err
		}
		if err := s.Check(); err != nil {
			return err
		}
		what := "task " + id.String() + ": signal " + s.Name
		known := false
		err := b.queues.each(ctx, []broker.ID{id}, func(k *keys, _ []int) ([]bool, error) {
			head := append(append(append([]byte(nil), s.ID[:]...), byte(len(s.Codec))), s.Codec...)
			reply, err := scriptSignal.run(ctx, b, []string{k.state, k.due, k.scheduled, k.ready, k.watch, k.steps},
				k.wake, id[:], s.Name, head, s.Data, broker.MaxSteps, broker.MaxStepBytes)
			if err != nil {
				return nil, err
			}
			if state, is := reply.(string); is {
				return nil, fmt.Errorf("%s: %w", what, unreadableState(state))
			}
			n, _ := reply.(int64)
			known = n != 0 || reply == nil
			if _, full := reply.([]any); full {
				known = true
			}
			switch n {
			case 3:
				return nil, fmt.Errorf("%s: %w", what, broker.ErrEnded)
			case 4:
				return nil, fmt.Errorf("%s: %w: give it another name", what, broker.ErrSignaled)
			}
			return []bool{known}, notSaved(reply, what)
		})
		if err == nil && !known {
			err = fmt.Errorf("%s: %w", what, broker.ErrNotFound)
		}
		return err
	})
}

// DropSteps implements [broker.Steps].
func (b *Broker) DropSteps(ctx context.Context, id broker.ID, from string) error {
	return do(ctx, func() error {
		if err := b.alive(ctx); err != nil {
			return err
		}
		if err := broker.CheckName("step", from); err != nil {
			return err
		}
		what, found := "dead letter "+id.String(), false
		err := b.queues.each(ctx, []broker.ID{id}, func(k *keys, _ []int) ([]bool, error) {
			reply, err := scriptStepDrop.run(ctx, b, []string{k.dead, k.steps}, id[:], from)
			if err != nil {
				return nil, err
			}
			n, _ := reply.(int64)
			switch found = n != 0; n {
			case 3:
				return nil, fmt.Errorf("%s: step %s: %w", what, from, broker.ErrNotFound)
			case -2:
				return nil, unreadableSteps(what)
			}
			return []bool{found}, nil
		})
		if err == nil && !found {
			err = fmt.Errorf("%s: %w", what, broker.ErrNotFound)
		}
		return err
	})
}
