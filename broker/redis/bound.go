package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// This file bounds how many tasks wait in a queue. Each partition has an equal share of the bound,
// since a script can't count the tasks of several. lua/waiting.lua says where it is stored, and
// the scripts that store tasks check it.
//
// The script enqueue_plain checks nothing and stores nothing in a partition with a bound. The
// process then uses the script enqueue, and remembers that for a while.

var _ broker.Bounder = (*Broker)(nil)

// boundedFor is for how long a process remembers that a partition has a bound.
const boundedFor = time.Minute

// boundedUntil says until when a partition counts as one with a bound.
type boundedUntil struct{ at atomic.Int64 } // unix time in ns

func (u *boundedUntil) note()    { u.at.Store(time.Now().Add(boundedFor).UnixNano()) }
func (u *boundedUntil) is() bool { at := u.at.Load(); return at > 0 && time.Now().UnixNano() < at }

// SetBound implements [broker.Bounder].
func (b *Broker) SetBound(ctx context.Context, queue string, most int) error {
	if err := broker.CheckBound(queue, most); err != nil {
		return err
	}
	return do(ctx, func() error {
		if err := b.alive(ctx); err != nil {
			return err
		}
		q, err := b.queues.find(ctx, queue)
		if err == nil && q == nil && most > 0 {
			q, err = b.queues.register(ctx, queue)
		}
		if err != nil || q == nil {
			return err
		}
		if most > 0 && most < len(q.parts) {
			return fmt.Errorf("bound of queue %s: %w: %d, want %d or more: the queue has so many partitions, and each has a share of the bound", queue, broker.ErrInvalid, most, len(q.parts))
		}
		for at, tries := 0, 0; at < len(q.parts); {
			reply, err := b.askBound(ctx, q.parts[at], strconv.Itoa(share(most, at, len(q.parts))), most)
			switch {
			case err != nil:
				return err
			case reply != nil:
				at++
			case tries == 3: // the queue is not registered (any more)
				return fmt.Errorf("redis bound: %w: the registration of queue %s is lost again and again", broker.ErrUnavailable, queue)
			default:
				if q, err = b.queues.register(ctx, queue); err != nil {
					return err
				}
				at, tries = 0, tries+1
			}
		}
		return nil
	})
}

// share returns the share of a bound that one of so many partitions has.
func share(most, at, of int) int {
	n := most / of
	if at < most%of {
		n++
	}
	return n
}

// Bound implements [broker.Bounder].
func (b *Broker) Bound(ctx context.Context, queue string) (most, waiting int, err error) {
	type bound struct{ most, waiting int }
	found, err := ask(ctx, func() (out bound, err error) {
		if err := b.alive(ctx); err != nil {
			return out, err
		}
		if err := broker.CheckName("queue", queue); err != nil {
			return out, err
		}
		q, err := b.queues.find(ctx, queue)
		if err != nil || q == nil {
			return out, err
		}
		for _, k := range q.parts {
			reply, err := b.askBound(ctx, k, "", 0)
			if err != nil {
				return out, err
			}
			n, _ := strconv.Atoi(toString(item(toList(reply), 0)))
			out.most = max(out.most, n)
			out.waiting += int(toInt(item(toList(reply), 1)))
		}
		return out, nil
	})
	return found.most, found.waiting, err
}

// askBound runs the script bound.
func (b *Broker) askBound(ctx context.Context, k *keys, share string, most int) (any, error) {
	return scriptBound.run(ctx, b,
		[]string{k.meta, k.bound, k.ready, k.checked, k.scheduled, k.canceled, k.halt, k.lanes[lanesLined], k.paused, k.back}, share, most)
}

// fullMark begins the text that stands for a refusal in the reply of a script that stores tasks.
const fullMark = "\x00full"

// readFull returns the error for such a text; nil if it is another one.
func readFull(queue, text string) error {
	if len(text) != len(fullMark)+16 || text[:len(fullMark)] != fullMark {
		return nil
	}
	rest := []byte(text[len(fullMark):])
	return &broker.FullError{Queue: queue, Most: int(binary.BigEndian.Uint64(rest)), Waiting: int(binary.BigEndian.Uint64(rest[8:]))}
}
