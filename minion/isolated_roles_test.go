//go:build unix

package minion_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

func init() {
	roles = func() {
		proc.Main(map[string]proc.Role{
			"minion": playMinion, "unhooked": playUnhooked,
			"sealed": playSealed, "divided": playSealed, "unregistered": playUnregistered,
		})
	}
}

// playMinion runs a minion whose tasks never end, and prints the output of its children.
func playMinion(context.Context, json.RawMessage) error {
	b := memory.New()
	m := must(minion.New(b, minion.Logger(slog.New(slog.NewTextHandler(os.Stdout, nil)))))
	if err := registerIsolated(m); err != nil {
		return err
	}
	arb, err := arbiter.New(b)
	if err != nil {
		return err
	}
	for _, d := range []deed{{What: "spin", Text: "spins"}, {What: "obey", Text: "waits"}, {What: "echo"}} {
		if _, err := isolated.Apply(context.Background(), arb, d); err != nil {
			return err
		}
	}
	return m.Run(context.Background(), 3)
}

// playUnhooked is a program that has not called minion.Child.
func playUnhooked(ctx context.Context, _ json.RawMessage) error {
	m := must(minion.New(memory.New()))
	if err := registerIsolated(m); err != nil {
		return err
	}
	err := m.Run(ctx, 1)
	if !errors.Is(err, broker.ErrInvalid) {
		return fmt.Errorf("run returned %w", err)
	}
	fmt.Println(err)
	// It now pretends to be a child whose program does other things first.
	if err := os.Setenv("ARBITER_ISOLATED", "1,3,4"); err != nil {
		return err
	}
	m = must(minion.New(memory.New()))
	if err := task.Handle(m, plain, func(context.Context, args) (int, error) { return 0, nil }); err != nil {
		return err
	}
	fmt.Println(m.Run(ctx, 1))
	return nil
}

// A program that would run its main function twice is stopped.
func TestIsolatedUnhooked(t *testing.T) {
	t.Parallel()
	p := proc.Start(t, "unhooked", nil)
	if status := p.Wait(t); status != 0 || !strings.Contains(p.Output(), "minion.Child was not called") ||
		!strings.Contains(p.Output(), "is a child of a minion") {
		t.Errorf("status %d", status)
	}
}

// playSealed is a program that gives Child the codec of its minion.
func playSealed(ctx context.Context, _ json.RawMessage) error {
	b := memory.New()
	m := must(minion.New(b, minion.Codec(sealed)))
	if err := registerIsolated(m); err != nil {
		return err
	}
	go func() { _ = m.Run(ctx, 1) }()
	arb, err := arbiter.New(b, arbiter.Codec(sealed))
	if err != nil {
		return err
	}
	tr, err := isolated.With(task.Retries(0)).Call(ctx, arb, deed{What: "echo", Text: "from a child"})
	fmt.Println(tr.Text, tr.PID != os.Getpid(), err)
	if err := errors.Join(m.Close(), arb.Close()); err != nil {
		return err
	}
	// A child of this program refuses the built-in codecs.
	m = must(minion.New(memory.New()))
	if err := registerIsolated(m); err != nil {
		return err
	}
	fmt.Println(m.Run(ctx, 1))
	return nil
}

// playUnregistered is a program that gives Child no register function.
func playUnregistered(ctx context.Context, _ json.RawMessage) error {
	m := must(minion.New(memory.New()))
	if err := registerIsolated(m); err != nil {
		return err
	}
	fmt.Println(m.Run(ctx, 1))
	return nil
}

// If Child has the minion's codec, children run its tasks. The first call of Child decides
// which codecs they accept.
func TestIsolatedSealed(t *testing.T) {
	t.Parallel()
	p := proc.Start(t, "sealed", nil)
	if status := p.Wait(t); status != 0 || !strings.Contains(p.Output(), "from a child true <nil>") ||
		!strings.Contains(p.Output(), `minion.Child does not accept the codec "msgpack"`) {
		t.Errorf("status %d: %s", status, p.Output())
	}
}

// If a program gives Child other codecs in its children than in the minion's process, the
// errors of the tasks say so.
func TestIsolatedDivided(t *testing.T) {
	t.Parallel()
	p := proc.Start(t, "divided", nil)
	if status := p.Wait(t); status != 0 || !strings.Contains(p.Output(), task.ErrCrashed.Error()) ||
		!strings.Contains(p.Output(), "the minion's codec is not among those of minion.Child") {
		t.Errorf("status %d: %s", status, p.Output())
	}
}

func TestIsolatedUnregistered(t *testing.T) {
	t.Parallel()
	p := proc.Start(t, "unregistered", nil)
	if status := p.Wait(t); status != 0 || !strings.Contains(p.Output(), "minion.Child: invalid: register is nil") {
		t.Errorf("status %d: %s", status, p.Output())
	}
}
