package minion_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// gauge is a handler that remembers how many of it ran at once.
type gauge struct{ now, most atomic.Int32 }

func (g *gauge) handle(context.Context, fileArgs) (task.None, error) {
	now := g.now.Add(1)
	defer g.now.Add(-1)
	for m := g.most.Load(); now > m && !g.most.CompareAndSwap(m, now); m = g.most.Load() {
	}
	time.Sleep(5 * time.Millisecond)
	return task.None{}, nil
}

type fileArgs struct {
	File string `arbiter:"file"`
}

// Of the minion's ten slots, at most two render at the same time. The mails behind them do not
// wait for that.
func ExampleAtMost() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, minion.AtMost("render", 2), minion.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	render, mail := task.Define[fileArgs, task.None]("render"), task.Define[fileArgs, task.None]("mail")
	var renders, mails gauge
	if err := errors.Join(task.Handle(m, render, renders.handle), task.Handle(m, mail, mails.handle)); err != nil {
		log.Fatal(err)
	}
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	var calls []task.Call[task.None]
	for i := range 10 {
		calls = append(calls, render.Bind(fileArgs{fmt.Sprint("film", i)}))
	}
	for i := range 10 {
		calls = append(calls, mail.Bind(fileArgs{fmt.Sprint("letter", i)}))
	}
	all, err := task.All(calls...).Send(ctx, arb)
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(ctx, 10) }()
	defer func() { _ = m.Close() }()

	_, err = all.Result(ctx)
	fmt.Println("all done", err)
	fmt.Println("renders at once:", renders.most.Load())

	// Output:
	// all done <nil>
	// renders at once: 2
}

// The tasks of the queue "slow" take at most one of the minion's slots, so there always are
// slots for the others.
func ExampleAtMostFrom() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, minion.Queues("slow", "default"), minion.AtMostFrom("slow", 1), minion.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	report := task.Define[fileArgs, task.None]("report", task.Queue("slow"))
	var reports gauge
	if err := task.Handle(m, report, reports.handle); err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(ctx, 10) }()
	defer func() { _ = m.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	calls := make([]task.Call[task.None], 10)
	for i := range calls {
		calls[i] = report.Bind(fileArgs{fmt.Sprint("report", i)})
	}
	all, err := task.All(calls...).Send(ctx, arb)
	if err != nil {
		log.Fatal(err)
	}
	_, err = all.Result(ctx)
	fmt.Println("all done", err)
	fmt.Println("reports at once:", reports.most.Load())

	// Output:
	// all done <nil>
	// reports at once: 1
}
