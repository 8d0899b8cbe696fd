package client

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// roster is what the living minions could do when they were last asked.
type roster struct {
	at      time.Time
	minions int
	queues  map[string]*service
}

// service is what the minions of a queue can do.
type service struct {
	minions, slots, active int

	tasks map[string][]uint64 // names that one of them knows, with the hashes of their schemas
	all   bool                // one does not tell what it knows, so it may know all
}

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

// trouble is why a task that is pending does not start. It is one line in the log for
// all tasks that have it.
type trouble struct {
	why   why
	queue string
	task  string // its name; empty unless it is unknown, or does not fit
}

type why uint8

const (
	noTrouble why = iota
	noMinion      // none serves the queue
	noHandler     // none of those that serve it knows the task
	noFit         // those that know it have other parameters for it, or lack its codec
)

// troubleOf returns why nobody can run tasks of a kind. What isn't known is no trouble.
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

// troubleOfParked returns why nobody can run a task that is parked, of which troubleOf
// finds no trouble. Parked is what the parked tasks of its queue need. One that a living
// minion can run waits for a free slot.
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

// tell says in words what keeps tasks of a queue from being run: it completes a sentence
// that ends with the queue's name. The trouble may have been found with an older roster:
// the minions of the queue may have left since then.
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

// served lists the queues that are served.
func (r *roster) served() string {
	if r.minions == 0 {
		return "there is no living minion"
	}
	return "queues served: " + fewOf(r.queues)
}

// fewOf lists the keys of a map, or the first of them if they are many.
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
