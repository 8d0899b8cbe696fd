package chaos

import (
	"cmp"
	"slices"
)

// history is the content of the ledgers, by task.
type history struct {
	lease   int64
	tasks   map[string]*taskHistory
	faults  []Event // the faults that can explain an attempt
	hits    map[string]int
	noted   map[string][]*attempt // by task id: starts that the broker has recorded
	replays map[string]*Event     // by the id of the new task
	served  []Event               // when minions served all their queues, after all faults
	long    []Event               // scripts that kept a server busy for too long
	pauses  map[string][]span     // when each pause was in force for sure, in order
	plans   map[string]*plan      // schedules, by name
}

// taskHistory is everything that is known of a task or flow.
type taskHistory struct {
	key         string
	id          string // as the sender got it
	flow        *Flow  // nil if it is a task
	sent        int64  // when it was sent; 0 if it is part of something else
	accepted    bool
	unknown     bool
	refused     bool // its last send was refused
	prompt      bool
	over        bool   // sent when all faults were over
	damaged     bool   // the test has damaged its records, or has tried to
	struck      bool   // its records were damaged
	alone       string // the limit of one that it shares; "" is none
	line        string // its sequence; "" is none
	pause       string // the pause that may name it; "" is none
	place       int    // its place in the sequence
	unique      *Unique
	bound       *Bound // nil if its queue has no bound
	doubted     bool   // a send of it was refused, or its outcome was unknown
	within      int64  // time from its storage to its deadline; 0 if it has none
	sender      string
	stored      int64   // when the last send of it was accepted; 0 if none was
	storedFirst int64   // when a send of it was accepted for the first time; 0 if none was
	refusals    []Event // because of a task that has its unique key
	fulls       []Event // refusals because its queue was full
	kills       []Event
	killed      []Event
	got         []Event
	promises    []Event
	attempts    []*attempt
	moments     []int64  // the times of its events
	parts       []string // the flows that it is part of
	downstream  []sight  // results of it that other tasks got
}

// attempt is the start of an attempt with its return.
type attempt struct {
	Event        // the start
	ret   *Event // nil if it has not returned
}

// sight is a result that an observer saw.
type sight struct {
	value, by string
}

// read sorts events by task.
func read(events []Event, lease int64) *history {
	h := &history{lease: lease, tasks: make(map[string]*taskHistory), hits: make(map[string]int), noted: make(map[string][]*attempt), pauses: make(map[string][]span), plans: make(map[string]*plan)}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	for i := range events {
		e := &events[i]
		if e.Kind == Hit {
			if !slices.Contains(harmless, e.Fault) {
				h.faults = append(h.faults, *e)
			}
			h.hits[e.Fault]++
			continue
		}
		if e.Kind == Paused || e.Kind == Resuming {
			h.pause(e)
			continue
		}
		if e.Kind == Script {
			h.long = append(h.long, *e)
			continue
		}
		if e.Kind == Served {
			h.served = append(h.served, *e)
			continue
		}
		if e.Kind == Replayed {
			h.replay(e)
			continue
		}
		if e.Kind == Recorded {
			h.noted[e.ID] = append(h.noted[e.ID], &attempt{Event: *e})
			continue
		}
		if slices.Contains(planned, e.Kind) {
			h.plan(e.Key).add(e)
			continue
		}
		if e.Kind == Start && e.Plan != "" {
			h.plan(e.Plan).ran(e)
		}
		h.of(e.Key).add(e)
		if e.Flow != nil {
			for _, part := range e.Flow.parts() {
				h.of(part).parts = append(h.of(part).parts, e.Key)
			}
		}
	}
	return h
}

func (h *history) of(key string) *taskHistory {
	r := h.tasks[key]
	if r == nil {
		r = &taskHistory{key: key}
		h.tasks[key] = r
	}
	return r
}

func (r *taskHistory) add(e *Event) {
	r.moments = append(r.moments, e.At)
	switch e.Kind {
	case Send:
		r.sent, r.flow, r.prompt, r.over = e.At, e.Flow, e.Prompt, e.Over
		r.within, r.sender = e.Within, e.Proc
		r.alone, r.line, r.place, r.pause, r.unique, r.bound = e.Alone, e.Line, e.Place, e.Pause, e.Unique, e.Bound
	case Accepted:
		r.id = e.ID
		r.accepted, r.unknown, r.refused = true, false, false
		r.stored = e.At
		if r.storedFirst == 0 {
			r.storedFirst = e.At
		}
	case Unknown:
		r.doubted = true
		r.unknown, r.refused = !r.accepted, false
	case Refused: // an earlier send with an unknown outcome may have stored the task
		r.doubted = true
		r.refused = !r.accepted && !r.unknown
		if e.Holder != "" {
			r.refusals = append(r.refusals, *e)
		}
		if e.Full {
			r.fulls = append(r.fulls, *e)
		}
	case Damaged:
		r.damaged, r.struck = true, r.struck || e.Value != ""
	case Kill:
		r.kills = append(r.kills, *e)
	case Killed:
		r.killed = append(r.killed, *e)
	case Got:
		r.got = append(r.got, *e)
	case Promise:
		r.promises = append(r.promises, *e)
	case Start:
		if e.Alone != "" {
			r.alone = e.Alone
		}
		r.attempts = append(r.attempts, &attempt{Event: *e})
	case Return:
		for _, a := range r.attempts {
			if a.ret == nil && a.ID == e.ID && a.Attempt == e.Attempt && a.Proc == e.Proc {
				a.ret = e
				break
			}
		}
	}
}

// parts returns the keys of all tasks of a flow.
func (f *Flow) parts() []string {
	all := slices.Clone(f.Members)
	for _, key := range []string{f.Callback, f.Finalizer} {
		if key != "" {
			all = append(all, key)
		}
	}
	return all
}

// by returns the attempt that returned a value, or nil.
func (r *taskHistory) by(value string) *attempt {
	for _, a := range r.attempts {
		if a.ret == nil || a.ret.Value != value {
			continue
		}
		// An error that asks for a retry is final if the retry would come after the deadline.
		if a.ret.Outcome == OK || a.ret.Outcome == Fail || a.ret.Outcome == Retry && r.within > 0 {
			return a
		}
	}
	return nil
}

// seen returns the observed results of a task, if it succeeded or failed.
func (r *taskHistory) seen() []sight {
	all := slices.Clone(r.downstream)
	for _, g := range r.got {
		if g.Value != "" && r.flow == nil {
			all = append(all, sight{g.Value, g.Proc})
		}
	}
	return all
}

// ended reports whether an observer saw this outcome.
func (r *taskHistory) ended(outcome string) bool {
	return slices.ContainsFunc(r.got, func(g Event) bool { return g.Outcome == outcome })
}

// ids returns the ids of the tasks that have run under the key.
func (r *taskHistory) ids() []string {
	var ids []string
	for _, a := range r.attempts {
		if !slices.Contains(ids, a.ID) {
			ids = append(ids, a.ID)
		}
	}
	return ids
}
