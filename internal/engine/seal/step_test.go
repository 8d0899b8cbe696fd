package seal_test

import (
	"errors"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
)

// A durable step and a signal are sealed for their task and their name, and neither passes for the other.
func TestStepIsBound(t *testing.T) {
	s := sealer(t)
	step, err := seal.Step(s, id(1), "charge", []byte("receipt"))
	if err != nil {
		t.Fatal(err)
	}
	signal, err := seal.Signal(s, id(1), "charge", []byte("receipt"))
	if err != nil {
		t.Fatal(err)
	}
	result := broker.Outcome{State: broker.StateSucceeded, Name: "charge", Result: []byte("receipt")}
	if err := seal.Outcome(s, id(1), &result); err != nil {
		t.Fatal(err)
	}
	openStep := func(id broker.ID, name string, data []byte) ([]byte, error) { return seal.OpenStep(s, id, name, data) }
	openSignal := func(id broker.ID, name string, data []byte) ([]byte, error) {
		return seal.OpenSignal(s, id, name, data)
	}
	for what, c := range map[string]struct {
		open  func(id broker.ID, name string, data []byte) ([]byte, error)
		own   []byte
		other []byte
	}{
		"step":   {openStep, step, signal},
		"signal": {openSignal, signal, step},
	} {
		if plain, err := c.open(id(1), "charge", c.own); err != nil || string(plain) != "receipt" {
			t.Errorf("%s: %q, %v", what, plain, err)
		}
		for change, forged := range map[string]struct {
			id   broker.ID
			name string
			data []byte
		}{
			"another task":   {id(2), "charge", c.own},
			"another name":   {id(1), "ship", c.own},
			"the other kind": {id(1), "charge", c.other},
			"a result":       {id(1), "charge", result.Result},
			"no seal":        {id(1), "charge", []byte("receipt")},
			"nothing":        {id(1), "charge", nil},
			"damaged":        {id(1), "charge", append([]byte{c.own[0] ^ 1}, c.own[1:]...)},
		} {
			if _, err := c.open(forged.id, forged.name, forged.data); !errors.Is(err, codec.ErrForged) {
				t.Errorf("%s: %s: %v", what, change, err)
			}
		}
	}
}
