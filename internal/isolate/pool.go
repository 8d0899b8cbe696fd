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

// Config is what a pool is made of.
type Config struct {
	Setup  []byte        // what every child is told once
	Memory uint64        // bytes that a child may have; 0 is any number
	Grace  time.Duration // from the end of a job's context until its child is killed
	Jobs   int           // how many jobs a child runs, one after the other; 0 is any number
	Slots  int           // how many children there may be, those that start or end among them

	// OutputRate is how many lines a second of a child's output are handed on. What
	// a child prints beyond that is dropped and counted. 0 is any number.
	OutputRate int

	// Cause returns how the child is told why a context has ended, nil if it knows.
	Cause func(ctx context.Context) []byte
	// Output is told what the children print, line by line.
	Output func(Line)
}

// Line is a line that a child has printed, or says that lines were dropped.
type Line struct {
	PID     int
	Stream  string // "stdout" or "stderr"
	Text    string
	Job     any // Tag of the job that it runs, or has run last; nil if there was none
	Dropped int // how many lines were dropped; then there is no Stream and Text
}

// errClosed is the error of jobs of a pool that is closed.
var errClosed = fmt.Errorf("the pool of child processes is %w", broker.ErrClosed)

// Pool runs jobs in child processes, each in one that has no other at that time.
// Its methods may be called concurrently. It has neither process nor goroutine
// before the first job.
type Pool struct {
	cfg Config

	mu      sync.Mutex // guards what follows
	freed   sync.Cond  // a process is idle, or another one may be started, or the pool is closed
	closed  bool
	idle    []*process
	all     map[*process]struct{}
	alive   int            // all, and those about to be started
	waits   map[any]int    // tags of jobs that wait for others, and in how many places they do
	starts  chan start     // to the starter; nil until there is one
	wg      sync.WaitGroup // processes, and those that may be about to come
	starter sync.WaitGroup
}

// New returns a pool.
func New(cfg Config) *Pool {
	p := &Pool{cfg: cfg, all: make(map[*process]struct{}), waits: make(map[any]int)}
	p.freed.L = &p.mu
	return p
}

// Job is something to be run by a child.
type Job struct {
	// Body returns what the child gets. It is called when the child is ready: to
	// start one takes time, and what is said of time would be wrong then.
	Body func() []byte
	Tag  any
	// Call answers a question of the job. Ctx ends with the job, or if nobody
	// waits for the answer any more. It is called by goroutines of its own.
	Call func(ctx context.Context, body []byte) []byte
}

// readiness is how long a child may take to be ready: as long as its init
// functions take.
const readiness = 30 * time.Second

// Run runs a job and returns its result. If ctx ends the child is told, and if
// the job does not end in the time of grace it is killed. The error is a
// *task.CrashError, ErrClosed, or says why no child could be started.
func (p *Pool) Run(ctx context.Context, job Job) ([]byte, error) {
	c, err := p.get(ctx)
	if err != nil {
		return nil, err
	}
	out, err := c.run(ctx, job)
	p.put(c)
	return out, err
}

// Lend says that the job of a tag waits for others, for which there may be one more
// process until the function that it returns is called.
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

// room returns how many processes there may be. p.mu is held.
func (p *Pool) room() int { return p.cfg.Slots + len(p.waits) }

// crowded reports whether there are too many processes, since jobs that have waited
// for others don't any more. Those that end anyway are no reason to end another
// one. p.mu is held.
func (p *Pool) crowded() bool {
	n := p.alive - p.room()
	if n <= 0 {
		return false
	}
	for c := range p.all {
		if c.gone.Load() {
			n--
		}
	}
	return n > 0
}

// get returns a process that is ready for a job: the last that had one, or a new
// one.
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
		} else { // another job may have more time
			go p.expect(c)
		}
		return nil, err
	}
	return c, nil
}

// claim returns an idle process, or nil if one may be started, which counts from
// now on. It waits for that: one that was left to start by an earlier job, or that
// ends, has its memory too.
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
			if !c.gone.Load() {
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

// ended notes that a process has ended, or could not be started.
func (p *Pool) ended(c *process) {
	p.mu.Lock()
	p.alive--
	delete(p.all, c)
	p.idle = slices.DeleteFunc(p.idle, func(other *process) bool { return other == c })
	p.freed.Broadcast()
	p.mu.Unlock()
	p.wg.Done()
}

// expect takes in a process that nobody waits for when it is ready.
func (p *Pool) expect(c *process) {
	if err := c.await(context.Background()); err != nil {
		c.kill(err)
		return
	}
	p.put(c)
}

// put takes back a process that had a job.
func (p *Pool) put(c *process) {
	worn := c.gone.Load() || p.cfg.Jobs > 0 && int(c.job.Load()) >= p.cfg.Jobs
	if !worn && p.cfg.Memory > 0 && resident(c.pid) > p.cfg.Memory/2 {
		worn = true // what the last job has left would count against the next one
	}
	p.mu.Lock()
	worn = worn || p.closed || p.crowded()
	if worn {
		c.gone.Store(true)
	} else {
		p.idle = append(p.idle, c)
		p.freed.Broadcast()
	}
	p.mu.Unlock()
	if worn {
		c.retire()
	}
}

// start asks for a process.
type start struct {
	done chan<- started
}

type started struct {
	c   *process
	err error
}

// spawn starts a process, which claim has counted.
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

// start starts processes, all from one thread that lives as long as they do: the
// kernel takes the end of the thread for that of the parent, and a thread of
// which nothing is known may end at any time.
func (p *Pool) start() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for s := range p.starts {
		c, err := newProcess(p)
		s.done <- started{c, err}
	}
}

// lastMoment is how long a process that has nothing to do may take to end.
const lastMoment = time.Second

// Close ends all processes, those that have a job at once, and waits until they
// have ended.
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
	if first && p.starts != nil { // nothing is started any more
		close(p.starts)
	}
	p.starter.Wait()
}

var errSlow = errors.New("it was not ready in time")
