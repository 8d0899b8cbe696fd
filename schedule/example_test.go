package schedule_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/schedule"
	"github.com/go-arbiter/arbiter/task"
)

type reportArgs struct {
	Region string `arbiter:"region"`
}

var reportTask = task.Define[reportArgs, task.None]("report")

// A schedule runs a task every second, until it has run twice. The handler gets the nominal time.
func Example() {
	b := memory.New()
	defer func() { _ = b.Close() }()
	m, err := minion.New(b)
	if err != nil {
		log.Fatal(err)
	}
	ran := make(chan string)
	err = task.Handle(m, reportTask, func(ctx context.Context, args reportArgs) (task.None, error) {
		tick, _ := schedule.FromContext(ctx)
		ran <- fmt.Sprint(tick.Schedule, " of ", args.Region, ", a whole second: ", tick.Nominal.Nanosecond() == 0)
		return task.None{}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- m.Run(ctx, 1) }()
	go func() {
		done <- schedule.Run(ctx, b, schedule.Declared("example", schedule.Definition{
			Name: "reports", When: schedule.Cron("* * * * * *"), Call: reportTask.Bind(reportArgs{Region: "north"}), Runs: 2,
		}))
	}()
	fmt.Println(<-ran)
	fmt.Println(<-ran)
	cancel()
	fmt.Println(<-done, <-done)

	// Output:
	// reports of north, a whole second: true
	// reports of north, a whole second: true
	// <nil> <nil>
}

// Times that do not exist, because the clock is set forward, are due at the first moment after the gap.
func ExampleCron() {
	d := schedule.Definition{
		Name: "night", When: schedule.Cron("0 30 2 * * *").In("Europe/Berlin"), Call: reportTask.Bind(reportArgs{Region: "all"}),
	}
	ticks, err := d.Next(time.Date(2025, 3, 28, 12, 0, 0, 0, time.UTC), 3)
	if err != nil {
		log.Fatal(err)
	}
	for _, tick := range ticks {
		fmt.Println(tick)
	}

	// Output:
	// 2025-03-29 02:30:00 +0100 CET
	// 2025-03-30 03:00:00 +0200 CEST
	// 2025-03-31 02:30:00 +0200 CEST
}

// An interval counts from its anchor. A day is left out.
func ExampleEvery() {
	d := schedule.Definition{
		Name: "shifts", Call: reportTask.Bind(reportArgs{Region: "all"}),
		When:   schedule.Every(8 * time.Hour).From(time.Date(2026, 12, 24, 6, 0, 0, 0, time.UTC)),
		Except: []schedule.Exclusion{schedule.Day("2026-12-25")},
	}
	ticks, err := d.Next(time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC), 3)
	if err != nil {
		log.Fatal(err)
	}
	for _, tick := range ticks {
		fmt.Println(tick.Format(time.DateTime))
	}

	// Output:
	// 2026-12-24 14:00:00
	// 2026-12-24 22:00:00
	// 2026-12-26 06:00:00
}

// An operator stores a schedule, looks at it, pauses it and runs it once.
func ExampleScheduler() {
	b := memory.New()
	defer func() { _ = b.Close() }()
	s, err := schedule.New(b)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	err = s.Put(ctx, schedule.Definition{
		Name: "reports", When: schedule.Cron("0 0 6 * * MON-FRI").In("Europe/Berlin"), Call: reportTask.Bind(reportArgs{Region: "north"}),
		Overlap: schedule.OverlapSkip, PauseOnFailure: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Pause(ctx, "reports", "the disk is full"); err != nil {
		log.Fatal(err)
	}
	list, err := s.List(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, st := range list {
		fmt.Printf("%s: %s, %s, paused: %v (%s)\n", st.Name, st.Definition.When, st.Task, st.Paused, st.Note)
	}
	tick, err := s.Trigger(ctx, "reports") // also while it is paused
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tick.Kind, tick.Result)
	history, err := s.History(ctx, "reports")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(history), history[0].State)

	// Output:
	// reports: 0 0 6 * * MON-FRI in Europe/Berlin, report, paused: true (the disk is full)
	// triggered submitted
	// 1 pending
}

// A backfill runs the ticks of a time in the past. It is carried out by the processes that run schedules.
func ExampleScheduler_Backfill() {
	b := memory.New()
	defer func() { _ = b.Close() }()
	s, err := schedule.New(b)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	err = s.Put(ctx, schedule.Definition{Name: "reports", When: schedule.Cron("@daily"), Call: reportTask.Bind(reportArgs{Region: "north"})})
	if err != nil {
		log.Fatal(err)
	}
	n, err := s.Backfill(ctx, "reports", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	fmt.Println(n, err)

	// Output:
	// 31 <nil>
}

// The schedules that a program declares replace those that it has declared before.
func ExampleScheduler_Reconcile() {
	b := memory.New()
	defer func() { _ = b.Close() }()
	s, err := schedule.New(b)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	declare := func(names ...string) {
		var defs []schedule.Definition
		for _, name := range names {
			defs = append(defs, schedule.Definition{Name: name, When: schedule.Cron("@hourly"), Call: reportTask.Bind(reportArgs{Region: name})})
		}
		if err := s.Reconcile(ctx, "billing", defs...); err != nil {
			log.Fatal(err)
		}
		list, err := s.List(ctx)
		if err != nil {
			log.Fatal(err)
		}
		var stored []string
		for _, st := range list {
			stored = append(stored, st.Name)
		}
		fmt.Println(stored)
	}
	declare("north", "south")
	declare("south", "west")

	// Output:
	// [north south]
	// [south west]
}
