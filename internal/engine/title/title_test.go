package title_test

import (
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/title"
)

func TestOf(t *testing.T) {
	id := broker.NewID(broker.KindTask, "q", 0)
	group, pipe := broker.NewID(broker.KindGroup, "", 0), broker.NewID(broker.KindPipe, "", 0)
	for got, want := range map[string]string{
		title.Of(id, "simple_add"):          "task simple_add (" + id.String() + ")",
		title.Of(id, ""):                    "task " + id.String(),
		title.Of(broker.ID{}, "simple_add"): "task simple_add",
		title.Of(group, "group"):            "group " + group.String(),
		title.Of(pipe, ""):                  "pipe " + pipe.String(),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
