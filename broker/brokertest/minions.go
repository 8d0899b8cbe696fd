package brokertest

import (
	"maps"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The registry of living minions.
var minionTests = []test{
	{"Registered", minionRegistered, 0},
	{"LoadOfTheLastHeartbeat", minionLoad, needLapse},
	{"UnlistedAfterClose", minionGoneAfterClose, 0},
	{"UnlistedAfterCloseDuringAHeartbeat", minionGoneWhileItBeats, 0},
	{"UnlistedAfterDeath", minionGoneAfterDeath, needLapse},
	{"ByAnotherClient", minionByAnotherClient, 0},
	{"IDsNeverComeBack", minionIDs, 0},
}

func (r *rig) registry(b broker.Broker) map[broker.ID]broker.MinionInfo {
	r.Helper()
	infos, err := b.Minions(r.ctx)
	if err != nil {
		r.Fatalf("Minions: %v", err)
	}
	m := map[broker.ID]broker.MinionInfo{}
	for _, info := range infos {
		m[info.ID] = info
	}
	if len(m) != len(infos) {
		r.Fatalf("Minions lists a minion twice")
	}
	return m
}

func minionRegistered(r *rig) {
	if n := len(r.registry(r.Broker)); n != 0 {
		r.Fatalf("Minions of an empty broker lists %d minions", n)
	}
	start := r.Now()
	c, err := r.Broker.Consume(r.ctx, broker.ConsumerConfig{
		Queues: []string{"b", "a"}, Slots: 7, Host: "hôst", PID: 4711,
		Tasks: map[string]uint64{"t": 1 << 63, "no.schema": 0},
	})
	if err != nil {
		r.Fatalf("Consume: %v", err)
	}
	info, ok := r.registry(r.Broker)[c.ID()]
	if !ok {
		r.Fatalf("Minions does not list a new consumer")
	}
	slices.Sort(info.Queues)
	if !slices.Equal(info.Queues, []string{"a", "b"}) || info.Slots != 7 || info.Active != 0 ||
		info.Host != "hôst" || info.PID != 4711 ||
		!maps.Equal(info.Tasks, map[string]uint64{"t": 1 << 63, "no.schema": 0}) {
		r.Fatalf("the consumer is listed as %+v", info)
	}
	for _, at := range []time.Time{info.Started, info.Beat} {
		if at.Before(start.Add(-r.Slack)) || at.After(r.Now().Add(r.Slack)) {
			r.Fatalf("Started is %v and Beat is %v, want about %v", info.Started, info.Beat, start)
		}
	}
}

func minionLoad(r *rig) {
	m := r.minion()
	started := r.registry(r.Broker)[m.ID()].Started
	for _, active := range []int{3, 10, 0} {
		r.Advance(r.Lease / 10)
		now := r.Now()
		if err := m.Heartbeat(r.ctx, broker.Load{Active: active}); err != nil {
			r.Fatalf("Heartbeat: %v", err)
		}
		info := r.registry(r.Broker)[m.ID()]
		if info.Active != active || !info.Started.Equal(started) || info.Beat.Before(now.Add(-2*time.Millisecond)) {
			r.Fatalf("after a heartbeat with %d active slots the minion is listed as %+v", active, info)
		}
	}
}

func minionGoneAfterClose(r *rig) {
	a, b := r.minion(), r.minion()
	a.close()
	reg := r.registry(r.Broker)
	if _, there := reg[a.ID()]; there || len(reg) != 1 {
		r.Fatalf("Minions lists %v, want only the open consumer", reg)
	}
	b.close()
	if n := len(r.registry(r.Broker)); n != 0 {
		r.Fatalf("Minions lists %d minions after all have closed", n)
	}
}

// A heartbeat that is in flight must not register a closed consumer again.
func minionGoneWhileItBeats(r *rig) {
	for range 30 {
		m := r.minion()
		beating, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for n := 0; ; n++ {
				if err := m.Heartbeat(r.ctx, broker.Load{Active: n % 10}); err != nil {
					return
				}
				if n == 0 {
					close(beating)
				}
			}
		}()
		<-beating
		m.close()
		if _, there := r.registry(r.Broker)[m.ID()]; there {
			r.Fatalf("Minions lists a consumer after its Close")
		}
		<-ended
		if _, there := r.registry(r.Broker)[m.ID()]; there {
			r.Fatalf("a heartbeat that returned after Close registered the consumer again")
		}
	}
}

func minionGoneAfterDeath(r *rig) {
	a, b := r.minion(), r.minion()
	r.pass(r.Lease+r.Slack, b)
	reg := r.registry(r.Broker)
	if _, there := reg[a.ID()]; there || len(reg) != 1 {
		r.Fatalf("Minions lists %v, want only the living minion", reg)
	}
	r.Advance(r.Lease + r.Slack) // no consumer is left that could clean up
	if n := len(r.registry(r.Broker)); n != 0 {
		r.Fatalf("Minions lists %d minions after the end of their leases", n)
	}
}

func minionByAnotherClient(r *rig) {
	other := r.other()
	a, b := r.minion("a"), r.minionAt(other, "b")
	for _, c := range []broker.Broker{r.Broker, other} {
		reg := r.registry(c)
		if len(reg) != 2 || !slices.Equal(reg[a.ID()].Queues, []string{"a"}) || !slices.Equal(reg[b.ID()].Queues, []string{"b"}) {
			r.Fatalf("Minions lists %v, want both minions", reg)
		}
	}
}

func minionIDs(r *rig) {
	seen := map[broker.ID]bool{}
	for range 20 {
		m := r.minion()
		if seen[m.ID()] {
			r.Fatalf("two consumers have the id %s", m.ID())
		}
		seen[m.ID()] = true
		m.close()
	}
}
