package client_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
)

// brittle is a codec whose DecodeValue panics.
type brittle struct{ codec.Codec }

func (brittle) Name() string { return "brittle" }

func (brittle) DecodeValue([]byte, any) error { panic(errBrittle) }

var errBrittle = errors.New("no good")

// A codec that panics causes an error with its name, and does not end the program.
func TestCodecPanics(t *testing.T) {
	var n int
	o := &broker.Outcome{State: broker.StateSucceeded, Codec: "brittle", Result: []byte{1}}
	err := client.Decode(broker.NewTaskID("default", ""), o, &n, []codec.Codec{brittle{codec.Msgpack()}})
	var named *codec.Error
	if !errors.As(err, &named) || named.Codec != "brittle" || !errors.Is(err, errBrittle) ||
		!strings.Contains(err.Error(), "brittle: DecodeValue panicked: no good") {
		t.Errorf("%v", err)
	}
}
