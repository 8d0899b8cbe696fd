package isolate

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/task"
)

// process is a child process in its parent.
type process struct {
	pool *Pool
	cmd  *exec.Cmd
	pid  int
	in   *os.File // the pipe to the child
	out  *os.File // the pipe from the child

	frames chan frame    // frames to write
	quit   chan struct{} // closed when no more frames are written
	ready  chan struct{} // closed when the child has sent hello
	dead   chan struct{} // closed when the child has ended and its output was read
	ending atomic.Bool   // the child is about to end, or has ended
	job    atomic.Uint32 // the number of the last or current job
	said   report
	limit  limiter // for the lines of output

	mu      sync.Mutex // guards the fields below
	reaped  bool       // the system may give its process id to another process
	retired bool
	why     error // the reason why it was killed
	current *running
	tag     any              // of the current job or, since output may be late, of the last one
	state   *os.ProcessState // nil until it is reaped, and if it is unknown how it ended
}

// running is the current job of a process.
type running struct {
	Job
	no   uint32
	done chan []byte

	ctx   context.Context // the parent of the contexts of its calls
	mu    sync.Mutex
	calls map[uint32]context.CancelFunc
}

// newProcess starts a process. Only the pool's starter may call it.
func newProcess(p *Pool) (c *process, err error) {
	path, err := executable()
	if err != nil {
		return nil, err
	}
	var files []*os.File
	defer func() {
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
		}
	}()
	pipe := func() (r, w *os.File) {
		if err == nil {
			if r, w, err = os.Pipe(); err == nil {
				files = append(files, r, w)
			}
		}
		return r, w
	}
	itsIn, in := pipe()
	out, itsOut := pipe()
	if err != nil {
		return nil, err
	}
	c = &process{
		pool: p, in: in, out: out,
		frames: make(chan frame, 16), quit: make(chan struct{}), ready: make(chan struct{}), dead: make(chan struct{}),
	}
	c.cmd = &exec.Cmd{Path: path, Args: os.Args, SysProcAttr: isolated(), WaitDelay: lastMoment}
	c.limit.rate = p.cfg.OutputRate
	stdout, stderr := c.lines("stdout"), c.lines("stderr")
	c.cmd.Stdout, c.cmd.Stderr = stdout, stderr
	ends := attach(c.cmd, itsIn, itsOut)
	c.cmd.Env = append(os.Environ(), envChild+"="+strconv.Itoa(version)+","+ends)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	_, _ = itsIn.Close(), itsOut.Close()
	c.mu.Lock() // the process may have printed a line already
	c.pid = c.cmd.Process.Pid
	c.mu.Unlock()
	setup := binary.BigEndian.AppendUint64(nil, p.cfg.Memory)
	c.frames <- frame{kind: kindSetup, body: append(setup, p.cfg.Setup...)}
	return c, nil
}

// lines returns the writer for the output of a stream.
func (c *process) lines(stream string) *lines {
	return &lines{each: func(text string) {
		c.said.add(text)
		ok, dropped := c.limit.admit(time.Now())
		c.report(dropped)
		if ok {
			c.print(Line{Stream: stream, Text: text})
		}
	}}
}

// print passes a line of output on.
func (c *process) print(line Line) {
	if c.pool.cfg.Output == nil {
		return
	}
	c.mu.Lock()
	line.PID, line.Job = c.pid, c.tag
	c.mu.Unlock()
	c.pool.cfg.Output(line)
}

// report reports dropped lines, if there are any.
func (c *process) report(dropped int) {
	if dropped > 0 {
		c.print(Line{Dropped: dropped})
	}
}

// serve reads the frames of the process until it ends, and reaps it.
func (c *process) serve() {
	var wg sync.WaitGroup
	wg.Go(c.writeAll)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		// A program that the process has started, and that has left its group, may hold the pipe
		// open. So the end of the pipe is not the only thing that ends the loop below.
		if awaitExit(c.pid) {
			c.endOutput()
			c.reap()
		}
	}()
	r := bufio.NewReader(c.out)
	for {
		f, err := readFrame(r)
		if err != nil {
			break
		}
		c.take(f)
	}
	c.kill(nil) // the process has ended, or has closed its pipe and is of no more use
	<-exited
	c.reap()
	close(c.quit)
	wg.Wait()
	_, _ = c.in.Close(), c.out.Close()
	close(c.dead)
}

// reap reaps the process, which has ended or was killed. Processes that it has started must not outlive it, so the group is
// killed first: until the process is reaped, its id can't belong to another process.
func (c *process) reap() {
	c.kill(nil)
	c.mu.Lock()
	reaped := c.reaped
	c.mu.Unlock()
	if reaped {
		return
	}
	_ = c.cmd.Wait() // the state tells how it ended; it is nil if another caller has reaped the process
	c.mu.Lock()
	c.reaped, c.state = true, c.cmd.ProcessState
	c.mu.Unlock()
	c.flush()
}

// flush passes on last lines without a newline.
func (c *process) flush() {
	for _, w := range []any{c.cmd.Stdout, c.cmd.Stderr} {
		w.(*lines).end()
	}
	c.report(c.limit.flush())
}

func (c *process) writeAll() {
	for {
		select {
		case f := <-c.frames:
			if f.write(c.in) != nil {
				return // the process is dead, or about to be
			}
		case <-c.quit:
			return
		}
	}
}

// send queues a frame. It gives up when the process is dead.
func (c *process) send(f frame) {
	select {
	case c.frames <- f:
	case <-c.quit:
	}
}

// take handles a frame from the process.
func (c *process) take(f frame) {
	c.mu.Lock()
	j := c.current
	c.mu.Unlock()
	if j != nil && j.no != f.job {
		j = nil // the frame is from a goroutine that an earlier job has left
	}
	switch f.kind {
	case kindHello:
		select {
		case <-c.ready:
		default:
			close(c.ready)
		}
	case kindBig:
		c.kill(c.pool.tooBig())
	case kindDone:
		if j != nil {
			select {
			case j.done <- f.body:
			default:
			}
		}
	case kindCall:
		if j != nil {
			j.answer(c, f)
		}
	case kindDrop:
		if j != nil {
			j.mu.Lock()
			cancel := j.calls[f.call]
			j.mu.Unlock()
			if cancel != nil {
				cancel()
			}
		}
	}
}

// answer calls the job's Call and sends the answer.
func (j *running) answer(c *process, f frame) {
	ctx, cancel := context.WithCancel(j.ctx)
	j.mu.Lock()
	j.calls[f.call] = cancel
	j.mu.Unlock()
	go func() {
		out := j.Call(ctx, f.body)
		cancel()
		j.mu.Lock()
		delete(j.calls, f.call)
		j.mu.Unlock()
		c.send(frame{kindReply, f.job, f.call, out})
	}()
}

func (p *Pool) tooBig() error {
	return fmt.Errorf("%w of %d bytes", task.ErrMemoryLimit, p.cfg.Memory)
}

// await waits until the process is ready.
func (c *process) await(ctx context.Context) error {
	timer := time.NewTimer(readiness)
	defer timer.Stop()
	select {
	case <-c.ready:
		return nil
	case <-c.dead:
		return c.crash()
	case <-ctx.Done():
		return fmt.Errorf("its process was not ready yet: %w", ctx.Err())
	case <-timer.C:
		return fmt.Errorf("process %d: %w: is minion.Child called first in main?", c.pid, errSlow)
	}
}

// glance is the interval at which the memory of a process with a limit is checked.
const glance = 25 * time.Millisecond

// run sends a job to the process and waits for its end.
func (c *process) run(ctx context.Context, job Job) ([]byte, error) {
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	j := &running{Job: job, done: make(chan []byte, 1), ctx: calls, calls: make(map[uint32]context.CancelFunc)}
	c.said.reset()
	c.mu.Lock()
	j.no = c.job.Add(1)
	c.current, c.tag = j, j.Tag
	c.mu.Unlock()
	defer func() {
		c.report(c.limit.flush()) // before the job is no longer the current one
		c.mu.Lock()
		c.current = nil
		c.mu.Unlock()
	}()
	// Answers to earlier jobs may fill the queue of frames, so sending is only one of the cases below.
	untold := []frame{{kind: kindRun, job: j.no, body: job.Body()}}

	var look <-chan time.Time
	if most := c.pool.cfg.Memory; most > 0 && watched {
		ticker := time.NewTicker(glance)
		defer ticker.Stop()
		look = ticker.C
	}
	ended := ctx.Done()
	var overdue <-chan time.Time
	for {
		var frames chan<- frame
		var next frame
		if len(untold) > 0 {
			frames, next = c.frames, untold[0]
		}
		select {
		case frames <- next:
			untold = untold[1:]
		case out := <-j.done:
			return out, nil
		case <-c.dead:
			select {
			case out := <-j.done:
				return out, nil
			default:
				return nil, c.crash()
			}
		case <-ended:
			ended = nil
			timer := time.NewTimer(c.pool.cfg.Grace)
			defer timer.Stop()
			overdue = timer.C
			if cause := c.pool.cfg.Cause(ctx); cause != nil {
				untold = append(untold, frame{kindCancel, j.no, 0, cause})
			}
		case <-overdue:
			overdue = nil
			c.kill(fmt.Errorf("its handler ran on for %v after the end of its context: %w", c.pool.cfg.Grace, context.Cause(ctx)))
		case <-look:
			if resident(c.pid) > c.pool.cfg.Memory {
				c.kill(c.pool.tooBig())
			}
		}
	}
}

// kill kills the process and all processes that it has started. Only the first reason counts.
func (c *process) kill(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return
	}
	if c.why == nil && !c.ending.Load() {
		c.why = why
	}
	c.ending.Store(true)
	killAll(c.cmd.Process)
	c.endOutput()
}

// endOutput gives serve a last moment to read the rest of the pipe from a process that has ended or was killed.
func (c *process) endOutput() {
	_ = c.out.SetReadDeadline(time.Now().Add(lastMoment))
}

// retire ends a process without a job. Closing its pipe tells it to end, and it is killed if that takes too long. retire does
// not wait.
func (c *process) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired || c.reaped {
		return
	}
	c.retired = true
	c.ending.Store(true)
	_ = c.in.Close()
	time.AfterFunc(lastMoment, func() { c.kill(nil) })
}

// crash returns the error for the end of the process.
func (c *process) crash() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &task.CrashError{PID: c.pid, ExitCode: -1, Reason: c.why, Output: c.said.String()}
	if c.state != nil {
		e.ExitCode, e.Signal = c.state.ExitCode(), killed(c.state)
	}
	return e
}
