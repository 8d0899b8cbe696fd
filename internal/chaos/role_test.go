//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/minion"
)

// config is what a process is told.
type config struct {
	Dir     string // of ledgers
	Name    string // such as m0.2
	URL     string
	Via     map[string]string // a server's address to that of the proxy in front of it
	Master  string            // its name, with Sentinel
	Cluster bool
	Skew    time.Duration // how far the process' clock is ahead
	Lease   time.Duration
	Queues  []string
	Slots   int       // of a minion
	Seed    uint64    // of a submitter's load
	Senders int       // how many of it send at a time
	Until   time.Time // and when they cease
	// Patience is how long anything may take once all faults are over.
	Patience time.Duration
	Poison   bool // whether there are tasks that end the processes that run them
	Outages  bool // whether there are nothing but outages, of many minions for the same task
}

// open returns a process' ledger and its broker.
func (c *config) open(ctx context.Context) (*Ledger, *redis.Broker, error) {
	c.Until = c.Until.Add(c.Skew)
	l, err := OpenLedger(c.Dir, c.Name, c.Skew)
	if err != nil {
		return nil, nil, err
	}
	go c.watch(ctx, l)
	for { // the server may be down at the moment
		b, err := c.connect(ctx)
		if err == nil {
			return l, b, nil
		}
		if ctx.Err() != nil {
			return nil, nil, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// slow is how late a process must be to say so. It is far less than what a
// minion has to spare between heartbeats.
const slow = 300 * time.Millisecond

// watch tells the ledger when the machine does not let the process run.
func (c *config) watch(ctx context.Context, l *Ledger) {
	const tick = 50 * time.Millisecond
	for last := time.Now(); ctx.Err() == nil; {
		time.Sleep(tick)
		now := time.Now()
		if now.Sub(last) > tick+slow {
			l.Note(Event{Kind: Hit, Fault: SlowProcess, Target: c.Name, At: l.at(last), Until: l.at(now)})
		}
		last = now
	}
}

func minionRole(ctx context.Context, text json.RawMessage) error {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	l, b, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	file, err := os.Create(filepath.Join(c.Dir, c.Name+".log")) // most of what it tells was meant to fail
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	log := slog.New(slog.NewTextHandler(file, nil))
	m := minion.New(b, minion.Queues(c.Queues...), minion.Logger(log), minion.DrainTimeout(0), minion.MaxRecoveries(deaths), ofMinions)
	if err := (worker{c.Name, l, func() { os.Exit(poisonStatus) }}).register(m); err != nil {
		return err
	}
	fmt.Println("ready")
	if err := m.Run(ctx, c.Slots); err != nil && !errors.Is(err, minion.ErrAbandoned) && ctx.Err() == nil {
		return err
	}
	return nil
}
