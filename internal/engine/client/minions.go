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

// minionSummary has the capabilities of the living minions, as of the last time they were asked.
type minionSummary struct {
	at     time.Time                // when they were asked
	living int                      // how many live
	queues map[string]*queueSummary // by queue: its minions
}

// queueSummary has the combined capabilities of the minions of one queue.
type queueSummary struct {
	minions, slots, active int

	// tasks has the names of the tasks that one of the minions knows, with the hashes of their
	// schemas. all is set if a minion does not list its tasks, so it may know any task.
	tasks map[string][]uint64
	all   bool
}

// summarizeMinions sums up the living minions.
func summarizeMinions(minions []broker.MinionInfo, at time.Time) *minionSummary {
	r := &minionSummary{at: at, living: len(minions), queues: make(map[string]*queueSummary)}
	for i := range minions {
		m := &minions[i]
		for _, name := range m.Queues {
			s := r.queues[name]
			if s == nil {
				s = &queueSummary{tasks: make(map[string][]uint64)}
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

// obstacle is the reason why a pending task does not start. All tasks with the same obstacle
// share one log line.
type obstacle struct {
	why   why
	queue string
	task  string // name of the task, for noHandler and noFit
}

// why is the kind of an obstacle.
type why uint8

const (
	noObstacle why = iota
	noMinion       // no minion serves the queue
	noHandler      // no minion of the queue knows the task
	noFit          // the minions that know the task have other parameters for it, or lack its codec
)

// obstacleFor returns the reason why no minion can run tasks of a name and queue. If the name or
// queue isn't known, no obstacle is assumed.
func (r *minionSummary) obstacleFor(l *label) obstacle {
	if l.Queue == "" {
		return obstacle{}
	}
	s := r.queues[l.Queue]
	if s == nil {
		return obstacle{why: noMinion, queue: l.Queue}
	}
	if _, known := s.tasks[l.Name]; known || s.all || l.Name == "" {
		return obstacle{}
	}
	return obstacle{why: noHandler, queue: l.Queue, task: l.Name}
}

// obstacleForParked returns the reason why no minion can run a parked task for which obstacleFor
// has found none. parked has the needs of the parked tasks of its queue. A task that a living
// minion can run only waits for a free slot.
func (r *minionSummary) obstacleForParked(l *label, parked []broker.Parked) obstacle {
	s := r.queues[l.Queue]
	if s == nil || s.all || l.Name == "" {
		return obstacle{}
	}
	found := false
	for _, p := range parked {
		if p.Need.Name != l.Name {
			continue
		}
		found = true
		for _, schema := range s.tasks[l.Name] {
			if schema == p.Need.Schema || schema == 0 || p.Need.Schema == 0 {
				return obstacle{}
			}
		}
	}
	if !found {
		return obstacle{}
	}
	return obstacle{why: noFit, queue: l.Queue, task: l.Name}
}

// describe says why tasks of a queue can't run. The text continues a sentence that ends with the
// name of the queue. The obstacle may have been found with an older list of minions: those of
// the queue may have left since then.
func (r *minionSummary) describe(t obstacle) string {
	s := r.queues[t.queue]
	if s == nil && t.why != noObstacle {
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
func (r *minionSummary) served() string {
	if r.living == 0 {
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
