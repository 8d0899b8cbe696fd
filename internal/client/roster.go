package client

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A task that is pending may wait for a free slot, or for a minion that does not exist. To tell
// these apart, a check asks the broker for the living minions and sums up, for each queue, how
// many minions serve it, how busy they are, and which tasks they know.

// roster has the capabilities of the living minions, as of the last time they were asked.
type roster struct {
	at      time.Time // when they were asked
	minions int // how many live
	queues  map[string]*service // by queue: its minions
}

// service has the combined capabilities of the minions of one queue.
type service struct {
	minions, slots, active int

	// tasks has the names of the tasks that one of the minions knows, with the hashes of their
	// schemas. all is set if a minion does not list its tasks, so it may know any task.
	tasks map[string][]uint64
	all   bool
}

// newRoster sums up the living minions.
func newRoster(minions []broker.MinionInfo, at time.Time) *roster {
	r := &roster{at: at, minions: len(minions), queues: make(map[string]*service)}
	for i := range minions {
		m := &minions[i]
		for _, name := range m.Queues {
			s := r.queues[name]
			if s == nil {
				s = &service{tasks: make(map[string][]uint64)}
				r.queues[name] = s
			}
			s.minions++
			s.slots += m.Slots
			s.active += min(m.Active, m.Slots)
			s.all = s.all || m.Tasks == nil
			for task, schema := range m.Tasks {
				if !slices.Contains(s.tasks[task], schema) {
					s.tasks[task] = append(s.tasks[task], schema)
				}
			}
		}
	}
	return r
}

// trouble is the reason why a pending task does not start. All tasks with the same trouble
// share one log line.
type trouble struct {
	why   why
	queue string
	task  string // name of the task, for noHandler and noFit
}

// why is the kind of a trouble.
type why uint8

const (
	noTrouble why = iota
	noMinion // no minion serves the queue
	noHandler // no minion of the queue knows the task
	noFit // the minions that know the task have other parameters for it, or lack its codec
)

// troubleOf returns the reason why no minion can run tasks of a name and queue. If the name or
// queue isn't known, no trouble is assumed.
func (r *roster) troubleOf(of *kind) trouble {
	if of.Queue == "" {
		return trouble{}
	}
	s := r.queues[of.Queue]
	if s == nil {
		return trouble{why: noMinion, queue: of.Queue}
	}
	if _, known := s.tasks[of.Name]; known || s.all || of.Name == "" {
		return trouble{}
	}
	return trouble{why: noHandler, queue: of.Queue, task: of.Name}
}

// troubleOfParked returns the reason why no minion can run a parked task for which troubleOf
// has found none. parked has the needs of the parked tasks of its queue. A task that a living
// minion can run only waits for a free slot.
func (r *roster) troubleOfParked(of *kind, parked []broker.Parked) trouble {
	s := r.queues[of.Queue]
	if s == nil || s.all || of.Name == "" {
		return trouble{}
	}
	found := false
	for _, p := range parked {
		if p.Need.Name != of.Name {
			continue
		}
		found = true
		for _, schema := range s.tasks[of.Name] {
			if schema == p.Need.Schema || schema == 0 || p.Need.Schema == 0 {
				return trouble{}
			}
		}
	}
	if !found {
		return trouble{}
	}
	return trouble{why: noFit, queue: of.Queue, task: of.Name}
}

// tell says why tasks of a queue can't run. The text continues a sentence that ends with the
// name of the queue. The trouble may have been found with an older list of minions: those of the
// queue may have left since then.
func (r *roster) tell(t trouble) string {
	s := r.queues[t.queue]
	if s == nil && t.why != noTrouble {
		t.why = noMinion
	}
	switch t.why {
	case noMinion:
		return "which no living minion serves (" + r.served() + ")"
	case noHandler:
		return fmt.Sprintf("none of whose %d living minions knows the task (tasks known: %s)", s.minions, fewOf(s.tasks))
	case noFit:
		return fmt.Sprintf("none of whose %d living minions can run it: those that know the task have other parameters for it",
			s.minions)
	}
	return ""
}

// served lists the queues that have minions.
func (r *roster) served() string {
	if r.minions == 0 {
		return "there is no living minion"
	}
	return "queues served: " + fewOf(r.queues)
}

// fewOf lists the keys of a map, in order, and at most ten of them.
func fewOf[V any](m map[string]V) string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	const most = 10
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}
