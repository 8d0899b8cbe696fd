package minion_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// sealed is a codec that the children of this program don't have, except in some roles.
var sealed = func() codec.Codec {
	c, err := codec.Sign(codec.Msgpack(), []byte("a secret of 16 bytes or more"))
	if err != nil {
		panic(err)
	}
	return c
}()

// ownCodec neither signs nor encrypts.
type ownCodec struct{ codec.Codec }

func (ownCodec) Name() string { return "own" }

// A codec that the minion accepts and its children do not is an error of Run, instead of a
// crash of every task.
func TestIsolatedCodecs(t *testing.T) {
	t.Parallel()
	own := ownCodec{codec.Msgpack()}
	for name, tt := range map[string]struct {
		opt    minion.Option
		lacked string // the codec that the error names; empty if the minion may run
	}{
		"none":                 {minion.Codecs(), ""},
		"built in":             {minion.Codec(codec.JSON()), ""},
		"sealed":               {minion.Codec(sealed), sealed.Name()},
		"sealed among others":  {minion.Codecs(codec.JSON(), sealed), sealed.Name()},
		"own":                  {minion.Codec(own), "own"},
		"own, to receive only": {minion.Codecs(own), "own"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // a minion that may run returns at once
			b := memory.New()
			defer func() { _ = b.Close() }()
			m := must(minion.New(b, tt.opt, minion.Logger((&logs{}).logger())))
			if err := registerIsolated(m); err != nil {
				t.Fatal(err)
			}
			err := m.Run(ctx, 1)
			if tt.lacked == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), `"`+tt.lacked+`"`) ||
				!strings.Contains(err.Error(), "give Child the same options Codec and Codecs") {
				t.Errorf("error %v, want ErrInvalid that names %s and the remedy", err, tt.lacked)
			}
			// A minion without isolated tasks has no children, so Child does not matter.
			m = must(minion.New(b, tt.opt, minion.Logger((&logs{}).logger())))
			if err := task.Handle(m, plain, func(context.Context, args) (int, error) { return 0, nil }); err != nil {
				t.Fatal(err)
			}
			if err := m.Run(ctx, 1); err != nil {
				t.Error(err)
			}
		})
	}
}
