package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A key of a queue can be of another Redis type than the scripts expect, if another program
// has written it. Then the server refuses each command on it with WRONGTYPE, and each script
// that needs the key fails. This file recognizes these errors, so that callers can go on with
// the other queues, and logs which keys are wrong, so that an operator can delete or rename
// them. The log tells it once a minute for each queue, since all operations of the queue fail.

// replyError is an error text that came as a part of a script's reply. It is an error of
// the server, like the reply to a command.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError implements [redis.Error].
func (replyError) RedisError() {}

// isWrongType reports whether an error is the server's reply that a key is of the wrong type.
// The code need not come first: old servers put the line of the script before it.
func isWrongType(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.Contains(reply.Error(), "WRONGTYPE ")
}

// errText returns the text of the server's reply that err wraps, or else the text of err.
func errText(err error) string {
	if reply, ok := errors.AsType[redis.Error](err); ok {
		return reply.Error()
	}
	return err.Error()
}

// wrongTypePause is the time between two log messages about the same queue.
const wrongTypePause = time.Minute

// wrongTypeLog has the times of the last log messages about keys of the wrong type, by partition;
// nil stands for the keys of the namespace. The broker has it and not a consumer, since a
// consumer may end with such an error and be replaced by another one.
type wrongTypeLog struct {
	mu sync.Mutex
	at map[*keys]time.Time
}

// due reports whether a message is to be logged now, and if so notes the time.
func (t *wrongTypeLog) due(k *keys) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, told := t.at[k]
	if told && time.Since(last) < wrongTypePause {
		return false
	}
	if t.at == nil {
		t.at = make(map[*keys]time.Time)
	}
	t.at[k] = time.Now()
	return true
}

// logWrongType logs which keys of a queue are of the wrong type, unless it did a moment ago.
func (c *consumer) logWrongType(ctx context.Context, k *keys, err error) {
	if !c.b.wrongTypes.due(k) {
		return
	}
	text := "redis: a key of a queue is of another type, so the queue can't be served in full; delete or rename the key"
	if !c.single {
		text += "; the other queues are served"
	}
	c.b.log.Error(text, "queue", k.queue, "keys", c.b.wrongKeys(ctx, k, c.minion), "error", err)
}

// logFailed logs that some housekeeping of a queue has failed; what says which. It is tried again
// and again. If a key is of the wrong type, it fails each time until somebody repairs the queue.
func (b *Broker) logFailed(ctx context.Context, k *keys, what string, err error) {
	if !isWrongType(err) {
		b.log.Warn("redis: can't "+what+"; will try again", "queue", k.queue, "error", err)
	} else if b.wrongTypes.due(k) {
		b.log.Error("redis: can't "+what+": a key of the queue is of another type; delete or rename the key",
			"queue", k.queue, "keys", b.wrongKeys(ctx, k, ""), "error", err)
	}
}

// wrongKeys returns a text that lists the keys of the wrong type, among the keys of a queue
// and those of a minion in it (unless minion is ""). It is "" if the server does not tell,
// or if the keys were corrected meanwhile.
func (b *Broker) wrongKeys(ctx context.Context, k *keys, minion string) string {
	want := k.types()
	if minion != "" {
		want = append(want, typed{k.flight(minion), "hash"}, typed{k.claim(minion), "list"})
	}
	pipe := b.client(ctx).Pipeline()
	for _, w := range want {
		pipe.Type(ctx, w.key)
	}
	cmds, err := pipe.Exec(ctx)
	if err != nil {
		return ""
	}
	var wrong []string
	for i, w := range want {
		is, _ := cmds[i].(interface{ Val() string })
		if is == nil || is.Val() == "none" || is.Val() == w.is {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s is a %s, not a %s", w.key, is.Val(), w.is))
	}
	return strings.Join(wrong, "; ")
}

// typed is a key and the Redis type that it should have.
type typed struct{ key, is string }

// types returns the keys of a queue that do not belong to a minion or a task.
func (k *keys) types() []typed {
	return []typed{
		{k.ready, "list"}, {k.checked, "list"}, {k.unreadable, "list"},
		{k.canceled, "set"}, {k.stop, "set"},
		{k.state, "hash"}, {k.scheduled, "hash"}, {k.unique, "hash"}, {k.holders, "hash"}, {k.dead, "hash"},
		{k.about, "hash"}, {k.halt, "hash"}, {k.flows, "hash"}, {k.outbox, "hash"}, {k.paused, "hash"}, {k.steps, "hash"},
		{k.due, "zset"}, {k.minions, "zset"}, {k.watch, "zset"}, {k.retention, "zset"},
		{k.aside, "zset"}, {k.back, "zset"},
		{k.meta, "string"}, {k.bound, "string"},
	}
}
