package task_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

type benchArgs struct {
	X int `arbiter:"x"`
	Y int `arbiter:"y"`
}

var benchTask = task.Define[benchArgs, int]("simple_add", task.Retries(3))

// BenchmarkPrepare binds a call and prepares its record.
func BenchmarkPrepare(b *testing.B) {
	enc, now := codec.Msgpack(), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := benchTask.Bind(benchArgs{1, 2}).Request().Prepare(enc, now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHandler decodes arguments, runs a handler and encodes its result.
func BenchmarkHandler(b *testing.B) {
	enc := codec.Msgpack()
	args, err := enc.AppendArgs(nil, benchArgs{1, 2})
	if err != nil {
		b.Fatal(err)
	}
	reg := task.Implement(benchTask, func(_ context.Context, a benchArgs) (int, error) { return a.X + a.Y, nil })
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		if out, err = reg.Handler(context.Background(), enc, args, out[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
