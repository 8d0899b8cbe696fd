package arbiter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var got []int
		var cursor broker.Cursor
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			var last error
			for ev, err := range r.arb.Listen(ctx, "news", broker.CursorNow) {
				if err != nil {
					last = err
					continue
				}
				var n int
				if err := ev.Decode(&n); err != nil || ev.Topic != "news" {
					t.Errorf("event: %+v, %v", ev, err)
				}
				got, cursor = append(got, n), ev.Cursor
			}
			done <- last
		}()
		synctest.Wait()
		other := r.arbiter(arbiter.Codec(codec.JSON()))
		for i := range 5 {
			if err := r.arb.Emit(t.Context(), "news", i); err != nil {
				t.Fatal(err)
			}
			if err := other.Emit(t.Context(), "news", 100+i); err != nil {
				t.Fatal(err)
			}
			if err := r.arb.Emit(t.Context(), "other", i); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the end: %v", err)
		}
		if len(got) != 10 || got[0] != 0 || got[9] != 104 {
			t.Errorf("events: %v", got)
		}
		// Another loop goes on where the first was left.
		if err := r.arb.Emit(t.Context(), "news", "late"); err != nil {
			t.Fatal(err)
		}
		for ev, err := range other.Listen(t.Context(), "news", cursor) {
			var s string
			if err != nil || ev.Decode(&s) != nil || s != "late" {
				t.Errorf("event: %q, %v", s, err)
			}
			if ev.Decode(new(int)) == nil {
				t.Error("a string was decoded as a number")
			}
			break
		}
		n := 0
		for _, err := range other.Listen(t.Context(), "news", broker.CursorStart) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 11 {
				break
			}
		}
	})
}

func TestListenEnds(t *testing.T) {
	for name, end := range map[string]func(r *rig){
		"arbiter closed": func(r *rig) { _ = r.arb.Close() },
		"broker closed":  func(r *rig) { _ = r.b.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				done := make(chan error, 1)
				go func() {
					for _, err := range r.arb.Listen(t.Context(), "news", broker.CursorNow) {
						done <- err
					}
				}()
				synctest.Wait()
				end(r)
				if err := <-done; !errors.Is(err, task.ErrClosed) {
					t.Errorf("the end: %v", err)
				}
			})
		})
	}
}

func TestListenMissed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.arb.Emit(t.Context(), "news", 1); err != nil {
			t.Fatal(err)
		}
		var first broker.Cursor
		for ev, err := range r.arb.Listen(t.Context(), "news", broker.CursorStart) {
			if err != nil {
				t.Fatal(err)
			}
			first = ev.Cursor
			break
		}
		if err := r.arb.Emit(t.Context(), "news", 2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		if err := r.arb.Emit(t.Context(), "news", 3); err != nil {
			t.Fatal(err)
		}
		var errs []error
		for ev, err := range r.arb.Listen(t.Context(), "news", first) {
			if err != nil {
				errs = append(errs, err)
				continue
			}
			var n int
			if err := ev.Decode(&n); n != 3 || err != nil {
				t.Errorf("event: %d, %v", n, err)
			}
			break
		}
		if len(errs) != 1 || !errors.Is(errs[0], arbiter.ErrMissed) {
			t.Errorf("errors: %v", errs)
		}
	})
}

func TestEventsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for says, err := range map[string]error{
			"no good":      r.arb.Emit(t.Context(), "no good", 1),
			"chan":         r.arb.Emit(t.Context(), "news", make(chan int)),
			"the limit is": r.arb.Emit(t.Context(), "news", strings.Repeat("x", 2<<20)),
		} {
			if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), says) {
				t.Errorf("emit: %v, want an error that says %q", err, says)
			}
		}
		for _, err := range r.arb.Listen(t.Context(), "no good", broker.CursorNow) {
			if !errors.Is(err, task.ErrInvalid) {
				t.Errorf("listen: %v", err)
			}
		}
		// An event that no arbiter wrote is yielded with an error, and the loop goes on.
		raw := []broker.Event{{Topic: "news", Payload: nil}, {Topic: "news", Payload: []byte{200, 1}}}
		if err := r.b.Publish(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
		if err := r.arb.Emit(t.Context(), "news", 5); err != nil {
			t.Fatal(err)
		}
		bad := 0
		for ev, err := range r.arb.Listen(t.Context(), "news", broker.CursorStart) {
			if err != nil {
				bad++
				if !errors.Is(err, broker.ErrMalformed) || ev.Cursor == "" {
					t.Errorf("event: %+v, %v", ev, err)
				}
				continue
			}
			break
		}
		if bad != 2 {
			t.Errorf("%d bad events, want 2", bad)
		}
	})
}
