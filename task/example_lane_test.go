package task_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

type letter struct {
	Tenant string `arbiter:"tenant"`
	Text   string `arbiter:"text"`
}

var mail = task.Define[letter, task.None]("mail")

// deliver runs the calls, which wait already, with a minion of so many slots.
func deliver(b *memory.Broker, slots int, futs []*task.Future[task.None], handle func(context.Context, letter) error) {
	m, err := minion.New(b, minion.Logger(silent), minion.Retry(3, task.Constant(time.Millisecond)))
	if err != nil {
		log.Fatal(err)
	}
	err = task.Handle(m, mail, func(ctx context.Context, l letter) (task.None, error) { return task.None{}, handle(ctx, l) })
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), slots) }()
	for _, fut := range futs {
		if _, err := fut.Result(context.Background()); err != nil {
			fmt.Println(err)
		}
	}
	_ = m.Close()
}

// printed prints a letter.
func printed(_ context.Context, l letter) error {
	fmt.Println(l.Tenant, l.Text)
	return nil
}

// post returns a function that sends letters, and the list of their futures.
func post(b *memory.Broker) (send func(handle task.Task[letter, task.None], tenant, text string), futs *[]*task.Future[task.None], arb *arbiter.Arbiter) {
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	futs = new([]*task.Future[task.None])
	return func(handle task.Task[letter, task.None], tenant, text string) {
		fut, err := handle.Apply(context.Background(), arb, letter{tenant, text})
		if err != nil {
			log.Fatal(err)
		}
		*futs = append(*futs, fut)
	}, futs, arb
}

// Of the tasks that wait, the one with the highest priority is handed out first.
func ExamplePriority() {
	b := memory.New()
	send, futs, arb := post(b)
	defer func() { _ = arb.Close() }()

	send(mail.With(task.Priority(2)), "acme", "newsletter")
	send(mail, "acme", "invoice") // 5 is the default
	send(mail.With(task.Priority(9)), "acme", "alarm")
	deliver(b, 1, *futs, printed)

	// Output:
	// acme alarm
	// acme invoice
	// acme newsletter
}

// Tenants take turns, so one with many tasks does not hold up the others. A tenant with a larger weight gets more turns.
func ExampleFairKeyFrom() {
	b := memory.New()
	send, futs, arb := post(b)
	defer func() { _ = arb.Close() }()
	if err := arb.SetWeight(context.Background(), task.DefaultQueue, "medium", 3); err != nil {
		log.Fatal(err)
	}

	fair := mail.With(task.FairKeyFrom(func(l letter) string { return l.Tenant }))
	for _, tenant := range []string{"large", "medium", "small"} {
		for i := range 60 {
			send(fair, tenant, fmt.Sprint(i))
		}
	}
	turns, n := make(map[string]int), 0
	deliver(b, 1, *futs, func(_ context.Context, l letter) error {
		if n++; n <= 50 {
			turns[l.Tenant]++
		}
		return nil
	})
	fmt.Println("of the first 50:", turns)

	// Output:
	// of the first 50: map[large:10 medium:30 small:10]
}

// The letters of a tenant are delivered in the order in which they were sent, although there are four slots and the first
// attempts fail.
func ExampleSequenceFrom() {
	b := memory.New()
	send, futs, arb := post(b)
	defer func() { _ = arb.Close() }()

	ordered := mail.With(task.SequenceFrom(func(l letter) string { return l.Tenant }))
	for _, text := range []string{"offer", "invoice", "reminder"} {
		send(ordered, "acme", text)
	}
	deliver(b, 4, *futs, func(ctx context.Context, l letter) error {
		if info, _ := task.FromContext(ctx); info.Attempt == 1 {
			return errors.New("the line is busy")
		}
		return printed(ctx, l)
	})

	// Output:
	// acme offer
	// acme invoice
	// acme reminder
}

// A failure halts a sequence with StopOnFailure. An operator lets it go on.
func ExampleStopOnFailure() {
	ctx := context.Background()
	b := memory.New()
	send, futs, arb := post(b)
	defer func() { _ = arb.Close() }()

	ordered := mail.With(task.Sequence("acme", task.StopOnFailure()))
	send(ordered, "acme", "offer")
	send(ordered, "acme", "invoice")
	go func() {
		_, err := (*futs)[0].Result(ctx)
		if st, _ := arb.Status(ctx, (*futs)[1].ID()); err != nil {
			fmt.Println("the invoice is", st.State)
		}
		if err := arb.ResumeSequence(ctx, task.DefaultQueue, "acme"); err != nil {
			log.Print(err)
		}
	}()
	deliver(b, 4, *futs, func(ctx context.Context, l letter) error {
		if l.Text == "offer" {
			return task.NoRetry(errors.New("no such address"))
		}
		return printed(ctx, l)
	})

	// Unordered output:
	// task mail: no such address
	// the invoice is pending
	// acme invoice
}

// Each tenant may have one letter under way at a time, although there are ten slots. The limit holds for all minions together.
func ExampleLimit() {
	b := memory.New()
	send, futs, arb := post(b)
	defer func() { _ = arb.Close() }()
	if err := arb.SetLimit(context.Background(), task.DefaultQueue, limit.Concurrency("tenant", 1)); err != nil {
		log.Fatal(err)
	}

	limited := mail.With(task.Limit("tenant", task.KeyedFrom(func(l letter) string { return l.Tenant })))
	for i := range 5 {
		send(limited, "acme", fmt.Sprint(i))
		send(limited, "other", fmt.Sprint(i))
	}
	running := map[string]*atomic.Int32{"acme": {}, "other": {}}
	var most atomic.Int32
	deliver(b, 10, *futs, func(_ context.Context, l letter) error {
		if n := running[l.Tenant].Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(time.Millisecond)
		running[l.Tenant].Add(-1)
		return nil
	})
	fmt.Println("at most", most.Load(), "of a tenant at once")

	// Output:
	// at most 1 of a tenant at once
}

// The service has answered 429 and asks for a second of silence. No letter is tried before, and no retry is used up.
func ExampleLimitReached() {
	b := memory.New()
	send, futs, arb := post(b)
	defer func() { _ = arb.Close() }()

	limited := mail.With(task.Limit("smtp"), task.Retries(0))
	send(limited, "acme", "offer")
	send(limited, "acme", "invoice")
	var until time.Time
	deliver(b, 1, *futs, func(ctx context.Context, l letter) error {
		if until.IsZero() {
			until = time.Now().Add(time.Second)
			return fmt.Errorf("answer 429: %w", task.LimitReached(until, "smtp"))
		}
		info, _ := task.FromContext(ctx)
		fmt.Println(l.Text, "was delivered in attempt", info.Attempt, "and not too early:", time.Since(until) > -100*time.Millisecond)
		return nil
	})

	// Unordered output:
	// offer was delivered in attempt 2 and not too early: true
	// invoice was delivered in attempt 1 and not too early: true
}
