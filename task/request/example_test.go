package request_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// outbox is a submitter for tests: it keeps the requests, and sends nothing.
type outbox struct{ requests []*request.Request }

func (o *outbox) Submit(_ context.Context, calls ...task.Bound) error {
	for _, call := range calls {
		req := call.Request()
		if err := req.Check(); err != nil {
			return &task.SubmitError{Total: len(calls), Failed: []task.FailedCall{{Name: req.Name(), Err: err}}}
		}
		o.requests = append(o.requests, req)
	}
	return nil
}

func (o *outbox) Await(context.Context, task.ID, any) error { return task.ErrNotFound }

type MailArgs struct {
	To string `arbiter:"to"`
}

// A test of code that sends tasks looks at the requests.
func ExampleRequest() {
	mail := task.Define[MailArgs, task.None]("mail", task.Queue("mails"))
	var box outbox
	if _, err := mail.With(task.Retries(3)).Apply(context.Background(), &box, MailArgs{To: "ada"}); err != nil {
		log.Fatal(err)
	}
	for _, req := range box.requests {
		fmt.Println(req.Name(), req.Args(), req.Settings().Queue, req.Settings().Retries)
	}

	// Output:
	// mail {ada} mails 3
}
