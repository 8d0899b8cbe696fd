package arbiter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
)

// By name, as in the original: start tasks, wait for them, look one up.
func ExampleArbiter_Apply() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	ids, err := arb.Apply(ctx, "simple_add", arbiter.Args(1, 2), arbiter.Count(3))
	if err != nil {
		log.Fatal(err)
	}
	for st, err := range arb.WaitForTasks(ctx, ids...) {
		if err != nil {
			log.Fatal(err)
		}
		result, err := st.Result()
		fmt.Println(st.State, result, err)
	}

	st, err := arb.Status(ctx, ids[0])
	if err != nil {
		log.Fatal(err)
	}
	data, err := json.Marshal(st)
	if err != nil {
		log.Fatal(err)
	}
	var keys struct {
		TaskType string `json:"task_type"`
		State    string `json:"state"`
		Result   int    `json:"result"`
	}
	if err := json.Unmarshal(data, &keys); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", keys)

	// Output:
	// succeeded 3 <nil>
	// succeeded 3 <nil>
	// succeeded 3 <nil>
	// {TaskType:task State:done Result:3}
}

// Arguments by name, and a wait until all copies are done.
func ExampleKwArgs() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	done, err := arb.ApplySync(ctx, "simple_add", arbiter.KwArgs(map[string]any{"x": 20, "y": 22}), arbiter.Count(3))
	if err != nil {
		log.Fatal(err)
	}
	for _, st := range done {
		var sum int
		err = st.Decode(&sum)
		fmt.Println(sum, err)
	}

	// Output:
	// 42 <nil>
	// 42 <nil>
	// 42 <nil>
}
