package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// upTo yields calls of work with the arguments from first to last. taken counts them, if it is not nil.
func upTo(first, last int, taken *int, opts ...task.Option) iter.Seq[task.Bound] {
	return func(yield func(task.Bound) bool) {
		for i := first; i <= last; i++ {
			if taken != nil {
				*taken++
			}
			if !yield(work.With(opts...).Bind(args{i})) {
				return
			}
		}
	}
}

// seen are the arguments for which a handler has run, in order.
type seen struct {
	mu  sync.Mutex
	all []int
	at  []time.Time
}

func (s *seen) handle(_ context.Context, a args) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all, s.at = append(s.all, a.N), append(s.at, time.Now())
	return a.N, nil
}

func (s *seen) list() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// ints returns the numbers from first to last.
func ints(first, last int) (out []int) {
	for i := first; i <= last; i++ {
		out = append(out, i)
	}
	return out
}

// On each broker, all calls of a sequence are stored, in parts of 1,000, and each runs once.
func TestSubmitSeq(t *testing.T) {
	onBrokers(t, func(t *testing.T, b broker.Broker, arb *arbiter.Arbiter) {
		const n = 2_300
		taken := 0
		if stored, err := arb.SubmitSeq(t.Context(), upTo(1, n, &taken)); stored != n || taken != n || err != nil {
			t.Fatalf("%d stored, %d taken, %v", stored, taken, err)
		}
		var s seen
		m := must(minion.New(b, minion.Logger(silent)))
		if err := task.Handle(m, work, s.handle); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- m.Run(context.WithoutCancel(t.Context()), 20) }()
		for began := time.Now(); len(s.list()) < n && time.Since(began) < 5*time.Minute; {
			time.Sleep(10 * time.Millisecond)
		}
		if err := errors.Join(m.Close(), <-ended); err != nil {
			t.Error(err)
		}
		got := s.list()
		if slices.Sort(got); !slices.Equal(got, ints(1, n)) {
			t.Errorf("%d tasks have run, want each of %d once", len(got), n)
		}
	})
}

// A sequence is taken and stored in parts, by their number and their bytes. The tasks keep their order.
func TestSubmitSeqInParts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var s seen
		r.crew(1, s.handle)
		var before []int // requests before each call was taken
		watched := func(yield func(task.Bound) bool) {
			for call := range upTo(1, 2_300, nil) {
				before = append(before, r.b.Calls(faulty.Enqueue))
				if !yield(call) {
					return
				}
			}
		}
		if n, err := r.arb.SubmitSeq(t.Context(), watched); n != 2_300 || err != nil {
			t.Fatalf("%d stored, %v", n, err)
		}
		for i, n := range before {
			if n != i/1000 {
				t.Fatalf("before call %d was taken there were %d requests, want %d", i, n, i/1000)
			}
		}
		time.Sleep(time.Minute)
		if got := s.list(); !slices.Equal(got, ints(1, 2_300)) {
			t.Errorf("%d tasks have run, or not in their order", len(got))
		}

		began := r.b.Calls(faulty.Enqueue)
		large := func(yield func(task.Bound) bool) {
			for i := range 10 { // 900,000 bytes each, so five of them are a part
				if got := r.b.Calls(faulty.Enqueue) - began; got != i/5 {
					t.Errorf("before large call %d was taken there were %d requests", i, got)
				}
				if !yield(task.Named("large", task.Args(strings.Repeat("x", 900_000)))) {
					return
				}
			}
		}
		if n, err := r.arb.SubmitSeq(t.Context(), large); n != 10 || err != nil {
			t.Errorf("%d stored, %v", n, err)
		}
	})
}

// The iterator may use the memory of arguments again.
func TestSubmitSeqReusesMemory(t *testing.T) {
	type words struct {
		Words []string `arbiter:"words"`
	}
	list := task.Define[words, string]("list", task.UniqueArgs())
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(r.b, minion.Logger(silent)))
		var mu sync.Mutex
		var got []string
		if err := task.Handle(m, list, func(_ context.Context, a words) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, strings.Join(a.Words, " "))
			return "", nil
		}); err != nil {
			t.Fatal(err)
		}
		go func() { _ = m.Run(context.Background(), 1) }()
		defer func() { _ = m.Close() }()
		calls := func(yield func(task.Bound) bool) {
			memory := make([]string, 2)
			for i := range 3 {
				memory[0], memory[1] = "number", fmt.Sprint(i)
				if !yield(list.Bind(words{memory})) {
					return
				}
			}
		}
		if n, err := r.arb.SubmitSeq(t.Context(), calls); n != 3 || err != nil {
			t.Fatalf("%d stored, %v", n, err)
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"number 0", "number 1", "number 2"}; !slices.Equal(got, want) {
			t.Errorf("the tasks have run with %q, want %q", got, want)
		}
	})
}

// A sequence stops at the part with the first call that is refused. The error says which calls are not stored, and how many are.
func TestSubmitSeqStops(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var s seen
		r.crew(20, s.handle)
		taken := 0
		bad := func(yield func(task.Bound) bool) {
			for call := range upTo(0, 4_999, &taken) {
				switch taken - 1 {
				case 1_500:
					call = work.With(task.Queue("no good")).Bind(args{1_500})
				case 1_700:
					call = nil
				case 1_800:
					call = task.Call[int]{}
				}
				if !yield(call) {
					return
				}
			}
		}
		stored, err := r.arb.SubmitSeq(t.Context(), bad)
		var sub *task.SubmitError
		if !errors.As(err, &sub) || !errors.Is(err, task.ErrInvalid) || stored != 1_997 || taken != 2_000 || sub.Total != 2_000 || len(sub.Failed) != 3 ||
			sub.Failed[0].Index != 1_500 || sub.Failed[1].Index != 1_700 || sub.Failed[2].Index != 1_800 {
			t.Fatalf("%d stored, %d taken, error %+v", stored, taken, err)
		}
		if !strings.Contains(err.Error(), "1997 of 2000 calls are stored") || !strings.Contains(err.Error(), "no good") {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		got := s.list()
		slices.Sort(got)
		want := slices.DeleteFunc(ints(0, 1_999), func(i int) bool { return i == 1_500 || i == 1_700 || i == 1_800 })
		if !slices.Equal(got, want) {
			t.Errorf("%d tasks have run, want %d", len(got), len(want))
		}
	})
}

// Other ends of a sequence.
func TestSubmitSeqEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if n, err := r.arb.SubmitSeq(t.Context(), nil); n != 0 || !errors.Is(err, task.ErrInvalid) {
			t.Errorf("nil: %d, %v", n, err)
		}
		if n, err := r.arb.SubmitSeq(t.Context(), upTo(1, 0, nil)); n != 0 || err != nil {
			t.Errorf("no calls: %d, %v", n, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		taken := 0
		canceled := func(yield func(task.Bound) bool) {
			for call := range upTo(1, 100, &taken) {
				if taken == 10 {
					cancel()
				}
				if !yield(call) {
					return
				}
			}
		}
		var sub *task.SubmitError
		if n, err := r.arb.SubmitSeq(ctx, canceled); n != 0 || taken != 10 || !errors.Is(err, context.Canceled) || !errors.As(err, &sub) || sub.Total != 10 || len(sub.Failed) != 10 {
			t.Errorf("canceled: %d stored, %d taken, %v", n, taken, err)
		}
		// A call that joins another task is no failure.
		r.crew(1, slow)
		joining := func(yield func(task.Bound) bool) {
			for range 3 {
				if !yield(work.With(task.UniqueArgs(), task.OnConflict(task.ConflictJoin)).Bind(args{60})) {
					return
				}
			}
		}
		if n, err := r.arb.SubmitSeq(t.Context(), joining); n != 3 || err != nil {
			t.Errorf("joining: %d stored, %v", n, err)
		}
		// Groups and pipes are calls, too. A group counts as many calls as it has members.
		began := r.b.Calls(faulty.Enqueue)
		flows := func(yield func(task.Bound) bool) {
			members := make([]task.Call[int], 999)
			for i := range members {
				members[i] = work.Bind(args{0})
			}
			if !yield(task.Collect(members...)) || !yield(work.Bind(args{0})) {
				return
			}
			if r.b.Calls(faulty.Enqueue) == began {
				t.Error("the group of 999 and the call after it are not a part")
			}
			yield(task.Then(task.Collect(work.Bind(args{0})), countStep()))
		}
		if n, err := r.arb.SubmitSeq(t.Context(), flows); n != 3 || err != nil {
			t.Errorf("flows: %d stored, %v", n, err)
		}
		_ = r.arb.Close()
		if n, err := r.arb.SubmitSeq(t.Context(), upTo(1, 5, nil)); n != 0 || !errors.Is(err, task.ErrClosed) {
			t.Errorf("closed: %d stored, %v", n, err)
		}
	})
}

// A sequence is refused like other calls by CheckSchema, and by a queue that is full. With WaitForRoom it goes on as fast as
// there is room.
func TestSubmitSeqToFullQueue(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.arb.SetMaxWaiting(t.Context(), task.DefaultQueue, 1_200); err != nil {
			t.Fatal(err)
		}
		stored, err := r.arb.SubmitSeq(t.Context(), upTo(1, 5_000, nil))
		var sub *task.SubmitError
		if stored != 1_200 || !errors.Is(err, task.ErrFull) || !errors.As(err, &sub) || sub.Total != 2_000 || len(sub.Failed) != 800 || sub.Failed[0].Index != 1_200 {
			t.Fatalf("%d stored, %v", stored, err)
		}
		var s seen
		r.crew(20, s.handle)
		stored, err = r.arb.SubmitSeq(t.Context(), upTo(1_201, 5_000, nil, task.WaitForRoom()))
		if stored != 3_800 || err != nil {
			t.Fatalf("%d stored, %v", stored, err)
		}
		time.Sleep(time.Minute)
		got := s.list()
		if slices.Sort(got); !slices.Equal(got, ints(1, 5_000)) {
			t.Errorf("%d tasks have run, want 5000", len(got))
		}
		checked := r.arbiter(arbiter.CheckSchema())
		unknown := func(yield func(task.Bound) bool) { yield(task.Named("unknown", task.Args())) }
		if n, err := checked.SubmitSeq(t.Context(), unknown); n != 0 || !errors.As(err, new(*arbiter.SchemaError)) {
			t.Errorf("%d stored, %v", n, err)
		}
	})
}

// A caller can go on after an error, whatever was lost: each call runs once. All calls before the Total of the error are stored, but
// for those that it lists.
func TestSubmitSeqGoesOn(t *testing.T) {
	for _, lost := range []bool{false, true} { // before or after the request is carried out
		bubble(t, func(t *testing.T, r *rig) {
			var s seen
			r.crew(20, s.handle)
			requests := 0
			fail := func(err error) error {
				if requests++; requests%4 < 2 {
					return err
				}
				return nil
			}
			hooks := faulty.Hooks{}
			if lost {
				hooks.After = func(op faulty.Op, _ int) error {
					if op != faulty.Enqueue {
						return nil
					}
					return fail(faulty.ErrLostReply)
				}
			} else {
				hooks.Before = func(_ context.Context, op faulty.Op, _ int) error {
					if op != faulty.Enqueue {
						return nil
					}
					return fail(faulty.ErrUnavailable)
				}
			}
			r.b.Set(hooks)
			calls := make([]task.Bound, 4_300)
			for i := range calls {
				calls[i] = work.Bind(args{i + 1})
			}
			errs := 0
			for at := 0; at < len(calls); {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // so that a request is not repeated
				_, err := r.arb.SubmitSeq(ctx, slices.Values(calls[at:]))
				cancel()
				if err == nil {
					break
				}
				errs++
				sub, ok := errors.AsType[*task.SubmitError](err)
				if !ok {
					t.Fatal(err)
				}
				var again []task.Bound
				for _, f := range sub.Failed {
					again = append(again, calls[at+f.Index])
				}
				if err := r.arb.Submit(t.Context(), again...); err != nil {
					t.Fatal(err)
				}
				at += sub.Total
			}
			if errs < 2 {
				t.Errorf("%d errors, want several", errs)
			}
			time.Sleep(time.Minute)
			got := s.list()
			if slices.Sort(got); !slices.Equal(got, ints(1, len(calls))) {
				t.Errorf("%d tasks have run, want each of %d once", len(got), len(calls))
			}
		})
	}
}

// The starts of a sequence with Spread are spread evenly, although nobody knows how many calls there are.
func TestSpreadOfSequence(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var s seen
		r.crew(20, s.handle)
		began := time.Now()
		if n, err := r.arb.SubmitSeq(t.Context(), upTo(1, 3_000, nil, task.Spread(time.Hour))); n != 3_000 || err != nil {
			t.Fatalf("%d stored, %v", n, err)
		}
		time.Sleep(61 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		var minutes [60]int
		for _, at := range s.at {
			minutes[min(int(at.Sub(began)/time.Minute), 59)]++
		}
		for i, n := range minutes {
			if n < 47 || n > 53 {
				t.Errorf("%d tasks have started in minute %d, want about 50: %v", n, i, minutes)
			}
		}
	})
}
