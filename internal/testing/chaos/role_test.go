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

// config is the configuration of a process.
type config struct {
	Dir     string // the folder of the ledgers
	Name    string // name of the process, such as m0.2
	URL     string
	Via     map[string]string // address of the proxy for the address of each server
	Master  string            // name of the master, with Sentinel
	Cluster bool
	Skew    time.Duration // how far the clock of the process is ahead
	Lease   time.Duration
	Queues  []string
	Slots   int       // of a minion
	Seed    uint64    // seed of the load of a submitter
	Senders int       // number of goroutines of a submitter that send
	Until   time.Time // when they stop
	// Patience is how long a result may take after the last fault.
	Patience time.Duration
	Poison   bool   // send tasks that end the processes that run them
	Outages  bool   // the only faults are outages, and a task may meet many of them
	Held     string // a queue whose first minions take its tasks, start none and die; see holderRole
}

// open opens the ledger and the broker of a process.
func (c *config) open(ctx context.Context) (*Ledger, *redis.Broker, error) {
	c.Until = c.Until.Add(c.Skew)
	l, err := OpenLedger(c.Dir, c.Name, c.Skew)
	if err != nil {
		return nil, nil, err
	}
	go c.watch(ctx, l)
	for { // the server may be down
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

// slow is the delay from which on a process records that the machine was too slow. It is far less
// than a minion has to spare between heartbeats.
const slow = 300 * time.Millisecond

// watch records when the machine does not let the process run.
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
	file, err := os.Create(filepath.Join(c.Dir, c.Name+".log")) // most of the log is about intended faults
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	log := slog.New(slog.NewTextHandler(file, nil))
	m, err := minion.New(b, minion.Queues(c.Queues...), minion.Logger(log), minion.DrainTimeout(0), minion.MaxRecoveries(deaths), ofMinions, crowding())
	if err != nil {
		return err
	}
	if err := (worker{c.Name, c.Slots, l, func() { os.Exit(poisonStatus) }}).register(m); err != nil {
		return err
	}
	go func() { _ = scheduler(c.Name, b).Run(ctx) }()
	fmt.Println("ready")
	if err := m.Run(ctx, c.Slots); err != nil && !errors.Is(err, minion.ErrAbandoned) && ctx.Err() == nil {
		return err
	}
	return nil
}
