package minion_test

import (
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
)

// Compress around a codec that seals would decompress a value before its seal is checked.
// Arbiters and minions refuse it, and the error says which order is right.
func TestWrongWrapping(t *testing.T) {
	t.Parallel()
	b := memory.New()
	defer func() { _ = b.Close() }()
	wrong := codec.Compress(sealed)
	arb, err := arbiter.New(b, arbiter.Codec(wrong))
	if err == nil || !strings.Contains(err.Error(), "Compress") {
		t.Errorf("New of an arbiter: %v", err)
	}
	if err == nil {
		_ = arb.Close()
	}
	if _, err = minion.New(b, minion.Codec(wrong)); err == nil || !strings.Contains(err.Error(), "Compress") {
		t.Errorf("New of a minion: %v", err)
	}
}
