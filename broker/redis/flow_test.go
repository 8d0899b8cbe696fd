package redis_test

import (
	"encoding/hex"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// The keys of a flow that has not ended are kept for longer than a member can wait. The time begins
// anew with each member that arrives.
func TestFlowKeysOutliveTheirMembers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		opts, err := goredis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		raw := goredis.NewClient(opts)
		defer func() { _ = raw.Close() }()
		ids := []broker.ID{broker.NewID(broker.KindTask, "q", 0), broker.NewID(broker.KindTask, "q", 0)}
		f := &broker.Flow{ID: broker.NewID(broker.KindGroup, "", 0), Size: len(ids), Quorum: len(ids), Retention: time.Hour}
		kept := func(want int, within func(time.Duration) bool) {
			t.Helper()
			keys, err := raw.Keys(t.Context(), "*:flow:*").Result()
			if err != nil || len(keys) != want {
				t.Fatalf("keys %v, %v, want %d", keys, err, want)
			}
			for _, key := range keys {
				if d, err := raw.PTTL(t.Context(), key).Result(); err != nil || !within(d) {
					t.Errorf("%s is kept for %v, %v", key, d, err)
				}
			}
		}
		short := func(d time.Duration) bool { return d > broker.OpenPatience-time.Hour && d <= broker.OpenPatience }
		long := func(d time.Duration) bool { return d > broker.MaxDuration && d <= broker.FlowPatience }
		for _, part := range []struct {
			from int
			ids  []broker.ID
			want func(time.Duration) bool
		}{{0, ids[:1], short}, {1, ids[1:], long}, {0, ids[:1], long}} { // the last call repeats the first one
			if err := b.OpenFlow(t.Context(), f, part.from, part.ids); err != nil {
				t.Fatal(err)
			}
			kept(2, part.want)
		}
		for i, id := range ids {
			for _, key := range []string{"flow", "members", "results"} { // an earlier build has set these expiries
				raw.PExpire(t.Context(), "{arbiter:flow:"+hex.EncodeToString(f.ID[:])+"}:"+key, time.Hour)
			}
			_, err := b.Arrive(t.Context(), f.ID, []broker.Arrival{{Queue: "q", Task: id, Flow: f.ID, Step: uint32(i), Outcome: broker.Outcome{State: broker.StateSucceeded}}})
			if err != nil {
				t.Fatal(err)
			}
			kept(3, long)
		}
		if err := b.EndFlow(t.Context(), f.ID, &broker.Outcome{State: broker.StateSucceeded}); err != nil {
			t.Fatal(err)
		}
		kept(3, func(d time.Duration) bool { return d > 0 && d <= time.Hour })
	})
}
