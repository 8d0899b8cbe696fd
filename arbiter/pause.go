package arbiter

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// This file has the methods for operators that pause tasks.

// PauseQueue stops the hand-out of a queue's tasks, on all minions, until [Arbiter.ResumeQueue]. It holds for tasks that wait
// and for those that come later, and stays when all programs are restarted. The queue needs no tasks yet. Tasks that minions hold
// go on, and so do everything else about tasks that wait: they can be sent, killed and looked up, and they expire. A squad
// with a member in the queue does not start; its error wraps [task.ErrPaused].
//
// Pausing what is paused is no error, nor is resuming what is not. The error wraps [task.ErrInvalid], [task.ErrUnsupported] if
// the broker has no [broker.Pauser], [task.ErrUnavailable] or [task.ErrClosed]. If it also wraps [task.ErrIndeterminate], the
// change may have been made, or made in a part of the queue's partitions: call the method again. The other methods about pauses
// return the same errors.
func (a *Arbiter) PauseQueue(ctx context.Context, queue string) error {
	return a.pauses(queue, "pause", "Arbiter.PauseQueue", func(b broker.Pauser) error {
		return b.Pause(ctx, queue, broker.Pause{})
	})
}

// ResumeQueue ends what [Arbiter.PauseQueue] began. The tasks that wait start at once. What [Arbiter.PauseTask] and
// [Arbiter.PauseKey] have paused stays paused.
func (a *Arbiter) ResumeQueue(ctx context.Context, queue string) error {
	return a.pauses(queue, "resume", "Arbiter.ResumeQueue", func(b broker.Pauser) error {
		return b.Resume(ctx, queue, broker.Pause{})
	})
}

// PauseTask is [Arbiter.PauseQueue] for the tasks of a queue with one name. The other tasks of the queue are handed out; only
// those that are behind a paused task in their sequence wait.
func (a *Arbiter) PauseTask(ctx context.Context, queue, name string) error {
	return a.pauseTask(queue, name, "pause", "Arbiter.PauseTask", func(b broker.Pauser, p broker.Pause) error { return b.Pause(ctx, queue, p) })
}

// ResumeTask ends what [Arbiter.PauseTask] began. The tasks that wait start at once, and before those that came later.
func (a *Arbiter) ResumeTask(ctx context.Context, queue, name string) error {
	return a.pauseTask(queue, name, "resume", "Arbiter.ResumeTask", func(b broker.Pauser, p broker.Pause) error { return b.Resume(ctx, queue, p) })
}

// PauseKey is [Arbiter.PauseQueue] for the tasks of a queue with one fairness key, see [task.FairKey]: those of one tenant, for
// example.
func (a *Arbiter) PauseKey(ctx context.Context, queue, key string) error {
	return a.pauseKey(queue, key, "pause", "Arbiter.PauseKey", func(b broker.Pauser, p broker.Pause) error { return b.Pause(ctx, queue, p) })
}

// ResumeKey ends what [Arbiter.PauseKey] began.
func (a *Arbiter) ResumeKey(ctx context.Context, queue, key string) error {
	return a.pauseKey(queue, key, "resume", "Arbiter.ResumeKey", func(b broker.Pauser, p broker.Pause) error { return b.Resume(ctx, queue, p) })
}

// Pauses returns what is paused in a queue: first the queue itself, then names, then keys, each sorted.
func (a *Arbiter) Pauses(ctx context.Context, queue string) (infos []broker.PauseInfo, err error) {
	err = a.pauses(queue, "pauses", "Arbiter.Pauses", func(b broker.Pauser) error {
		infos, err = b.Pauses(ctx, queue)
		return err
	})
	return infos, err
}

func (a *Arbiter) pauseTask(queue, name, verb, method string, f func(broker.Pauser, broker.Pause) error) error {
	what := fmt.Sprintf("%s task %.140q", verb, name)
	if err := broker.CheckName("task", name); err != nil { // an empty name would be the whole queue
		return fmt.Errorf("%s of queue %s: %w", what, queue, err)
	}
	return a.pauses(queue, what, method, func(b broker.Pauser) error { return f(b, broker.Pause{Task: name}) })
}

func (a *Arbiter) pauseKey(queue, key, verb, method string, f func(broker.Pauser, broker.Pause) error) error {
	what := fmt.Sprintf("%s key %.40q", verb, key)
	if key == "" {
		return fmt.Errorf("%s of queue %s: %w: the key is empty; use the key of task.FairKey, or pause the queue", what, queue, broker.ErrInvalid)
	}
	return a.pauses(queue, what, method, func(b broker.Pauser) error { return f(b, broker.Pause{Key: key}) })
}

// pauses calls f with the broker's Pauser. The error says what was to be done, in which queue.
func (a *Arbiter) pauses(queue, what, method string, f func(broker.Pauser) error) error {
	err := a.open()
	var b broker.Pauser
	if err == nil {
		err = broker.CheckName("queue", queue)
	}
	if err == nil {
		b, err = broker.PauserOf(a.b, method)
	}
	if err == nil {
		err = f(b)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s of queue %s: %w", what, queue, err)
}
