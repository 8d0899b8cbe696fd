package redis_test

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// A half-open pub/sub connection is noticed and replaced, and inboxes are told that they may have
// missed messages.
func TestSilentSubscription(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	line := redisproxy.Start(t, server.Addr())
	b := open(t, line.URL())
	box := broker.NewID(broker.KindParty, "", 0)
	in, err := b.Inbox(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	line.Inject(redisproxy.Fault{Match: redisproxy.Named("ping"), Do: redisproxy.HalfOpen})
	began := time.Now()
	for {
		mail, err := in.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if mail.Gap {
			break
		}
	}
	if d := time.Since(began); d > time.Minute {
		t.Errorf("the half-open connection was replaced after %v, want at most a minute", d)
	}
	// The gap may have been told before the new connection listens. So the next result comes either
	// itself or as another gap.
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	enqueue(t, b, newTask("q", func(x *broker.Task) { x.Inbox = box }))
	settle(t, c, succeed(dequeue(t, c, 1, time.Second, "q")[0], "3"))
	mail, err := in.Receive(t.Context())
	if err != nil || (len(mail.Notices) == 0 && !mail.Gap) {
		t.Fatalf("received %+v, %v, want a result or a gap", mail, err)
	}
}

// If the server does not confirm a subscription in time, the error says that this was a timeout. The
// minion depends on it: it then says if the process itself was too busy to read the confirmation.
func TestUnconfirmedSubscription(t *testing.T) {
	t.Parallel()
	line := redisproxy.Start(t, miniredis.RunT(t).Addr())
	b := open(t, line.URL())
	line.Inject(redisproxy.Fault{Match: redisproxy.Named("subscribe"), Do: redisproxy.HalfOpen, Times: -1})
	_, err := b.Inbox(t.Context(), broker.NewID(broker.KindParty, "", 0))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("the error is %v, want a timeout of a broker that is unavailable", err)
	}
}

// slowWriter delays each command, so that concurrent ones queue behind it.
type slowWriter struct{ net.Conn }

func (s slowWriter) Write(p []byte) (int, error) {
	time.Sleep(100 * time.Microsecond)
	return s.Conn.Write(p)
}

// If one listener leaves a channel while another one subscribes to it, the UNSUBSCRIBE of the first
// does not end the subscription of the second.
func TestListenersTakeTurns(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	server := redistest.Start(t, path)
	client := goredis.NewClient(&goredis.Options{
		Addr: server.Addr,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return slowWriter{conn}, err
		},
	})
	defer func() { _ = client.Close() }()
	b, err := redis.New(client)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	raw := server.Client()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { taking(t, b, raw) })
	}
	wg.Wait()
}

// taking opens an inbox again and again while the one before is being closed, and checks that the
// channel always has a subscriber.
func taking(t *testing.T, b *redis.Broker, raw *goredis.Client) {
	box := broker.NewID(broker.KindParty, "", 0)
	channel := redis.DefaultNamespace + ":inbox:" + hex.EncodeToString(box[:])
	in, err := b.Inbox(t.Context(), box)
	for range 100 {
		if err != nil {
			t.Error(err)
			return
		}
		ended := make(chan error)
		go func(old broker.Inbox) { ended <- old.Close() }(in)
		in, err = b.Inbox(t.Context(), box)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		n, err := raw.PubSubNumSub(t.Context(), channel).Result()
		if err != nil || n[channel] != 1 {
			t.Errorf("subscribers of channel %s: %v, %v, want 1", channel, n, err)
			return
		}
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}

// An interruption of the pub/sub connection is logged as one warning, and another line tells when the
// connection is back.
func TestInterruptedSubscriptionIsLogged(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	line := redisproxy.Start(t, server.Addr())
	logs := &lines{}
	b := open(t, line.URL(), redis.Logger(slog.New(slog.NewTextHandler(logs, nil))))
	in, err := b.Inbox(t.Context(), broker.NewID(broker.KindParty, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	line.Refuse(true)
	line.Cut()
	for range 3 { // the hub tries to reconnect meanwhile
		if _, err := in.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	line.Refuse(false)
	for !strings.Contains(logs.String(), "the pub/sub connection is back") {
		if _, err := in.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(logs.String(), "level=WARN msg=\"redis: the pub/sub connection was interrupted"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, logs.String())
	}
}
