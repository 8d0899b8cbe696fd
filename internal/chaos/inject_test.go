//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/internal/redisproxy"
)

// carryOut carries a plan out and returns when all of it is over.
func (s *stage) carryOut(plan []Fault) {
	began := time.Now()
	var all sync.WaitGroup
	defer all.Wait()
	for _, f := range plan {
		time.Sleep(time.Until(began.Add(f.At)))
		all.Go(func() { s.inject(f) })
	}
}

// cut carries out the small faults, beside all others, and returns when all of
// them are over.
func (s *stage) cut(plan []Fault) {
	began := time.Now()
	var all sync.WaitGroup
	defer all.Wait()
	for _, f := range plan {
		time.Sleep(time.Until(began.Add(f.At)))
		all.Go(func() {
			hit := Event{Kind: Hit, Fault: f.Name, Target: f.Target, At: time.Now().UnixNano()}
			if s.places[f.Target].strikeCommand(f) {
				s.over(hit)
			}
		})
	}
}

// inject carries out a fault, and notes it if it has struck.
func (s *stage) inject(f Fault) {
	hit := Event{Kind: Hit, Fault: f.Name, Target: f.Target}
	if f.Target == Server {
		hit.At = time.Now().UnixNano()
		s.strikeServer(f)
		s.over(hit)
		return
	}
	p := s.places[f.Target]
	p.mu.Lock()
	defer p.mu.Unlock()
	hit.At = time.Now().UnixNano()
	switch f.Name {
	case KillProcess, StopProcess, EndProcess:
		hit.Target = p.process()
		p.strikeProcess(f)
	default:
		if !p.strikeConnections(f) {
			return
		}
	}
	s.over(hit)
}

func (s *stage) over(hit Event) {
	hit.Until = time.Now().UnixNano()
	s.ledger.Note(hit)
}

func (p *place) strikeProcess(f Fault) {
	switch f.Name {
	case KillProcess:
		p.current.Kill()
	case EndProcess:
		p.current.Terminate(p.stage)
	case StopProcess:
		p.current.Stop(p.stage)
		time.Sleep(f.For)
		p.current.Continue(p.stage)
		return
	}
	time.Sleep(f.For)
	p.start()
}

var actions = map[string]redisproxy.Action{
	CutBefore:     redisproxy.CutBefore,
	CutAfter:      redisproxy.CutAfter,
	HalfOpen:      redisproxy.HalfOpen,
	HalfOpenAfter: redisproxy.HalfOpenAfter,
}

// silence is how long a client may take to notice that a connection is half
// open: its read timeout.
const silence = time.Second

func (p *place) strikeConnections(f Fault) bool {
	switch f.Name {
	case Freeze:
		p.front.Freeze(true)
		time.Sleep(f.For)
		p.front.Freeze(false)
		return true
	case CutAll:
		return p.front.Cut() > 0
	}
	if f.Name == CutOff {
		return p.cutOff(f)
	}
	struck := p.strikeCommand(f)
	time.Sleep(silence)
	return struck
}

// soon is how long a command may take to come that shall be struck.
const soon = 500 * time.Millisecond

func (p *place) cutOff(f Fault) bool {
	in := p.front.Inject(redisproxy.Fault{Match: matcher(f), Do: redisproxy.CutAfter})
	defer in.Remove()
	select {
	case <-in.Done():
	case <-time.After(soon):
		return false
	}
	p.front.Refuse(true)
	p.front.Cut()
	time.Sleep(f.For)
	p.front.Refuse(false)
	return true
}

func matcher(f Fault) redisproxy.Matcher {
	if f.Command == "blmove" {
		return redisproxy.Named(f.Command)
	}
	return redisproxy.Script(f.Command)
}

func (p *place) strikeCommand(f Fault) bool {
	in := p.front.Inject(redisproxy.Fault{Match: matcher(f), Do: actions[f.Name], Times: f.Times})
	time.Sleep(f.For)
	in.Remove()
	return in.Hits() > 0
}

func (s *stage) strikeServer(f Fault) {
	ctx := context.Background()
	at := f.Node + int(s.master.Load())
	node, admin := s.nodes[at], s.admins[at]
	var err error
	switch f.Name {
	case KillServer:
		node.Kill()
		time.Sleep(f.For)
		node.Restart()
	case Failover:
		node.Kill()
		s.master.Add(1)
		for deadline := time.Now().Add(*patience); ; time.Sleep(50 * time.Millisecond) {
			role := s.admins[at+1].Info(ctx, "replication").Val()
			if strings.Contains(role, "role:master") {
				break
			}
			if time.Now().After(deadline) {
				err = errors.New("the replica does not take over")
				break
			}
		}
	case KillClients:
		for _, kind := range []string{"pubsub", "normal"} {
			if err == nil {
				err = admin.ClientKillByFilter(ctx, "type", kind, "skipme", "yes").Err()
			}
		}
	case FlushScripts:
		err = admin.ScriptFlush(ctx).Err()
	case PauseClients:
		err = admin.ClientPause(ctx, f.For).Err()
		time.Sleep(f.For)
	case FillMemory:
		err = admin.ConfigSet(ctx, "maxmemory", "1mb").Err()
		time.Sleep(f.For)
		for range 10 { // it must not stay so
			if e := admin.ConfigSet(ctx, "maxmemory", "0").Err(); e == nil {
				break
			} else if err = e; true {
				time.Sleep(50 * time.Millisecond)
			}
		}
	default:
		err = fmt.Errorf("no fault is called %q", f.Name)
	}
	if err != nil {
		s.Errorf("%v: %v", f, err)
	}
}
