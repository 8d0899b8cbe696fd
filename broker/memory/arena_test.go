package memory

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// An arena returns the outcomes and metadata that it was given, of all sizes, with times in
// ms.
func TestArena(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_123).UTC()
	given := []broker.Outcome{
		{State: broker.StateSucceeded, Codec: "msgpack"},
		{State: broker.StateCanceled, Codec: "msgpack", Name: "n", Attempts: 0, Finished: now},
		{State: broker.StateExpired, Codec: "json", Name: strings.Repeat("n", 128), Attempts: 1 << 31, Retried: 10_000},
		{State: broker.StateSucceeded, Codec: "msgpack", Result: []byte{3}, Name: "simple_add", Attempts: 1,
			Minion: broker.NewID(broker.KindParty, "q", 0), Enqueued: now, Started: now.Add(time.Second), Finished: now.Add(time.Minute)},
		{State: broker.StateSucceeded, Codec: "json", Result: bytes.Repeat([]byte{1}, 3*lastChunk)},
		{State: broker.StateSucceeded, Codec: "json", Result: []byte("after a large one"), Started: time.UnixMilli(-5).UTC()},
	}
	metas := []map[string]string{nil, {"k": "v", "": ""}, {"trace": strings.Repeat("t", 300)}, nil}
	var a arena
	var places []arenaPos
	const rounds = 500
	for range rounds {
		for i := range given {
			places = append(places, a.add("queue", wire.AppendOutcome(nil, &given[i]), metas[i%len(metas)]))
		}
	}
	for i, at := range places {
		want := &given[i%len(given)]
		queue, got, meta := a.get(at)
		if queue != "queue" || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(meta, metas[i%len(given)%len(metas)]) {
			t.Fatalf("outcome %d of %s is %+v with %v, want %+v", i, queue, got, meta, want)
		}
	}
	_, first, _ := a.get(places[3])
	first.Result[0] = 9
	if _, again, _ := a.get(places[3]); again.Result[0] != 3 {
		t.Error("what is handed out shares memory with what is kept")
	}
}
