//go:build unix

package e2e

import (
	"context"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-arbiter/arbiter/task"
)

// args are the arguments of the task work. They say what its handler does.
type args struct {
	N    int           `arbiter:"n"`
	For  time.Duration `arbiter:"for"`           // duration of the handler
	Hang bool          `arbiter:"hang"`          // the first attempt runs until its context ends
	Deaf bool          `arbiter:"deaf"`          // the handler ignores its context
	Kill bool          `arbiter:"kill,optional"` // the handler kills its process
	Fill int           `arbiter:"fill"`          // extra bytes in the result
	Gate string        `arbiter:"gate,optional"` // the handler waits until this file exists
}

// answer is the result of the task work.
type answer struct {
	N       int
	Attempt int
	PID     int
	Fill    string
}

var work = task.Define[args, answer]("work")

// handler returns the handler of the task work. It writes to a ledger.
func handler(l ledger) func(context.Context, args) (answer, error) {
	return func(ctx context.Context, a args) (answer, error) {
		info, _ := task.FromContext(ctx)
		if err := l.note("start", info); err != nil {
			return answer{}, err
		}
		if a.Kill {
			time.Sleep(50 * time.Millisecond) // so other tasks start in the same process
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		if a.Gate != "" {
			if err := waitForFile(ctx, a.Gate); err != nil {
				return answer{}, err
			}
		}
		if a.Hang && info.Attempt == 1 {
			<-ctx.Done()
			return answer{}, context.Cause(ctx)
		}
		if a.For > 0 {
			over := ctx.Done()
			if a.Deaf {
				over = nil
			}
			select {
			case <-time.After(a.For):
			case <-over:
				return answer{}, context.Cause(ctx)
			}
		}
		return answer{a.N, int(info.Attempt), os.Getpid(), strings.Repeat("x", a.Fill)}, l.note("end", info)
	}
}

// waitForFile waits until a file with that name exists.
func waitForFile(ctx context.Context, name string) error {
	for {
		if _, err := os.Stat(name); err == nil {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
