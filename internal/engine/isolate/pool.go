package isolate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Config has the settings of a pool.
type Config struct {
	Setup  []byte        // sent to every child once
	Memory uint64        // the memory limit of a child in bytes; 0 is no limit
	Grace  time.Duration // from the end of a job's context until its child is killed
	Jobs   int           // how many jobs a child runs, one after the other; 0 is no limit
	Slots  int           // how many children there may be, including those that start or end

	// OutputRate is how many lines of a child's output are passed on in a second. Further lines are dropped and counted. 0 is
	// no limit.
	OutputRate int

	// Cause encodes the cause of a context that has ended, for the child. It returns nil if the child knows it.
	Cause func(ctx context.Context) []byte
	// Output gets the output of the children, line by line.
	Output func(Line)
}

// Line is a line that a child has printed, or reports that lines were dropped.
type Line struct {
	PID     int
	Stream  string // "stdout" or "stderr"
	Text    string
	Job     any // the Tag of the job that the child runs or ran last; nil if there was none
	Dropped int // how many lines were dropped; if not 0, Stream and Text are empty
}

// errClosed is the error of jobs after the pool was closed.
var errClosed = fmt.Errorf("the pool of child processes is %w", broker.ErrClosed)

// Pool runs jobs in child processes. A child runs only one job at a time. The methods of a pool may be called concurrently. A
// pool has no process and no goroutine before its first job.
type Pool struct {
	cfg Config

	mu      sync.Mutex // guards the fields below
	freed   sync.Cond  // a process is idle, another one may be started, or the pool is closed
	closed  bool
	idle    []*process
	all     map[*process]struct{}
	alive   int            // the number of processes in all and of those about to be started
	waits   map[any]int    // how many waits for other jobs the job of each tag is in; see Lend
	starts  chan start     // requests to the starter; nil until it runs
	wg      sync.WaitGroup // counts like alive
	starter sync.WaitGroup
}

// New returns a pool.
func New(cfg Config) *Pool {
	p := &Pool{cfg: cfg, all: make(map[*process]struct{}), waits: make(map[any]int)}
	p.freed.L = &p.mu
	return p
}

// Job is a job for a child process.
type Job struct {
	// Body returns the job's data for the child. It is called when the child is ready: starting a child takes time, and a
	// remaining time in the data would be wrong otherwise.
	Body func() []byte
	Tag  any
	// Call answers a call of the job. It runs in a goroutine of its own. Ctx ends with the job, or when the job does not
	// wait for the answer any more.
	Call func(ctx context.Context, body []byte) []byte
}

// readiness is how long a child may take to start. Its init functions count.
const readiness = 30 * time.Second

// Run runs a job and returns its result. If ctx ends, the child is told, and if the job does not end within the time of grace,
// the child is killed. The error is a *task.CrashError, wraps ErrClosed, or tells why no child could be started.
func (p *Pool) Run(ctx context.Context, job Job) ([]byte, error) {
	c, err := p.get(ctx)
	if err != nil {
		return nil, err
	}
	out, err := c.run(ctx, job)
	p.put(c)
	return out, err
}

// Lend records that the job of a tag waits for other jobs. One more process may run for them until the caller calls back.
func (p *Pool) Lend(tag any) (back func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits[tag]++
	p.freed.Broadcast()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waits[tag]--; p.waits[tag] == 0 {
			delete(p.waits, tag)
		}
	}
}

// room returns how many processes there may be. The caller holds p.mu.
func (p *Pool) room() int { return p.cfg.Slots + len(p.waits) }

// crowded reports whether there are too many processes, because jobs that waited for others do not wait any more. Processes
// that are about to end do not count. The caller holds p.mu.
func (p *Pool) crowded() bool {
	n := p.alive - p.room()
	if n <= 0 {
		return false
	}
	for c := range p.all {
		if c.ending.Load() {
			n--
		}
	}
	return n > 0
}

// get returns a process that is ready for a job: the one that was idle last, or a new one.
func (p *Pool) get(ctx context.Context) (*process, error) {
	c, err := p.claim(ctx)
	if c != nil || err != nil {
		return c, err
	}
	c, err = p.spawn()
	if err != nil {
		return nil, err
	}
	if err := c.await(ctx); err != nil {
		if ctx.Err() == nil {
			c.kill(err)
		} else { // a later job may have more time
			go p.expect(c)
		}
		return nil, err
	}
	return c, nil
}

// claim returns an idle process, or nil if the caller may start one; that process counts from now on. Otherwise it waits. A
// process that an earlier job has left to start, or that is about to end, counts as well, since it still uses memory.
func (p *Pool) claim(ctx context.Context) (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for waits := false; ; p.freed.Wait() {
		if p.closed {
			return nil, errClosed
		}
		for n := len(p.idle); n > 0; n-- {
			c := p.idle[n-1]
			p.idle = p.idle[:n-1]
			if !c.ending.Load() {
				return c, nil
			}
		}
		if p.alive < p.room() {
			p.alive++
			p.wg.Add(1)
			return nil, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("no process was free yet: %w", ctx.Err())
		}
		if !waits {
			waits = true
			defer context.AfterFunc(ctx, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.freed.Broadcast()
			})()
		}
	}
}

// ended records that a process has ended, or could not be started.
func (p *Pool) ended(c *process) {
	p.mu.Lock()
	p.alive--
	delete(p.all, c)
	p.idle = slices.DeleteFunc(p.idle, func(other *process) bool { return other == c })
	p.freed.Broadcast()
	p.mu.Unlock()
	p.wg.Done()
}

// expect waits until a process is ready that its job has left, and makes it idle.
func (p *Pool) expect(c *process) {
	if err := c.await(context.Background()); err != nil {
		c.kill(err)
		return
	}
	p.put(c)
}

// put takes a process back after its job. It becomes idle, or ends if it is worn out.
func (p *Pool) put(c *process) {
	worn := c.ending.Load() || p.cfg.Jobs > 0 && int(c.job.Load()) >= p.cfg.Jobs
	if !worn && p.cfg.Memory > 0 && resident(c.pid) > p.cfg.Memory/2 {
		worn = true // memory that the last job has left would count against the next one
	}
	p.mu.Lock()
	worn = worn || p.closed || p.crowded()
	if worn {
		c.ending.Store(true)
	} else {
		p.idle = append(p.idle, c)
		p.freed.Broadcast()
	}
	p.mu.Unlock()
	if worn {
		c.retire()
	}
}

// start is a request to start a process.
type start struct {
	done chan<- started
}

type started struct {
	c   *process
	err error
}

// spawn starts a process that claim has counted.
func (p *Pool) spawn() (*process, error) {
	p.mu.Lock()
	if p.starts == nil {
		p.starts = make(chan start)
		p.starter.Go(p.start)
	}
	p.mu.Unlock()
	done := make(chan started, 1)
	p.starts <- start{done}
	s := <-done
	if s.err != nil {
		p.ended(nil)
		return nil, fmt.Errorf("start a process: %w", s.err)
	}
	p.mu.Lock()
	p.all[s.c] = struct{}{}
	closed := p.closed
	p.mu.Unlock()
	go func() {
		s.c.serve()
		p.ended(s.c)
	}()
	if closed {
		s.c.kill(errClosed)
		return nil, errClosed
	}
	return s.c, nil
}

// start starts all processes from one thread, which lives as long as they do. The kernel takes the end of the thread that
// started a child for the end of the parent, and the Go runtime may end any other thread.
func (p *Pool) start() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for s := range p.starts {
		c, err := newProcess(p)
		s.done <- started{c, err}
	}
}

// lastMoment is how long a process without a job may take to end.
const lastMoment = time.Second

// Close ends all processes and waits until they have ended. A process with a job is killed.
func (p *Pool) Close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	idle := p.idle
	p.idle = nil
	for c := range p.all {
		if !slices.Contains(idle, c) {
			c.kill(errClosed)
		}
	}
	p.freed.Broadcast()
	p.mu.Unlock()
	for _, c := range idle {
		c.retire()
	}
	p.wg.Wait()
	if first && p.starts != nil { // no process is started any more
		close(p.starts)
	}
	p.starter.Wait()
}

var errSlow = errors.New("it was not ready in time")
