package broker_test

import (
	"errors"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

func TestBlock(t *testing.T) {
	var b broker.Block
	same := func(x, y broker.ID) bool { x[15], y[15] = 0, 0; return x == y }
	seen := map[broker.ID]bool{}
	last := map[string]broker.ID{}
	for i := range 400 {
		queue := []string{"a", "b", "b"}[i%3]
		id := b.NewTaskID(queue, 0)
		if seen[id] || id.Kind() != broker.KindTask || id.QueueHash() != broker.QueueHash(queue) {
			t.Fatalf("id %d is %s", i, id)
		}
		seen[id] = true
		before := last[queue]
		if place := id.BlockPosition(); place != before.BlockPosition()%broker.BlockSize+1 || same(id, before) != (place > 1) {
			t.Fatalf("%s of queue %s comes after %s", id, queue, before)
		}
		last[queue] = id
	}
	// Large payloads make smaller blocks.
	first, second := b.NewTaskID("large", broker.BlockBytes/2), b.NewTaskID("large", broker.BlockBytes/2)
	third, fourth := b.NewTaskID("large", 1), b.NewTaskID("large", broker.BlockBytes+1)
	if !same(first, second) || same(second, third) || same(third, fourth) || fourth.BlockPosition() != 1 {
		t.Errorf("ids of large tasks: %s, %s, %s, %s: the first two must share a block, the others must not", first, second, third, fourth)
	}
	if alone := broker.NewTaskID("q", ""); alone.BlockPosition() != 0 {
		t.Errorf("%s is in a block", alone)
	}
	if id := (broker.ID{15: 65}); id.BlockPosition() != 0 {
		t.Errorf("%s is in a block", id)
	}
}

func TestID(t *testing.T) {
	for _, queue := range []string{"", "default", "a.b-c_d"} {
		for kind := broker.KindTask; kind <= broker.KindParty; kind++ {
			id := broker.NewID(kind, queue, 200)
			if id.Kind() != kind || id.QueueHash() != broker.QueueHash(queue) || id.Partition() != 200 || id.BlockPosition() != 0 {
				t.Errorf("%v: kind %d, hash %d, partition %d, position %d", id, id.Kind(), id.QueueHash(), id.Partition(), id.BlockPosition())
			}
			if id[6]>>4 != 7 || id[8]>>6 != 2 {
				t.Errorf("%v is no UUIDv7", id)
			}
			if other := id.AtPosition(5); other.BlockPosition() != 5 || other.Shard() != id.Shard() || other.AtPosition(0) != id {
				t.Errorf("%v at position 5 is %v", id, other)
			}
			back, err := broker.ParseID(id.String())
			if err != nil || back != id {
				t.Errorf("%v, written and read again, is %v, %v", id, back, err)
			}
		}
	}
	for _, s := range []string{"", "x", "{0198c0de-7000-7000-8000-000000000000}", "0198c0de7000700080000000000000000000"} {
		if _, err := broker.ParseID(s); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
