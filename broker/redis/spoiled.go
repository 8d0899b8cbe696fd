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

// A key of a queue can be of another type than the scripts expect: somebody else has
// written it. Every script that needs it fails then. That stops this queue and no other.

// replyError is an error that the server has told within a script's reply.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError implements [redis.Error].
func (replyError) RedisError() {}

// isSpoiled reports whether an error is a server's reply about a key of another type.
// Old servers put the line of the script in front of the code.
func isSpoiled(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.Contains(reply.Error(), "WRONGTYPE ")
}

// errText returns what a server said, without what was made of it.
func errText(err error) string {
	var reply redis.Error
	if errors.As(err, &reply) {
		return reply.Error()
	}
	return err.Error()
}

// spoiledPause is how often the log tells of a queue with a key of another type.
const spoiledPause = time.Minute

// telling knows when the log has told of a key of another type: of a queue, or of the
// namespace, which is nil. It is the broker's, since a consumer may fail by that and be
// replaced.
type telling struct {
	mu sync.Mutex
	at map[*keys]time.Time
}

// due reports whether the log is to tell of it, and notes that it does.
func (t *telling) due(k *keys) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, told := t.at[k]
	if told && time.Since(last) < spoiledPause {
		return false
	}
	if t.at == nil {
		t.at = make(map[*keys]time.Time)
	}
	t.at[k] = time.Now()
	return true
}

// spoiled logs which keys of a queue are of another type, now and then.
func (c *consumer) spoiled(ctx context.Context, k *keys, err error) {
	if !c.b.told.due(k) {
		return
	}
	text := "redis: a key of a queue is of another type, so the queue can't be served in full; delete or rename the key"
	if !c.single {
		text += "; the other queues are served"
	}
	c.b.log.Error(text, "queue", k.queue, "keys", c.b.wrongKeys(ctx, k, c.minion), "error", err)
}

// wrongKeys says which keys of a queue are of another type. There is none where
// that can't be told, or was mended meanwhile.
func (b *Broker) wrongKeys(ctx context.Context, k *keys, minion string) string {
	want := k.types()
	if minion != "" {
		want = append(want, typed{k.flight(minion), "hash"}, typed{k.claim(minion), "list"})
	}
	pipe := b.rdb.Pipeline()
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

// typed is a key and its type.
type typed struct{ key, is string }

// types returns the keys of a queue that every queue may have, with their types.
func (k *keys) types() []typed {
	return []typed{
		{k.ready, "list"}, {k.held, "list"}, {k.odd, "list"},
		{k.gone, "set"}, {k.stop, "set"},
		{k.state, "hash"}, {k.later, "hash"}, {k.unique, "hash"}, {k.dead, "hash"},
		{k.about, "hash"}, {k.halt, "hash"}, {k.flows, "hash"}, {k.outbox, "hash"},
		{k.due, "zset"}, {k.minions, "zset"}, {k.watch, "zset"}, {k.keep, "zset"},
		{k.meta, "string"},
	}
}
