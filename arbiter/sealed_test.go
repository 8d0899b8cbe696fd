package arbiter_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// sealings are codecs that sign or encrypt.
func sealings(t *testing.T) []codec.Codec {
	t.Helper()
	key := []byte("0123456789abcdef0123456789abcdef")
	signed, err := codec.Sign(codec.Msgpack(), key)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := codec.Encrypt(codec.JSON(), key)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := codec.Encrypt(codec.Compress(codec.Msgpack()), key)
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := codec.Hide(packed)
	if err != nil {
		t.Fatal(err)
	}
	return []codec.Codec{signed, encrypted, hidden}
}

// refusal checks that err tells which codec was refused and the remedy, or that the error is sealed and can't be read
// without the key.
func refusal(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("it was accepted")
		return
	}
	if strings.HasSuffix(err.Error(), "the error is sealed") {
		return
	}
	for _, says := range []string{`"msgpack"`, "Codecs"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v, which does not say %q", err, says)
		}
	}
}

// A process that is given a codec with a key, even only by Codecs, uses it for everything and accepts nothing else.
func TestSealedAlone(t *testing.T) {
	for _, c := range sealings(t) {
		t.Run(c.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.arb = r.arbiter(arbiter.Codecs(c))
				j := r.flowCrew(3, moody, minion.Codecs(c))
				fut := r.send(1)
				if n, err := await(t, fut); n != 1 || err != nil {
					t.Errorf("a task: %d, %v", n, err)
				}
				if st, err := r.arb.Status(t.Context(), fut.ID()); err != nil || st.State != broker.StateSucceeded {
					t.Errorf("its status: %+v, %v", st, err)
				}
				call := task.Then(task.All(work.Bind(args{1}), task.Then(work.Bind(args{2}), plus(10))), sumStep())
				if n, err := run(r, call); n != 13 || err != nil {
					t.Errorf("a pipe of a group: %d, %v", n, err)
				}
				if n, err := run(r, task.Then(task.Collect(work.Bind(args{0})), countStep())); n != 0 || err != nil {
					t.Errorf("none succeeded: %d, %v", n, err)
				}
				g, err := arbiter.GroupOf(t.Context(), r.arb, works(1, 2),
					arbiter.Callback(noteTask.Bind(args{3})), arbiter.Finalizer(noteTask.Bind(args{4}), time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := g.Results(t.Context()); !slices.Equal(got, []int{1, 2}) || err != nil {
					t.Errorf("a group: %v, %v", got, err)
				}
				time.Sleep(time.Second)
				if got := j.noted(); !slices.Equal(got, []int{3, 4}) {
					t.Errorf("callback and finalizer: %v", got)
				}
				squad, err := arbiter.SquadOf(t.Context(), r.arb, works(1, 2), arbiter.WaitForWorkers(time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := squad.Results(t.Context()); !slices.Equal(got, []int{1, 2}) || err != nil {
					t.Errorf("a squad: %v, %v", got, err)
				}
				if err := r.arb.Emit(t.Context(), "news", 5); err != nil {
					t.Fatal(err)
				}
				for ev, err := range r.arb.Listen(t.Context(), "news", broker.CursorStart) {
					var n int
					if err != nil || ev.Decode(&n) != nil || n != 5 {
						t.Errorf("an event: %d, %v", n, err)
					}
					break
				}
			})
		})
	}
}

// An arbiter with a sealing codec does not accept a result without a seal.
func TestSealedArbiterRefuses(t *testing.T) {
	for _, c := range sealings(t) {
		t.Run(c.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.crew(1, echo)
				fut := r.send(1)
				if n, err := await(t, fut); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				wary := r.arbiter(arbiter.Codecs(c))
				_, err := task.NewFuture[int](wary, fut.ID()).Result(t.Context())
				refusal(t, err)
				st, err := wary.Status(t.Context(), fut.ID())
				if err != nil {
					t.Fatal(err)
				}
				_, err = st.Result()
				refusal(t, err)
				if err := r.arb.Emit(t.Context(), "news", 5); err != nil {
					t.Fatal(err)
				}
				for ev, err := range wary.Listen(t.Context(), "news", broker.CursorStart) {
					if err != nil {
						t.Fatal(err)
					}
					refusal(t, ev.Decode(new(int)))
					break
				}
			})
		})
	}
}

// While processes change to a sealing codec, results without a seal are accepted by an arbiter that names their codec.
func TestSealedChangeOver(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := sealings(t)[0]
		r.crew(1, echo, minion.Codecs(c, codec.Msgpack()))
		for _, arb := range []*arbiter.Arbiter{
			r.arbiter(), r.arbiter(arbiter.Codec(c)), r.arbiter(arbiter.Codec(codec.Msgpack()), arbiter.Codecs(c)),
		} {
			if n, err := work.Call(t.Context(), arb, args{1}); n != 1 || err != nil {
				t.Error(n, err)
			}
		}
	})
}

// A minion with a sealing codec runs no task without a seal, neither alone nor in a pipe or group.
func TestSealedMinionRefuses(t *testing.T) {
	for _, c := range sealings(t) {
		t.Run(c.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				j := r.flowCrew(1, moody, minion.Codecs(c))
				fut := r.send(1)
				_, err := await(t, fut)
				refusal(t, err)
				if !errors.As(err, new(*task.RemoteError)) {
					t.Errorf("%T: %v", err, err)
				}
				letters, _, err := r.b.Broker.(broker.Inspector).DeadLetters(context.Background(), "default", "", 10)
				if err != nil || len(letters) != 1 || letters[0].Task.ID != fut.ID() {
					t.Errorf("dead letters: %+v, %v", letters, err)
				}
				_, err = run(r, task.Then(work.Bind(args{1}), plus(1)))
				refusal(t, err)
				_, err = run(r, task.Then(task.All(work.Bind(args{1})), sumStep()))
				refusal(t, err)
				if n := j.count("work") + j.count("add") + j.count("sum"); n != 0 {
					t.Errorf("%d ran", n)
				}
			})
		})
	}
}

// TestPlainFlowsBesideSeals checks that a process that accepts plain tasks beside sealed ones, as while a key is introduced,
// also learns why a plain group or pipe has failed, even inside another one.
func TestPlainFlowsBesideSeals(t *testing.T) {
	for _, c := range sealings(t) {
		t.Run(c.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.arb = r.arbiter(arbiter.Codec(codec.Msgpack()), arbiter.Codecs(c))
				r.flowCrew(3, moody, minion.Codecs(codec.Msgpack(), c))
				bad := work.Bind(args{0})
				for what, call := range map[string]func() error{
					"a group":           func() error { _, err := run(r, task.All(work.Bind(args{1}), bad)); return err },
					"a pipe":            func() error { _, err := run(r, task.Then(bad, plus(1))); return err },
					"a group in a pipe": func() error { _, err := run(r, task.Then(task.All(bad), sumStep())); return err },
					"a pipe in a group": func() error { _, err := run(r, task.All(task.Then(bad, plus(1)))); return err },
				} {
					if err := call(); !errors.Is(err, task.ErrFlowFailed) || !strings.HasSuffix(err.Error(), errBad.Error()) {
						t.Errorf("%s: %v", what, err)
					}
				}
			})
		})
	}
}
