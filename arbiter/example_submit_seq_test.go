package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/task"
)

// The calls come from the lines of a file. However many there are, a thousand of them are in memory.
func ExampleArbiter_SubmitSeq() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	file := strings.NewReader("1 2\n3 4\n5 six\n7 8\n")
	var wrong error // an error of the source ends the sequence
	calls := func(yield func(task.Bound) bool) {
		for {
			var x, y int
			switch n, err := fmt.Fscanln(file, &x, &y); {
			case n == 0:
				return
			case err != nil:
				wrong = err
				return
			}
			if !yield(AddTask.Bind(x, y)) {
				return
			}
		}
	}
	stored, err := arb.SubmitSeq(ctx, calls)
	fmt.Println(stored, err, wrong)

	// A call that is refused ends the sequence, too.
	bad := func(yield func(task.Bound) bool) {
		_ = yield(AddTask.Bind(1, 2)) && yield(AddTask.With(task.Queue("no queue")).Bind(3, 4)) && yield(AddTask.Bind(5, 6))
	}
	stored, err = arb.SubmitSeq(ctx, bad)
	if sub, ok := errors.AsType[*task.SubmitError](err); ok {
		fmt.Println(stored, "of", sub.Total, "are stored, and number", sub.Failed[0].Index, "was refused")
	}

	// Output:
	// 2 <nil> expected integer
	// 2 of 3 are stored, and number 1 was refused
}
