package brokertest

import (
	"errors"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// history is what was done to the tasks of a stress test. Its checks that need
// no order are made at once, the others at the end.
type history struct {
	r *rig

	mu    sync.Mutex
	clock int // counts what happened
	tasks map[broker.ID]*past
}

// past is the history of one task.
type past struct {
	attempts  map[uint32]bool  // that were handed out
	outcomes  []broker.Outcome // of accepted settlements that end the task
	again     map[uint32]bool  // attempts that were accepted as retry, snooze or release
	stored    bool             // an enqueue returned nil
	refusal   error            // of the last enqueue that did not
	prevented int              // when a cancel was said to have prevented it; 0 is never
	requested bool             // a cancel reached it while it ran
}

func newHistory(r *rig) *history {
	return &history{r: r, clock: 1, tasks: map[broker.ID]*past{}}
}

// of returns the history of a task; the caller holds mu.
func (h *history) of(id broker.ID) *past {
	p := h.tasks[id]
	if p == nil {
		p = &past{attempts: map[uint32]bool{}, again: map[uint32]bool{}}
		h.tasks[id] = p
	}
	return p
}

// now returns the moment, for taken.
func (h *history) now() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

// taken notes what a dequeue that began at a moment returned.
func (h *history) taken(ds []*broker.Delivery, began int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range ds {
		p := h.of(d.ID)
		if p.attempts[d.Attempt] {
			h.r.Errorf("attempt %d of %s was handed out twice", d.Attempt, d.ID)
		}
		p.attempts[d.Attempt] = true
		if p.prevented != 0 && p.prevented < began {
			h.r.Errorf("task %s was handed out after a cancel had prevented it", d.ID)
		}
	}
}

// settled notes an accepted settlement.
func (h *history) settled(s broker.Settlement) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.of(s.Delivery.ID)
	if !p.attempts[s.Delivery.Attempt] {
		h.r.Errorf("attempt %d of %s was settled but never handed out", s.Delivery.Attempt, s.Delivery.ID)
	}
	if s.Verb != broker.VerbFinish {
		p.again[s.Delivery.Attempt] = true
		return
	}
	for _, o := range p.outcomes { // an accepted repeat is the same
		if o.Attempts == s.Outcome.Attempts && diffOutcome(o, s.Outcome) == "" {
			return
		}
	}
	p.outcomes = append(p.outcomes, s.Outcome)
}

func (h *history) enqueued(task *broker.Task, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.of(task.ID)
	if err == nil {
		p.stored = true
		return
	}
	if !errors.Is(err, broker.ErrDuplicate) || task.Unique == "" {
		h.r.Errorf("Enqueue of %s: %v", task.ID, err)
	}
	if p.stored {
		h.r.Errorf("task %s was accepted, and then refused: %v", task.ID, err)
	}
	p.refusal = err
}

// refused reports whether a task was never accepted, or not yet.
func (h *history) refused(id broker.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.of(id)
	return !p.stored && p.refusal != nil
}

func (h *history) canceled(id broker.ID, verdict broker.CancelVerdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	p := h.of(id)
	switch verdict {
	case broker.CancelPrevented:
		if p.prevented != 0 {
			h.r.Errorf("task %s was prevented twice", id)
		}
		p.prevented = h.clock
	case broker.CancelRequested:
		p.requested = true
	}
}

// check checks the whole, once every task is final and nobody works any more.
func (h *history) check(tasks []*broker.Task, mail *mailbox) {
	r := h.r
	r.Helper()
	letters := map[broker.ID]broker.Outcome{}
	stored := 0
	for _, task := range tasks {
		if h.of(task.ID).stored {
			stored++
		}
	}
	for _, l := range mail.take(stored) {
		if _, twice := letters[l.ID]; twice {
			r.Fatalf("two letters of %s", l.ID)
		}
		letters[l.ID] = l.Outcome
	}
	mail.none()
	var sum struct{ attempts, canceled, refused, again int }
	for _, st := range r.lookup(idsOf(tasks)...) {
		p := h.of(st.ID)
		if !p.stored {
			sum.refused++
			if st.State != broker.StateUnknown || len(p.attempts) > 0 {
				r.Fatalf("task %s was refused (%v) and is %s, with %d attempts", st.ID, p.refusal, st.State, len(p.attempts))
			}
			continue
		}
		sum.attempts += len(p.attempts)
		sum.again += len(p.again)
		h.checkTask(st, p)
		if st.State == broker.StateCanceled {
			sum.canceled++
		}
		if letter, ok := letters[st.ID]; !ok {
			r.Fatalf("no letter of %s, which is %s", st.ID, st.State)
		} else {
			r.equal(letter, *st.Outcome)
		}
	}
	r.Logf("%d tasks: %d attempts, %d given back, %d canceled, %d refused",
		len(tasks), sum.attempts, sum.again, sum.canceled, sum.refused)
}

// checkTask checks that the state of a task is explained by its history.
func (h *history) checkTask(st broker.Status, p *past) {
	r := h.r
	r.Helper()
	if st.Outcome == nil || !st.State.Final() {
		r.Fatalf("task %s is %s, outcome: %v", st.ID, st.State, st.Outcome)
	}
	if len(p.outcomes) > 1 {
		r.Fatalf("task %s was settled %d times: %+v", st.ID, len(p.outcomes), p.outcomes)
	}
	if len(p.outcomes) == 1 {
		r.equal(*st.Outcome, p.outcomes[0])
		if p.prevented != 0 {
			r.Fatalf("task %s was settled though a cancel had prevented it", st.ID)
		}
		return
	}
	if st.State != broker.StateCanceled || (p.prevented == 0 && !p.requested) {
		r.Fatalf("task %s is %s, and nobody settled or cancelled it", st.ID, st.State)
	}
}
