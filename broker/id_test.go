package broker_test

import (
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
		if place := id.BlockPlace(); place != before.BlockPlace()%broker.BlockSize+1 || same(id, before) != (place > 1) {
			t.Fatalf("%s of queue %s comes after %s", id, queue, before)
		}
		last[queue] = id
	}
	// Large payloads make smaller blocks.
	first, second := b.NewTaskID("large", broker.BlockBytes/2), b.NewTaskID("large", broker.BlockBytes/2)
	third, fourth := b.NewTaskID("large", 1), b.NewTaskID("large", broker.BlockBytes+1)
	if !same(first, second) || same(second, third) || same(third, fourth) || fourth.BlockPlace() != 1 {
		t.Errorf("ids of large tasks: %s, %s, %s, %s: the first two must share a block, the others must not", first, second, third, fourth)
	}
	if alone := broker.NewTaskID("q", ""); alone.BlockPlace() != 0 {
		t.Errorf("%s is in a block", alone)
	}
	if id := (broker.ID{15: 65}); id.BlockPlace() != 0 {
		t.Errorf("%s is in a block", id)
	}
}
