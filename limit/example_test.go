package limit_test

import (
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/limit"
)

// Definitions of limits, as a program gives them to minion.Limits or Arbiter.SetLimit.
func Example() {
	for _, l := range []limit.Limit{
		limit.Concurrency("render", 10),
		limit.Rate("mail", 100, time.Second),
		limit.Rate("mail", 100, time.Second, limit.Burst(20)),
		limit.ForKey("acme", limit.Rate("mail", 500, time.Second)),
		limit.Paused(limit.Concurrency("render", 10)),
	} {
		fmt.Println(l)
	}

	// Output:
	// render: 10 at once
	// mail: 100 per 1s, burst 5
	// mail: 100 per 1s, burst 20
	// mail for key "acme": 500 per 1s, burst 25
	// render: 10 at once, paused
}

// A wrong definition is an error where it is used. It names the limit and the remedy.
func ExampleLimit_Definition() {
	_, err := limit.Concurrency("render", 0).Definition()
	fmt.Println(err)

	// Output:
	// limit render: invalid: Concurrency with 0, want 1 or more; to stop the tasks for a while use Paused
}
