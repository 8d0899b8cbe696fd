package brokertest

import (
	"errors"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// history records the operations of a stress test on its tasks. Checks that do not depend on order
// are made at once, and the others by check at the end.
type history struct {
	r *rig

	mu    sync.Mutex
	clock int // a logical clock: the number of recorded events
	tasks map[broker.ID]*past
}

// past is the history of one task.
type past struct {
	attempts  map[uint32]bool  // numbers of the attempts that were handed out
	outcomes  []broker.Outcome // outcomes of the accepted settlements with VerbFinish
	again     map[uint32]bool  // attempts with an accepted retry, snooze or give-back
	stored    bool             // an enqueue returned nil
	refusal   error            // the error of the last enqueue that failed
	prevented int              // when a cancel returned CancelPrevented; 0 if none did
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

// now advances the clock and returns it. The result is an argument of taken.
func (h *history) now() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

// taken records the result of a dequeue that began at the given time.
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

// settled records an accepted settlement.
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
	for _, o := range p.outcomes { // an accepted repeat has the same outcome
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
	if !errors.Is(err, broker.ErrDuplicate) || task.Unique.Key == "" {
		h.r.Errorf("Enqueue of %s: %v", task.ID, err)
	}
	if p.stored {
		h.r.Errorf("task %s was accepted and later refused: %v", task.ID, err)
	}
	p.refusal = err
}

// refused reports whether no enqueue of the task has been accepted so far, and one was refused.
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
			h.r.Errorf("two cancels of task %s returned CancelPrevented", id)
		}
		p.prevented = h.clock
	case broker.CancelRequested:
		p.requested = true
	}
}

// check checks the whole history, when every task is final and all clients have stopped.
func (h *history) check(tasks []*broker.Task, mail *mailbox) {
	r := h.r
	r.Helper()
	notices := map[broker.ID]broker.Outcome{}
	stored := 0
	for _, task := range tasks {
		if h.of(task.ID).stored {
			stored++
		}
	}
	for _, l := range mail.take(stored) {
		if _, twice := notices[l.ID]; twice {
			r.Fatalf("the inbox got two notices of task %s", l.ID)
		}
		notices[l.ID] = l.Outcome
	}
	mail.none()
	var sum struct{ attempts, canceled, refused, again int }
	for _, st := range r.lookup(idsOf(tasks)...) {
		p := h.of(st.ID)
		if !p.stored {
			sum.refused++
			if st.State != broker.StateUnknown || len(p.attempts) > 0 {
				r.Fatalf("every enqueue of task %s was refused (%v), but it is %s and has had %d attempts", st.ID, p.refusal, st.State, len(p.attempts))
			}
			continue
		}
		sum.attempts += len(p.attempts)
		sum.again += len(p.again)
		h.checkTask(st, p)
		if st.State == broker.StateCanceled {
			sum.canceled++
		}
		if notice, ok := notices[st.ID]; !ok {
			r.Fatalf("the inbox got no notice of task %s, which is %s", st.ID, st.State)
		} else {
			r.equal(notice, *st.Outcome)
		}
	}
	r.Logf("%d tasks: %d attempts, %d retried or given back, %d canceled, %d refused",
		len(tasks), sum.attempts, sum.again, sum.canceled, sum.refused)
}

// checkTask checks that the history of a task explains its state.
func (h *history) checkTask(st broker.Status, p *past) {
	r := h.r
	r.Helper()
	if st.Outcome == nil || !st.State.Final() {
		r.Fatalf("task %s is %s with the outcome %v, want it final", st.ID, st.State, st.Outcome)
	}
	if len(p.outcomes) > 1 {
		r.Fatalf("task %s was ended %d times by settlements: %+v", st.ID, len(p.outcomes), p.outcomes)
	}
	if len(p.outcomes) == 1 {
		r.equal(*st.Outcome, p.outcomes[0])
		if p.prevented != 0 {
			r.Fatalf("a settlement of task %s was accepted after a cancel had returned CancelPrevented", st.ID)
		}
		return
	}
	if st.State != broker.StateCanceled || (p.prevented == 0 && !p.requested) {
		r.Fatalf("task %s is %s, but no settlement or cancel ended it", st.ID, st.State)
	}
}
