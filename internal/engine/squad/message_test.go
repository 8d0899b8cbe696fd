package squad_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
)

func message() squad.Message {
	return squad.Message{
		Kind: squad.Granted, Squad: broker.NewID(broker.KindGroup, "", 0), From: broker.NewID(broker.KindParty, "", 0),
		Round: 7, N: 3, Slots: 1_000_000, Free: 12, Reserved: 5, For: 5 * time.Second, Each: 4,
	}
}

func TestMessage(t *testing.T) {
	want := message()
	got, err := squad.Parse(want.Append(nil))
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if got, err = squad.Parse(append(want.Append(nil), "more"...)); err != nil || got != want {
		t.Errorf("with more behind it: %+v, %v", got, err)
	}
	want.Each = 0
	if got, err = squad.Parse(want.Append(nil)); err != nil || got != want {
		t.Errorf("without a number of slots for each member: %+v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	m := message()
	text := m.Append(nil)
	f.Add(text)
	f.Add(text[:len(text)-4])
	f.Add(text[:20])
	f.Add([]byte{2})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := squad.Parse(b)
		switch {
		case err == nil:
			if again := m.Append(nil); !bytes.Equal(again, b[:len(again)]) {
				t.Errorf("%x is written as %x", b, again)
			}
		case !errors.Is(err, broker.ErrMalformed) && !errors.Is(err, broker.ErrVersion):
			t.Error(err)
		}
	})
}
