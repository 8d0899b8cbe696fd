package memory

import (
	"math/rand/v2"
	"testing"
)

// Each key comes out once, after its minute is over and not before.
func TestExpiryQueue(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var a expiryQueue[int]
	due := map[int]instant{}
	var now instant
	for step := range 5_000 {
		for range rng.IntN(200) {
			key := len(due) + step*1_000
			due[key] = now + instant(rng.Int64N(int64(3*minute)))
			a.add(due[key], key)
		}
		now += instant(rng.Int64N(int64(minute)))
		for n := 1 + rng.IntN(2_000); ; {
			keys := a.take(now, n)
			if len(keys) == 0 {
				break
			}
			if len(keys) > n {
				t.Fatalf("%d keys, want %d at most", len(keys), n)
			}
			for _, k := range keys {
				if end, ok := due[k]; !ok || minuteEnd(end) > now {
					t.Fatalf("key %d of %d came at %d (noted: %v)", k, end, now, ok)
				}
				delete(due, k)
			}
		}
		for k, at := range due {
			if minuteEnd(at) <= now {
				t.Fatalf("key %d of %d has not come at %d", k, at, now)
			}
		}
		if (a.next() == never) != (len(due) == 0) || len(a.keys) != len(a.minutes) {
			t.Fatalf("%d keys are left, the next at %d; %d minutes, %d of them in order", len(due), a.next(), len(a.keys), len(a.minutes))
		}
	}
}
