//go:build unix

package chaos

import (
	"sync"
	"time"
)

// carryOut carries a plan out, and returns when all its faults are over.
func (s *stage) carryOut(plan []Fault) {
	began := time.Now()
	var all sync.WaitGroup
	defer all.Wait()
	for _, f := range plan {
		time.Sleep(time.Until(began.Add(f.At)))
		all.Go(func() { s.inject(f) })
	}
}

// cut carries out the small faults at the same time as all others, and returns when all of them are
// over.
func (s *stage) cut(plan []Fault) {
	began := time.Now()
	var all sync.WaitGroup
	defer all.Wait()
	for _, f := range plan {
		time.Sleep(time.Until(began.Add(f.At)))
		all.Go(func() {
			hit := Event{Kind: Hit, Fault: f.Name, Target: f.Target, At: time.Now().UnixNano()}
			if s.hosts[f.Target].strikeCommand(f) {
				s.over(hit)
			}
		})
	}
}

// inject carries out a fault, and records it if it has struck.
func (s *stage) inject(f Fault) {
	hit := Event{Kind: Hit, Fault: f.Name, Target: f.Target}
	if f.Target == Server {
		s.server.Lock() // one after the other, even if a fault takes longer than planned
		defer s.server.Unlock()
		hit.At = time.Now().UnixNano()
		s.strikeServer(f, &hit)
		s.over(hit)
		return
	}
	p := s.hosts[f.Target]
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

func (p *host) strikeProcess(f Fault) {
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
