package flow

import (
	"context"
	"errors"
	"maps"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/base/guard"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
)

// Members of a flow that wait for others are stored as blocked tasks. To start one, a driver
// reads its record, puts the result that it waits for among its arguments, and releases it to
// its queue. If there can be no such result, the task starts without it, with the reason in its
// metadata. Its minion then fails the task with that reason, so that the user learns why.

// ReasonKey is the key in the metadata of a task that starts without the result that it waits
// for. The value is the reason.
const ReasonKey = "arbiter.upstream"

// start starts blocked members: a task, the first member of a pipe, or all members of a group.
// up is the result that they get, or nil for none. Members that are not blocked any more,
// because they were started before or cancelled, stay as they are.
//
// A flow that has no member left to wait for is noted in w.empty. It will make no arrival: it
// is empty, or a driver that had counted the last of its members has died. [work.advance] moves
// it on before the arrival that has started it is confirmed.
func (w *work) start(ctx context.Context, id broker.ID, up *upstream) error {
	if id.Kind() == broker.KindTask {
		return w.release(ctx, []broker.ID{id}, up)
	}
	limit := broker.MaxBatch
	if id.Kind() == broker.KindPipe {
		limit = 1
	}
	for from, live := 0, false; ; {
		page, err := w.f.Members(ctx, id, from, limit, false)
		if errors.Is(err, broker.ErrNotFound) {
			return nil // it ended long ago
		}
		if err != nil {
			return wrap("members", err)
		}
		var tasks []broker.ID
		for _, m := range page {
			live = live || !m.State.Final()
			switch {
			case m.State.Final():
			case m.ID.Kind() == broker.KindTask:
				tasks = append(tasks, m.ID)
			default:
				if err := w.start(ctx, m.ID, up); err != nil {
					return err
				}
			}
		}
		if err := w.release(ctx, tasks, up); err != nil {
			return err
		}
		if from += len(page); len(page) == 0 || limit == 1 {
			if !live {
				w.empty = append(w.empty, id)
			}
			return nil
		}
	}
}

// blockedPart bounds how many records are read at once, because arguments can be large.
const blockedPart = 100

// release puts the result among the arguments of blocked tasks, and makes them pending.
func (w *work) release(ctx context.Context, ids []broker.ID, up *upstream) error {
	for len(ids) > 0 {
		part := ids[:min(len(ids), blockedPart)]
		ids = ids[len(part):]
		tasks, err := w.f.Blocked(ctx, part)
		errs, err := split(err, len(part))
		if err != nil {
			return wrap("blocked", err)
		}
		if err := w.giveUp(ctx, part, errs); err != nil {
			return wrap("blocked", err)
		}
		var batch []*broker.Task
		size := 0
		for _, t := range tasks {
			if t == nil {
				continue
			}
			t, err := w.compose(ctx, t, up)
			if err != nil {
				return err
			}
			if size += t.Size(); size > broker.MaxBatchBytes && len(batch) > 0 {
				if err := w.releaseBatch(ctx, batch); err != nil {
					return err
				}
				batch, size = nil, t.Size()
			}
			batch = append(batch, t)
		}
		if err := w.releaseBatch(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// giveUp cancels blocked tasks whose records are damaged for good, so that their flow can end.
// It returns any other error: a newer driver may be able to read that record.
func (w *work) giveUp(ctx context.Context, ids []broker.ID, errs []error) error {
	var damaged []broker.ID
	for i, err := range errs {
		switch {
		case err == nil:
		case errors.Is(err, broker.ErrMalformed):
			w.Log.Error("a blocked task can't be read and is canceled", "task.id", ids[i].String(), "error", err)
			damaged = append(damaged, ids[i])
		default:
			return err
		}
	}
	if len(damaged) == 0 {
		return nil
	}
	w.canceled = true
	_, err := w.Broker.Cancel(ctx, damaged)
	return err
}

// releaseBatch makes tasks pending.
func (w *work) releaseBatch(ctx context.Context, batch []*broker.Task) error {
	if len(batch) == 0 {
		return nil
	}
	return wrap("release", w.f.Release(ctx, batch))
}

// compose returns a blocked task as it is to run, with the result that it waits for among its
// arguments. If that can't be, the task is to run without it, and its metadata says why.
func (w *work) compose(ctx context.Context, t *broker.Task, up *upstream) (*broker.Task, error) {
	ready := *t
	ready.Flow.Blocked, ready.Delay = false, 0
	if t.Flow.Upstream == "" {
		return &ready, nil
	}
	var why error
	if up == nil {
		why = errors.New("no task before it has a result")
	} else {
		value, bad, err := up.value(ctx, t.Codec)
		if err == nil && bad == nil && w.seals(t.Codec) {
			bad, err = w.checkReceiver(ctx, t, up)
		}
		if err != nil {
			return nil, err
		}
		if why = bad; why == nil {
			ready.Payload, why = w.insert(t, value)
		}
	}
	if why != nil {
		ready.Payload = t.Payload
		if ready.Meta = withReason(t.Meta, w.sealReason(t, why.Error())); ready.Check(w.limits()) != nil {
			ready.Meta = t.Meta
		}
		return &ready, nil
	}
	ready.Flow.Upstream = ""
	return &ready, nil
}

// withReason returns metadata with a reason added.
func withReason(meta map[string]string, why string) map[string]string {
	meta = maps.Clone(meta)
	if meta == nil {
		meta = make(map[string]string, 1)
	}
	meta[ReasonKey] = why
	return meta
}

// insert returns the arguments of a task with a value added, sealed if its codec seals.
func (w *work) insert(t *broker.Task, value []byte) (payload []byte, err error) {
	j, s, err := w.combiner(t.Codec)
	if err != nil {
		return nil, err
	}
	defer guard.Codec(t.Codec, "AppendArg", &err)
	payload = t.Payload
	if s != nil {
		if payload, err = w.stepArgs(s, t); err != nil {
			return nil, err
		}
	}
	payload, err = j.AppendArg(nil, payload, t.Flow.Upstream, value)
	if err == nil && s != nil {
		payload, err = sealStep(s, t, payload)
	}
	if err == nil && len(payload) > w.limits().Payload {
		err = tooLarge("payload", len(payload), w.limits().Payload)
	}
	return payload, err
}

func (w *work) limits() broker.Limits { return w.Broker.Limits().WithDefaults() }

// combiner returns the codec with the name in its capability to combine values that are not
// sealed, and the codec as a sealer, which is nil if it does not seal.
func (w *work) combiner(name string) (codec.Combiner, codec.Sealer, error) {
	c, err := codec.ByName(name, w.Codecs...)
	if err != nil {
		return nil, nil, err
	}
	j, ok := seal.Plain(c).(codec.Combiner)
	if !ok {
		return nil, nil, errors.New("codec " + name + " can't combine values")
	}
	return j, seal.Of(c), nil
}
