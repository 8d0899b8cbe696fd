package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// popper waits for one message at a time with a blocking move, on a connection
// of its own. The message is in the minion's claim list when it returns, and
// stays there whatever happens to the reply. It belongs to whoever dequeues.
type popper struct {
	client *redis.Client
	conn   *redis.Conn // the one that waits
	id     int64       // its id at the server, to end a wait; 0 if that can't be had
	// minions is a key of the queue, for a write that does nothing.
	minions string
	result  chan popped   // capacity 1
	trip    time.Duration // about how long the server is away; more than that if it had to connect

	unheard bool // the server has not said what became of a move
}

type popped struct {
	msg    string // empty if the time was over
	err    error
	waited time.Duration
	cut    bool // we ended it by closing the connection
}

// start begins a move that lasts until a message comes, at most for wait. A server
// that can't be told to end it shall do so by itself when the next task is due.
func (p *popper) start(ctx context.Context, b *Broker, k *keys, minion string, wait, due time.Duration) (<-chan popped, error) {
	if p.client == nil {
		client, err := b.blocking(ctx, k.ready)
		if err != nil {
			return nil, err
		}
		opened := time.Now()
		conn, id, err := dedicated(ctx, client)
		if err != nil {
			return nil, ended(ctx, b.fault("connect", err))
		}
		p.client, p.conn, p.result = client, conn, make(chan popped, 1)
		p.id, p.minions, p.trip = id, k.minions, time.Since(opened)
	}
	if p.id == 0 {
		wait = min(wait, due)
	}
	seconds := strconv.FormatFloat(max(min(wait, b.cfg.slice), time.Millisecond).Seconds(), 'f', 3, 64)
	cmd := redis.NewStringCmd(context.Background(), "blmove", k.ready, k.claim(minion), "left", "right", seconds)
	conn, result, began := p.conn, p.result, time.Now()
	go func() {
		_ = conn.Process(context.Background(), cmd)
		msg, err := cmd.Result()
		if err == redis.Nil {
			err = nil
		}
		result <- popped{msg: msg, err: b.fault("wait for a task", err), waited: time.Since(began)}
	}()
	return result, nil
}

// dedicated opens a connection of a client for one user, and returns its id at the server;
// 0 if the server does not tell. After an error the client is closed. It is closed by the
// request where that outlasts ctx: such a connection may not be closed while it is in use.
func dedicated(ctx context.Context, client *redis.Client) (*redis.Conn, int64, error) {
	conn := client.Conn()
	shut := func() {
		_ = conn.Close()
		_ = client.Close()
	}
	id, err := askOr(ctx, func() (int64, error) {
		id, err := conn.ClientID(ctx).Result()
		if err != nil && fatal(err) {
			shut()
		}
		return id, err
	}, func(_ int64, err error) {
		if err == nil || !fatal(err) {
			shut()
		}
	})
	if err != nil && fatal(err) {
		return nil, 0, err
	}
	return conn, id, nil
}

// fatal says that the connection is of no use, and not that the server refuses
// a command.
func fatal(err error) bool {
	var reply redis.Error
	return !errors.As(err, &reply)
}

// How long the server may take to end a move, and how long one that can't be
// told to end is given to do so by itself: many do, when the time is over.
const (
	endWithin = 500 * time.Millisecond // or twice as long as the server is away, where nobody hurries
	endMost   = 5 * time.Second
	endItself = 250 * time.Millisecond
	endSoon   = 10 * time.Millisecond // where there is no time
	endAgain  = 2 * time.Millisecond  // until a server that does not know the move is told again
)

// end ends a move that is under way and returns what came of it: perhaps a
// message, at the last moment. Now says that there is no time for a server that
// can't be told to. Hurry says that the caller's context has ended. Otherwise a server
// that is far away has the time that its answer takes: a connection that is closed costs
// several round trips, and a search for what it may have brought.
func (p *popper) end(now, hurry bool) popped {
	within := endWithin
	if !hurry {
		within = min(max(within, 2*p.trip), endMost)
	}
	wait := endItself
	if now {
		wait = endSoon
	}
	if p.id != 0 {
		wait = within
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	for ended := false; !ended; {
		again := (<-chan time.Time)(nil)
		if p.id != 0 {
			switch blocked, err := p.unblock(within); {
			case err != nil:
				over.Reset(0)
			case !blocked: // it has ended, or has not come to the server yet
				again = time.After(endAgain)
			}
		}
		select {
		case r := <-p.result:
			return r
		case <-again:
		case <-over.C:
			ended = true
		}
	}
	_ = p.client.Close() // and the connection with it
	r := <-p.result
	r.cut = true
	return r
}

// unblock tells the server to end the move, and reports whether the server knew it.
// While a server lets no writes through, as during CLIENT PAUSE with the
// mode WRITE or a failover, it postpones the move. CLIENT UNBLOCK of a postponed
// command brings down servers older than mid-2025. So the command is part of a
// transaction with a write, which such a server postpones, too: it runs only when
// the move no longer waits for the end of the pause. The write does nothing.
func (p *popper) unblock(within time.Duration) (blocked bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var told *redis.IntCmd
	_, _ = p.client.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.ZRem(ctx, p.minions, "")
		told = tx.ClientUnblock(ctx, p.id)
		return nil
	})
	return told.Val() == 1, told.Err()
}

// taken says that a result was received. After an error the connection is not
// used again: the server may be another one by now.
func (p *popper) taken(r popped) {
	if r.err != nil || r.cut {
		p.unheard = true
		p.close()
	}
}

// fence returns for how long a move may still come to a consumer that leaves, and does
// not begin another one: it is on its way to the server at most.
func (p *popper) fence() time.Duration {
	if p.unheard {
		return leftFenceFor
	}
	return 0
}

func (p *popper) close() {
	if p.client != nil {
		_ = p.conn.Close()
		_ = p.client.Close()
		p.client = nil
	}
}

// blocking returns a client for commands that block, to the server of key: one
// connection waits, another one ends that.
func (b *Broker) blocking(ctx context.Context, key string) (*redis.Client, error) {
	var node *redis.Client
	switch c := b.rdb.(type) {
	case *redis.Client:
		node = c
	case *redis.ClusterClient:
		n, err := c.MasterForKey(ctx, key)
		if err != nil {
			return nil, b.fault("find the master of "+key, err)
		}
		node = n
	}
	o := *node.Options()
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 2, 0, 2, 2
	o.MaxRetries = -1
	o.ReadTimeout = b.cfg.slice + max(patience, o.ReadTimeout)
	o.ContextTimeoutEnabled = true
	return redis.NewClient(&o), nil
}
