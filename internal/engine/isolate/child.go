package isolate

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// envChild is the environment variable that tells a process that it is a child, and the descriptors of its pipes.
const envChild = "ARBITER_ISOLATED"

// Child is the connection of a child process to its parent.
type Child struct {
	Setup []byte // Config.Setup of the parent

	in  *bufio.Reader
	out *os.File

	wmu sync.Mutex // held while a frame is written

	mu      sync.Mutex // guards the fields below
	current *Work
	calls   map[uint32]chan []byte // the unanswered calls of the current job, by number
	last    uint32                 // the number of the last call
}

// Work is a job in its child process.
type Work struct {
	Body []byte

	c      *Child
	no     uint32
	cancel context.CancelCauseFunc
}

// ErrOver is the error of a call for a job that has ended.
var ErrOver = errors.New("the task has returned")

// Waiting reports whether the process is a child that has not called Attach yet.
func Waiting() bool { return os.Getenv(envChild) != "" }

// Attach returns the connection to the parent, or nil if the process is not a child. It removes the variable from the
// environment, so that processes which the child starts are not taken for children.
func Attach() (*Child, error) {
	text := os.Getenv(envChild)
	if text == "" {
		return nil, nil
	}
	if err := os.Unsetenv(envChild); err != nil {
		return nil, err
	}
	parts := strings.Split(text, ",")
	nums := make([]uint64, len(parts))
	for i, part := range parts {
		var err error
		if nums[i], err = strconv.ParseUint(part, 10, 64); err != nil {
			return nil, fmt.Errorf("%s=%s: %w", envChild, text, err)
		}
	}
	if len(nums) != 3 || nums[0] != version {
		return nil, fmt.Errorf("%s=%s: the parent is another version of this program", envChild, text)
	}
	in, out, err := opened(uintptr(nums[1]), uintptr(nums[2]))
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", envChild, text, err)
	}
	c := &Child{in: bufio.NewReader(in), out: out}
	f, err := readFrame(c.in)
	switch {
	case err != nil:
		return nil, fmt.Errorf("setup: %w", err)
	case f.kind != kindSetup || len(f.body) < 8:
		return nil, errors.New("setup: the parent sent another frame first")
	}
	c.limit(binary.BigEndian.Uint64(f.body))
	c.Setup = f.body[8:]
	return c, nil
}

// limit makes the garbage collector work harder before the memory limit is reached. If the parent can't see the child's
// memory, the child checks it.
func (c *Child) limit(most uint64) {
	if most == 0 {
		return
	}
	soft := int64(most / 10 * 9)
	if debug.SetMemoryLimit(-1) > soft { // keep a lower GOMEMLIMIT
		debug.SetMemoryLimit(soft)
	}
	if watched {
		return
	}
	go func() {
		watchSelf(most)
		c.send(frame{kind: kindBig})
		os.Exit(1)
	}()
}

// watchSelf returns when the process uses more memory than most.
func watchSelf(most uint64) {
	for range time.Tick(glance) {
		if mapped() > most {
			return
		}
	}
}

// mapped returns the bytes of memory that the Go runtime has mapped and not returned to the system.
func mapped() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}

// Serve runs jobs until the parent closes its pipe or dies, and then ends the process. Each job runs in a goroutine of its
// own. If the parent ends the context of a job, cause decodes the context's cause.
func (c *Child) Serve(run func(ctx context.Context, w *Work) []byte, cause func([]byte) error) {
	// A service manager may send these signals to all processes of a service at once. The minion
	// decides what happens to its tasks then, so the child ignores them.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	c.send(frame{kind: kindHello})
	for {
		f, err := readFrame(c.in)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				fmt.Fprintln(os.Stderr, "isolated task: the minion's message can't be read:", err)
				os.Exit(1)
			}
			os.Exit(0)
		}
		switch f.kind {
		case kindRun:
			c.begin(f, run)
		case kindCancel:
			c.mu.Lock()
			if w := c.current; w != nil && w.no == f.job {
				w.cancel(cause(f.body))
			}
			c.mu.Unlock()
		case kindReply:
			c.mu.Lock()
			if c.current != nil && c.current.no == f.job && c.calls[f.call] != nil {
				c.calls[f.call] <- f.body
				delete(c.calls, f.call)
			}
			c.mu.Unlock()
		}
	}
}

func (c *Child) begin(f frame, run func(context.Context, *Work) []byte) {
	ctx, cancel := context.WithCancelCause(context.Background())
	w := &Work{Body: f.body, c: c, no: f.job, cancel: cancel}
	c.mu.Lock()
	c.current, c.calls = w, make(map[uint32]chan []byte)
	c.mu.Unlock()
	go func() {
		out := run(ctx, w)
		cancel(nil)
		c.mu.Lock()
		c.current = nil
		for _, reply := range c.calls {
			close(reply)
		}
		c.calls = nil
		c.mu.Unlock()
		c.send(frame{kind: kindDone, job: f.job, body: out})
	}()
}

// Call asks the parent and waits for the answer. If ctx ends, the context of the call ends in the parent as well, and Call
// waits for an answer for the time of patience. The error is ctx's, or ErrOver.
func (w *Work) Call(ctx context.Context, body []byte, patience time.Duration) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := w.c
	reply := make(chan []byte, 1)
	c.mu.Lock()
	if c.current != w {
		c.mu.Unlock()
		return nil, ErrOver
	}
	c.last++
	no := c.last
	c.calls[no] = reply
	c.mu.Unlock()
	c.send(frame{kindCall, w.no, no, body})
	select {
	case out, ok := <-reply:
		if !ok {
			return nil, ErrOver
		}
		return out, nil
	case <-ctx.Done():
	}
	c.send(frame{kind: kindDrop, job: w.no, call: no})
	if patience > 0 {
		late := time.NewTimer(patience)
		defer late.Stop()
		select {
		case out, ok := <-reply:
			if ok {
				return out, nil
			}
		case <-late.C:
		}
	}
	c.mu.Lock()
	delete(c.calls, no)
	c.mu.Unlock()
	return nil, ctx.Err()
}

// send writes a frame. If that fails, the parent has died, and the process ends.
func (c *Child) send(f frame) {
	c.wmu.Lock()
	err := f.write(c.out)
	c.wmu.Unlock()
	if err != nil {
		os.Exit(1)
	}
}
