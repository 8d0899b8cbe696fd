package arbiter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/task"
)

// Any process can ask for any task.
func ExampleArbiter_Status() {
	ctx := context.Background()
	b := memory.New()
	sender, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	fut, err := AddTask.With(task.Delay(time.Hour)).Apply(ctx, sender, 1, 2)
	if err != nil {
		log.Fatal(err)
	}

	other, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	st, err := other.Status(ctx, fut.ID())
	if err != nil {
		log.Fatal(err)
	}
	st.ID, st.Due = task.ID{}, time.Time{} // these differ each time
	data, err := json.Marshal(st)
	fmt.Println(string(data), err)

	// Output:
	// {"task_type":"task","state":"initiated","result":null,"id":"00000000-0000-0000-0000-000000000000","detail":"scheduled","queue":"default"} <nil>
}
