package brokertest

import (
	"errors"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// What is not valid is refused, with an error that names it, and changes nothing.
var laneInputTests = []test{
	{"InvalidLanes", laneInvalid, 0},
	{"InvalidSquad", laneInvalidSquad, needSquads},
	{"InvalidLimits", laneInvalidLimits, 0},
	{"InvalidCalls", laneInvalidCalls, 0},
	{"DefinitionsAreListed", laneListed, 0},
	{"DefinitionIsAdded", laneAdded, 0},
	{"DefinitionsAreAddedAtOnce", laneAddedAtOnce, 0},
}

func laneInvalid(r *rig) {
	m := r.minion()
	long := strings.Repeat("k", broker.MaxLaneKey+1)
	for what, with := range map[string]func(*broker.Lane){
		"priority 10":      priority(broker.MaxPriority + 1),
		"fairness key":     fair(long),
		"sequence key":     inSequence(long),
		"StopOnFailure":    func(l *broker.Lane) { l.StopOnFailure = true },
		`limit name "no `:  using("no name"),
		`limit name ""`:    using(""),
		"key of limit abc": usingKey("abc", long, 1),
		"cost of limit ab": usingCost("ab", 0),
		"limit ac":         usingCost("ac", broker.MaxCost+1),
		"limit ad":         using("ad", "x", "ad"),
		"9 limits":         using("1", "2", "3", "4", "5", "6", "7", "8", "9"),
	} {
		bad := r.task(lane(with))
		errs := r.refusals([]*broker.Task{r.task(lane()), bad, r.task()}, 1)
		r.is(errs[1], broker.ErrInvalid)
		r.names(errs[1], what)
		r.names(errs[1], bad.Name)
		r.in(broker.StateUnknown, bad.ID)
		for _, d := range m.take(2) {
			m.settle(m.succeed(d))
		}
	}
	// The same limit may be named with several keys.
	r.enqueue(r.task(lane(usingKey("l", "a", 1), usingKey("l", "b", 1), using("l"))))
	m.take1()
}

func laneInvalidSquad(r *rig) {
	bad := r.task(lane(), func(t *broker.Task) { t.Flow.Squad = true })
	err := r.refused(bad)
	r.is(err, broker.ErrInvalid)
	r.names(err, bad.Name)
	if errors.Is(err, broker.ErrUnsupported) {
		r.Fatalf("a member of a squad with a lane is refused as unsupported, want invalid: %v", err)
	}
}

func laneInvalidLimits(r *rig) {
	good := broker.Limit{Name: "good", Most: 1}
	r.define(good)
	for _, l := range []broker.Limit{
		{Name: "no name", Most: 1},
		{Most: 1},
		{Name: "good"},
		{Name: "good", Most: -1},
		{Name: "good", Rate: -1, Per: time.Second},
		{Name: "good", Rate: 1, Per: time.Second, Burst: -1},
		{Name: "good", Most: 1, Rate: 1, Per: time.Second},
		{Name: "good", Rate: 1},
		{Name: "good", Rate: 1, Per: time.Microsecond},
		{Name: "good", Rate: 1, Per: broker.MaxDuration + 1},
		{Name: "good", Most: 1, Per: time.Second},
		{Name: "good", Most: 1, Burst: 1},
		{Name: "good", Most: broker.MaxLimit + 1},
		{Name: "good", Rate: broker.MaxLimit + 1, Per: time.Second},
		{Name: "good", Rate: 1, Per: time.Second, Burst: broker.MaxLimit + 1},
		{Name: "good", Key: strings.Repeat("k", broker.MaxLaneKey+1), Most: 1},
	} {
		err := r.lanes().SetLimit(r.ctx, "q", l)
		if err == nil {
			r.Fatalf("SetLimit(%+v) returned nil, want an error", l)
		}
		r.is(err, broker.ErrInvalid)
		if l.Name != "" {
			r.names(err, l.Name)
		}
		_, err = r.lanes().AddLimit(r.ctx, "q", l)
		r.is(err, broker.ErrInvalid)
		r.definitions("q", good)
	}
}

func laneInvalidCalls(r *rig) {
	l := r.lanes()
	long := strings.Repeat("k", broker.MaxLaneKey+1)
	const queue = "no queue"
	limit := broker.Limit{Name: "l", Most: 1}
	for what, err := range map[string]error{
		"SetLimit of a queue":      l.SetLimit(r.ctx, queue, limit),
		"RemoveLimit of a queue":   l.RemoveLimit(r.ctx, queue, "l", ""),
		"CloseLimit of a queue":    l.CloseLimit(r.ctx, queue, "l", "", time.Second),
		"SetWeight of a queue":     l.SetWeight(r.ctx, queue, "k", 2),
		"ResumeSequence of one":    l.ResumeSequence(r.ctx, queue, "s"),
		"RemoveLimit of a name":    l.RemoveLimit(r.ctx, "q", "no name", ""),
		"RemoveLimit of a key":     l.RemoveLimit(r.ctx, "q", "l", long),
		"CloseLimit of a name":     l.CloseLimit(r.ctx, "q", "no name", "", time.Second),
		"CloseLimit of a key":      l.CloseLimit(r.ctx, "q", "l", long, time.Second),
		"CloseLimit for ever":      l.CloseLimit(r.ctx, "q", "l", "", broker.MaxDuration+1),
		"SetWeight 0":              l.SetWeight(r.ctx, "q", "k", 0),
		"SetWeight -1":             l.SetWeight(r.ctx, "q", "k", -1),
		"SetWeight of too much":    l.SetWeight(r.ctx, "q", "k", broker.MaxWeight+1),
		"SetWeight of a long key":  l.SetWeight(r.ctx, "q", long, 2),
		"ResumeSequence of a key":  l.ResumeSequence(r.ctx, "q", long),
		"ResumeSequence of no key": l.ResumeSequence(r.ctx, "q", ""),
	} {
		if !errors.Is(err, broker.ErrInvalid) {
			r.Fatalf("%s returned %v, want ErrInvalid", what, err)
		}
		if strings.Contains(what, "queue") {
			r.names(err, queue)
		}
	}
	_, err := l.AddLimit(r.ctx, queue, limit)
	r.is(err, broker.ErrInvalid)
	_, err = l.LimitsIn(r.ctx, queue)
	r.is(err, broker.ErrInvalid)
	_, err = l.Weights(r.ctx, queue)
	r.is(err, broker.ErrInvalid)
	r.definitions("q")
	r.undefine("unknown", "") // not an error
	r.undefine("unknown", "k")
	r.shut("unknown", "", 0)
	r.weigh("unknown", 1)
	r.definitions("q")
	if w, err := l.Weights(r.ctx, "unknown"); len(w) > 0 || err != nil {
		r.Fatalf("Weights of an unknown queue returned %v, %v", w, err)
	}
	// The longest key and the largest numbers are allowed.
	limits := []broker.Limit{
		{Name: strings.Repeat("n", broker.MaxName), Key: long[1:], Most: broker.MaxLimit},
		{Name: strings.Repeat("n", broker.MaxName), Key: "\x00\xff", Rate: broker.MaxLimit, Per: broker.MaxDuration, Burst: broker.MaxLimit},
	}
	for _, l := range limits {
		r.define(l)
	}
	r.definitions("q", limits[1], limits[0])
}

func laneListed(r *rig) {
	r.definitions("q")
	all := []broker.Limit{
		{Name: "a", Most: 3},
		{Name: "a", Key: "b", Rate: 5, Per: time.Minute, Burst: 9},
		{Name: "a", Key: "c", Paused: true},
		{Name: "b", Rate: 1, Per: time.Millisecond},
		{Name: "b", Key: "a", Most: 2, Paused: true},
	}
	for _, i := range []int{3, 1, 4, 0, 2} {
		r.define(all[i])
	}
	r.definitions("q", all...)
	for _, info := range r.limits("q") {
		if info.InUse != 0 || info.Waiting != 0 || !info.Closed.IsZero() {
			r.Fatalf("LimitsIn returned %+v, want no use", info)
		}
	}
	all[0].Most = 4
	r.define(all[0])
	r.definitions("q", all...)
	r.undefine("a", "") // the definitions of single keys stay
	r.definitions("q", all[1:]...)
	r.undefine("a", "c")
	r.undefine("a", "c")
	r.definitions("q", all[1], all[3], all[4])
	r.definitions("other")
}

// adds calls AddLimit for queue "q", and checks which one the limit has then.
func (r *rig) adds(l, want broker.Limit) {
	r.Helper()
	got, err := r.lanes().AddLimit(r.ctx, "q", l)
	if err != nil || got != want {
		r.Fatalf("AddLimit(%+v) returned %+v, %v, want %+v", l, got, err, want)
	}
}

// AddLimit changes nothing if the limit has a definition.
func laneAdded(r *rig) {
	first, second := broker.Limit{Name: "l", Most: 1}, broker.Limit{Name: "l", Rate: 7, Per: time.Minute, Burst: 3}
	own := broker.Limit{Name: "l", Key: "k", Paused: true}
	r.adds(first, first)
	r.adds(second, first)
	r.adds(own, own)
	r.definitions("q", first, own)
	r.define(second)
	r.adds(first, second)
	r.definitions("q", second, own)
	r.undefine("l", "")
	r.adds(first, first)
	r.definitions("q", first, own)
	// It has its effect at once.
	m := r.minion()
	tasks := r.batch(2, lane(using("l")))
	r.enqueue(tasks...)
	m.gets(tasks[0])
	m.none()
}

// Of definitions that are added at the same time one is stored, and each caller gets to know it.
func laneAddedAtOnce(r *rig) {
	const n = 8
	got := make(chan broker.Limit, n)
	for i := range n {
		go func() {
			l, err := r.lanes().AddLimit(r.ctx, "q", broker.Limit{Name: "l", Most: i + 1})
			if err != nil {
				r.Errorf("AddLimit: %v", err)
			}
			got <- l
		}()
	}
	first := <-got
	for range n - 1 {
		if l := <-got; l != first {
			r.Fatalf("callers of AddLimit got %+v and %+v, want the same", first, l)
		}
	}
	r.definitions("q", first)
}
