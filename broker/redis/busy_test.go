package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
)

// While a script keeps the server busy, a consumer can't be opened: that fails at once, with the
// reason. After the script has ended it succeeds at once.
func TestRegisteringAtABusyServer(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	busy := stall.Start(t)
	s := redistest.Start(t, path, "--lua-time-limit", "5")
	b := open(t, s.URL())
	in, err := b.Inbox(t.Context(), broker.NewID(broker.KindParty, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1}) // registers the queue
	admin, killer := s.Client(), s.Client()
	ended := make(chan error, 1)
	go func() { ended <- admin.Eval(context.Background(), "while true do end", nil).Err() }()
	for {
		if err := killer.Ping(t.Context()).Err(); err != nil && strings.HasPrefix(err.Error(), "BUSY") {
			break
		}
	}
	for range 6 {
		start := time.Now()
		_, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
		if took := time.Since(start); took > busy.Late(time.Second) {
			t.Errorf("registering failed after %v: %v", took, err)
		}
		if err == nil || !strings.Contains(err.Error(), "BUSY") || !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("registering at a busy server: %v", err)
		}
	}
	if err := killer.ScriptKill(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the script ended by itself")
	}
	start := time.Now()
	c, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(t.Context()) }()
	if took := time.Since(start); took > busy.Late(time.Second) {
		t.Errorf("registering took %v after the server was no longer busy", took)
	}
	// The pub/sub connection works, too.
	box := broker.NewID(broker.KindParty, "", 0)
	other, err := b.Inbox(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	_ = in
	if err := b.Post(t.Context(), box, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for {
		mail, err := other.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(mail.Squads.Posts) > 0 {
			break
		}
	}
}
