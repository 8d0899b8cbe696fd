package redis

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// popper waits for one message at a time with a blocking move, on a connection
// of its own. The message is in the minion's claim list when it returns, and
// stays there whatever happens to the reply.
type popper struct {
	mu      sync.Mutex
	client  *redis.Client
	waiting bool        // a move is under way, or its result not taken
	result  chan popped // capacity 1
	wg      sync.WaitGroup
	closed  bool
}

type popped struct {
	msg string // empty if the time was over
	err error
}

// start begins a move unless one is under way.
func (p *popper) start(ctx context.Context, b *Broker, k *keys, minion string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting || p.closed {
		return nil
	}
	if p.client == nil {
		client, err := b.blocking(ctx, k.ready)
		if err != nil {
			return err
		}
		p.client = client
	}
	if p.result == nil {
		p.result = make(chan popped, 1)
	}
	p.waiting = true
	client := p.client
	p.wg.Go(func() {
		msg, err := client.BLMove(b.ctx, k.ready, k.claim(minion), "LEFT", "RIGHT", b.cfg.slice).Result()
		if err == redis.Nil {
			err = nil
		}
		p.result <- popped{msg, fault("wait for a task", err)}
	})
	return nil
}

// results is where the result of the move arrives; nil if none was started.
func (p *popper) results() <-chan popped {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.result
}

// taken says that a result was received. After an error the connection is not
// used again: the server may be another one by now.
func (p *popper) taken(r popped) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = false
	if r.err != nil && p.client != nil {
		_ = p.client.Close()
		p.client = nil
	}
}

func (p *popper) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting
}

// close ends a move that is under way, and waits for its end.
func (p *popper) close() {
	p.mu.Lock()
	p.closed = true
	if p.client != nil {
		_ = p.client.Close()
		p.client = nil
	}
	p.mu.Unlock()
	p.wg.Wait()
}
