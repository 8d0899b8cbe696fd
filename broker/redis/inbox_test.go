package redis_test

import (
	"encoding/binary"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// A truncated message to an inbox brings its whole notices and a gap, wherever it is cut.
func TestTruncatedMail(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	b := open(t, "redis://"+server.Addr())
	box := broker.NewID(broker.KindParty, "", 0)
	in, err := b.Inbox(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	channels := server.PubSubChannels("*inbox*")
	if len(channels) != 1 {
		t.Fatalf("channels %q, want only the one of the inbox", channels)
	}
	var mail []byte
	var ends []int // where each notice ends
	for i := range 3 {
		id := broker.NewTaskID("q", "")
		record := wire.AppendOutcome(nil, &broker.Outcome{State: broker.StateSucceeded, Codec: "msgpack", Result: []byte{byte(i)}})
		mail = append(mail, id[:]...)
		mail = binary.BigEndian.AppendUint32(mail, uint32(len(record)))
		mail = append(mail, record...)
		ends = append(ends, len(mail))
	}
	// An empty record is not accepted.
	id := broker.NewTaskID("q", "")
	server.Publish(channels[0], string(id[:])+"\x00\x00\x00\x00")
	if m, err := in.Receive(t.Context()); err != nil || len(m.Notices) > 0 || !m.Gap {
		t.Errorf("an empty record brought %+v, %v, want a gap alone", m, err)
	}
	for n := 1; n <= len(mail); n++ {
		server.Publish(channels[0], string(mail[:n]))
		want, whole := 0, false
		for _, end := range ends {
			if end <= n {
				want++
			}
			whole = whole || end == n
		}
		got, gap := 0, false
		for got < want || !whole && !gap {
			m, err := in.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, notice := range m.Notices {
				if o, err := wire.ParseOutcome(notice.Record); err != nil || len(o.Result) != 1 || int(o.Result[0]) != got {
					t.Fatalf("of %d bytes, notice %d is %+v (%v)", n, got, o, err)
				}
				got++
			}
			gap = gap || m.Gap
		}
		if got != want || gap == whole {
			t.Errorf("%d of %d bytes brought %d notices, want %d, and a gap: %v", n, len(mail), got, want, gap)
		}
	}
}
