package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// An idle minion with one partition waits for a task with a blocking move, the command
// BLMOVE: when a message comes into the list ready, the server moves it to the minion's
// claim list and returns it. So the message is in some list at the server at every moment.
// If the reply is lost, the message is in the claim list, where a later script finds it
// (see absorb.lua).
//
// The command blocks its connection, so it has a connection of its own, and a second one to
// end the wait: when Dequeue has to return, or has to look at something else, it sends CLIENT
// UNBLOCK with the id of the waiting connection. The move may succeed at that very moment,
// so ending it has the same result as waiting for it: perhaps a message. A server that
// can't be told (an ACL may forbid it) is given shorter waits, which end by themselves, and
// if need be the connection is closed. Then it is not known whether the move took a message,
// and the next Dequeue asks the server for the tasks that the minion holds.

// mover runs the blocking moves of a consumer, one at a time. Dequeue alone uses it.
type mover struct {
	client *redis.Client
	conn   *redis.Conn // the connection that waits
	id     int64       // its id at the server, for CLIENT UNBLOCK; 0 if the server does not tell it
	// minions is a key of the queue, for a write that changes nothing; see unblock.
	minions string
	result  chan moveResult // capacity 1: the result of the move
	trip    time.Duration   // how long it took to open the connection: at least a round trip

	unheard bool // a move ended without a reply, so the server may still carry it out
}

// moveResult is the result of a blocking move.
type moveResult struct {
	msg    string // the message; "" if none came in time
	err    error
	waited time.Duration
	cut    bool // the move was ended by closing its connection
}

// start begins a move that lasts until a message comes, but at most for wait. If the server
// can't be told to end the move, start also limits it to due, the time until the next
// scheduled task. The result comes on the channel.
func (m *mover) start(ctx context.Context, b *Broker, k *keys, minion string, wait, due time.Duration) (<-chan moveResult, error) {
	if m.client == nil {
		client, err := b.blocking(ctx, k.ready)
		if err != nil {
			return nil, err
		}
		opened := time.Now()
		conn, id, err := dedicated(ctx, client)
		if err != nil {
			return nil, ended(ctx, b.fault("connect", err))
		}
		m.client, m.conn, m.result = client, conn, make(chan moveResult, 1)
		m.id, m.minions, m.trip = id, k.minions, time.Since(opened)
	}
	if m.id == 0 {
		wait = min(wait, due)
	}
	seconds := strconv.FormatFloat(max(min(wait, b.cfg.slice), time.Millisecond).Seconds(), 'f', 3, 64)
	cmd := redis.NewStringCmd(context.Background(), "blmove", k.ready, k.claim(minion), "left", "right", seconds)
	conn, result, began := m.conn, m.result, time.Now()
	go func() {
		_ = conn.Process(context.Background(), cmd)
		msg, err := cmd.Result()
		if err == redis.Nil {
			err = nil
		}
		result <- moveResult{msg: msg, err: b.fault("wait for a task", err), waited: time.Since(began)}
	}()
	return result, nil
}

// dedicated opens a connection for one user, and returns the id of the connection at the
// server, 0 if the server does not tell it. After an error the client is closed. A connection
// must not be closed while it is in use, so if ctx ends before the request does, the
// goroutine of the request closes it.
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

// fatal reports whether an error makes a connection useless. The server's refusal of a
// command does not.
func fatal(err error) bool {
	var reply redis.Error
	return !errors.As(err, &reply)
}

// How long end waits for a move to end before it closes the connection.
const (
	endWithin = 500 * time.Millisecond // after CLIENT UNBLOCK; with a distant server twice a round trip
	endMost   = 5 * time.Second        // the most for a distant server
	endItself = 250 * time.Millisecond // where the server can't be told; most moves end then, as their time is over
	endSoon   = 10 * time.Millisecond  // the same when the caller has no time
	endAgain  = 2 * time.Millisecond   // between two CLIENT UNBLOCK, if the server did not know of the move
)

// end ends a move that is under way and returns its result: perhaps a message, which came
// at the last moment.
//
// If now is set, a server that can't be told to end the move gets hardly any time to end it
// by itself. If hurry is set the caller's context has ended. Otherwise a distant server gets
// the time that its answer takes, since closing the connection costs more: several round
// trips for a new one, and a search for a message that the move may have taken.
func (m *mover) end(now, hurry bool) moveResult {
	within := endWithin
	if !hurry {
		within = min(max(within, 2*m.trip), endMost)
	}
	wait := endItself
	if now {
		wait = endSoon
	}
	if m.id != 0 {
		wait = within
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	for ended := false; !ended; {
		again := (<-chan time.Time)(nil)
		if m.id != 0 {
			switch blocked, err := m.unblock(within); {
			case err != nil:
				over.Reset(0)
			case !blocked: // the move has ended, or has not reached the server yet
				again = time.After(endAgain)
			}
		}
		select {
		case r := <-m.result:
			return r
		case <-again:
		case <-over.C:
			ended = true
		}
	}
	_ = m.client.Close() // this closes the connection, too, and so ends the move here
	r := <-m.result
	r.cut = true
	return r
}

// unblock tells the server to end the move, and reports whether the move was blocked.
//
// While a server accepts no writes, during CLIENT PAUSE with the mode WRITE or a failover,
// it postpones the move. CLIENT UNBLOCK of a postponed command crashes servers older than
// mid-2025. So the command is sent in a transaction with a write. The server postpones that,
// too, and so the transaction runs only when the move is no longer postponed. The write
// removes a member that does not exist.
func (m *mover) unblock(within time.Duration) (blocked bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var told *redis.IntCmd
	_, _ = m.client.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.ZRem(ctx, m.minions, "")
		told = tx.ClientUnblock(ctx, m.id)
		return nil
	})
	return told.Val() == 1, told.Err()
}

// taken is called with each result. After an error the connection is not used again: another
// server may have taken over.
func (m *mover) taken(r moveResult) {
	if r.err != nil || r.cut {
		m.unheard = true
		m.close()
	}
}

// fence returns how long after now the server may still carry out a move of this consumer,
// which is leaving and begins no other. That can only be a move without a reply, which may
// still be on its way to the server.
func (m *mover) fence() time.Duration {
	if m.unheard {
		return leftFenceFor
	}
	return 0
}

// close closes both connections. No move is under way.
func (m *mover) close() {
	if m.client != nil {
		_ = m.conn.Close()
		_ = m.client.Close()
		m.client = nil
	}
}

// blocking returns a client for commands that block, to the server that has key. It has two
// connections, one that waits and one to end the wait.
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
