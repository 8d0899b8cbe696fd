package redis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// If the server does not allow the user a channel, the error says so at once. It does not say that
// the server does not answer.
func TestForbiddenChannel(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path)
	admin := s.Client()
	for name, c := range map[string]struct {
		channels string
		open     func(b *redis.Broker) error
	}{
		"of an inbox": {"&arbiter:minion:*", func(b *redis.Broker) error {
			_, err := b.Inbox(t.Context(), broker.NewID(broker.KindParty, "", 0))
			return err
		}},
		"of a minion": {"&arbiter:inbox:*", func(b *redis.Broker) error {
			_, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
			return err
		}},
		"beside one that is allowed": {"&arbiter:minion:*", func(b *redis.Broker) error {
			_, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"q", "r"}, Slots: 1})
			return err
		}},
		"beside a connection that listens": {"&arbiter:inbox:* &arbiter:post:*", func(b *redis.Broker) error {
			if _, err := b.Inbox(t.Context(), broker.NewID(broker.KindParty, "", 0)); err != nil {
				return err
			}
			_, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
			return err
		}},
		"of a post": {"&arbiter:inbox:* &arbiter:minion:*", func(b *redis.Broker) error {
			return b.Post(t.Context(), broker.NewID(broker.KindParty, "", 0), []byte("x"))
		}},
		"of a settlement": {"&arbiter:minion:* &arbiter:wake:*", func(b *redis.Broker) error {
			c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
			enqueue(t, b, newTask("q", func(x *broker.Task) { x.Inbox = broker.NewID(broker.KindParty, "", 0) }))
			_, err := c.Settle(t.Context(), []broker.Settlement{succeed(dequeue(t, c, 1, time.Second, "q")[0], "1")})
			return err
		}},
	} {
		user := strings.ReplaceAll(name, " ", "-")
		if err := admin.Do(t.Context(), "ACL", "SETUSER", user, "on", ">secret", "~*", "+@all", "resetchannels").Err(); err != nil {
			t.Fatal(err)
		}
		for channel := range strings.FieldsSeq(c.channels) {
			if err := admin.Do(t.Context(), "ACL", "SETUSER", user, channel).Err(); err != nil {
				t.Fatal(err)
			}
		}
		b := open(t, "redis://"+user+":secret@"+s.Addr)
		began := time.Now()
		err := c.open(b)
		if err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "can't publish") || !errors.Is(err, broker.ErrInvalid) || errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
}
