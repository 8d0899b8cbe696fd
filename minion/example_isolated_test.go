package minion_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// QuitTask ends its process with the given exit code.
var QuitTask = task.Define[Number, int]("quit", task.Isolated(), task.Retries(0))

// registerExample is called in the minion and in its children: the first line of the
// program's main function is minion.Child(registerExample).
func registerExample(r task.Registrar) error {
	return task.Handle(r, QuitTask, func(_ context.Context, a Number) (int, error) {
		os.Exit(a.N)
		return 0, nil
	})
}

// An isolated handler that ends its process ends a child process, and the minion goes on.
func ExampleIsolated() {
	b := memory.New()
	m, err := minion.New(b)
	if err != nil {
		log.Fatal(err)
	}
	if err := registerExample(m); err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()
	_, err = QuitTask.Call(context.Background(), arb, Number{3})
	fmt.Println(errors.Is(err, task.ErrCrashed))

	// Output: true
}
