package request_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task/request"
)

// spread returns the requests of n tasks that are spread over a time.
func spread(n int, d time.Duration) []*request.Request {
	out := make([]*request.Request, n)
	for i := range out {
		s := request.Default()
		s.Spread = d
		out[i] = request.New("job", codec.Arguments{}, &s)
	}
	return out
}

// delay returns the delay that a request is sent with.
func delay(t *testing.T, r *request.Request) time.Duration {
	t.Helper()
	var draft broker.Task
	if err := r.Draft(&draft, codec.Msgpack(), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	return draft.Delay
}

// Calls that are sent together are due at equal distances.
func TestSpread(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		n int
		d time.Duration
	}{{1, time.Hour}, {3, time.Second}, {7, time.Nanosecond}, {1000, broker.MaxDuration}} {
		all := spread(test.n, test.d)
		request.Spread(all)
		for i, r := range all {
			want := time.Duration(math.Floor(float64(test.d) / float64(test.n) * float64(i)))
			if got := delay(t, r); (got - want).Abs() > time.Duration(float64(test.d)*1e-9) {
				t.Fatalf("%d over %v: call %d is delayed by %v, want %v", test.n, test.d, i, got, want)
			}
		}
	}
	exact := spread(10, 10*time.Second)
	request.Spread(exact)
	if got := delay(t, exact[3]); got != 3*time.Second {
		t.Errorf("a delay of %v, want 3s", got)
	}
}

// Calls without the option, and nil, have no place among the others. A request keeps its place, whatever it is sent with.
func TestSpreadKeepsPlaces(t *testing.T) {
	t.Parallel()
	all := spread(4, 4*time.Second)
	mixed := []*request.Request{request.New("other", codec.Arguments{}, nil), all[0], all[1], request.New("other", codec.Arguments{}, nil), all[2], all[3]}
	request.Spread(mixed)
	request.Spread(all[2:])
	request.Spread(append(slices.Clone(all[3:]), spread(1, time.Second)...))
	for i, r := range all {
		if got := delay(t, r); got != time.Duration(i)*time.Second || r.Spreads() {
			t.Errorf("call %d is delayed by %v", i, got)
		}
	}
	if got := delay(t, mixed[0]); got != 0 {
		t.Errorf("a call without the option is delayed by %v", got)
	}
	if other := all[2].With(func(*request.Settings) {}); !other.Spreads() {
		t.Error("another invocation has the place of the first one")
	}
}

// A call that is sent without others is refused.
func TestSpreadAlone(t *testing.T) {
	t.Parallel()
	r := spread(1, time.Second)[0]
	draftErr := r.Draft(new(broker.Task), codec.Msgpack(), time.Now(), nil)
	inFlow := request.Pipe([]*request.Request{request.New("job", codec.Arguments{}, nil)}).With(func(s *request.Settings) { s.Spread = time.Second })
	for what, err := range map[string]error{"Draft": draftErr, "Alone": r.Alone(), "a pipe": inFlow.Check()} {
		if !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), "Spread has no effect") || !strings.Contains(err.Error(), "SendAll") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// However many calls a sequence has, their delays are spread evenly: the largest gap between two of them is less than
// three times the average.
func TestSpreadSeq(t *testing.T) {
	t.Parallel()
	const d = time.Hour
	var seq request.SpreadSeq
	var delays []time.Duration
	for i, r := range spread(3000, d) {
		seq.Place(r)
		seq.Place(r) // it has its place already
		seq.Place(request.New("other", codec.Arguments{}, nil))
		seq.Place(nil)
		got := delay(t, r)
		if want := math.Mod(float64(i)*(math.Sqrt(5)-1)/2, 1) * float64(d); math.Abs(float64(got)-want) > float64(time.Millisecond) {
			t.Fatalf("call %d is delayed by %v, want %v", i, got, time.Duration(want))
		}
		at, found := slices.BinarySearch(delays, got)
		if found {
			t.Fatalf("two calls are delayed by %v", got)
		}
		delays = slices.Insert(delays, at, got)
		largest := d - delays[len(delays)-1] + delays[0] // as on a circle
		for k := 1; k < len(delays); k++ {
			largest = max(largest, delays[k]-delays[k-1])
		}
		if most := 3 * d / time.Duration(len(delays)); largest > most {
			t.Fatalf("of %d calls, two neighbours are %v apart, want at most %v", len(delays), largest, most)
		}
	}
}
