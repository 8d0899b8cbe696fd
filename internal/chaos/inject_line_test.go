//go:build unix

package chaos

import (
	"time"

	"github.com/go-arbiter/arbiter/internal/redisproxy"
)

var actions = map[string]redisproxy.Action{
	CutBefore:     redisproxy.CutBefore,
	CutAfter:      redisproxy.CutAfter,
	HalfOpen:      redisproxy.HalfOpen,
	HalfOpenAfter: redisproxy.HalfOpenAfter,
}

// silence is how long a client may take to notice that a connection is half
// open: its read timeout.
const silence = readTimeout

// struck returns the proxies that a fault strikes: those in front of all servers,
// or of one.
func (p *place) struck(f Fault) []*redisproxy.Proxy {
	if f.Only == 0 {
		return p.fronts
	}
	at := p.stage.node(f.Only - 1)
	return p.fronts[at : at+1]
}

func (p *place) strikeConnections(f Fault) bool {
	fronts := p.struck(f)
	switch f.Name {
	case Freeze:
		each(fronts, func(front *redisproxy.Proxy) { front.Freeze(true) })
		time.Sleep(f.For)
		each(fronts, func(front *redisproxy.Proxy) { front.Freeze(false) })
		return true
	case SlowLine:
		each(fronts, func(front *redisproxy.Proxy) { front.Slow(f.Late, f.Rate) })
		time.Sleep(f.For)
		each(fronts, func(front *redisproxy.Proxy) { front.Slow(0, 0) })
		return true
	case CutAll:
		n := 0
		each(fronts, func(front *redisproxy.Proxy) { n += front.Cut() })
		return n > 0
	case CutOff:
		return p.cutOff(f)
	}
	struck := p.strikeCommand(f)
	time.Sleep(silence)
	return struck
}

func each(fronts []*redisproxy.Proxy, do func(*redisproxy.Proxy)) {
	for _, front := range fronts {
		do(front)
	}
}

// soon is how long a command may take to come that shall be struck.
const soon = 500 * time.Millisecond

// cutOff cuts the process off from the first server to which it sends a command,
// in place of the reply.
func (p *place) cutOff(f Fault) bool {
	over := time.Now().Add(soon)
	injections := p.arm(f, redisproxy.CutAfter)
	defer disarm(injections)
	for time.Now().Before(over) {
		for front, in := range injections {
			if in.Hits() == 0 {
				continue
			}
			disarm(injections)
			front.Refuse(true)
			front.Cut()
			time.Sleep(f.For)
			front.Refuse(false)
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// arm injects a fault of commands into all proxies that it may strike.
func (p *place) arm(f Fault, do redisproxy.Action) map[*redisproxy.Proxy]*redisproxy.Injection {
	injections := make(map[*redisproxy.Proxy]*redisproxy.Injection)
	each(p.struck(f), func(front *redisproxy.Proxy) {
		injections[front] = front.Inject(redisproxy.Fault{Match: matcher(f), Do: do, Times: f.Times})
	})
	return injections
}

// disarm ends it, and returns how many commands it has struck.
func disarm(injections map[*redisproxy.Proxy]*redisproxy.Injection) (hits int) {
	for _, in := range injections {
		in.Remove()
		hits += in.Hits()
	}
	return hits
}

func matcher(f Fault) redisproxy.Matcher {
	if f.Command == "blmove" {
		return redisproxy.Named(f.Command)
	}
	return redisproxy.Script(f.Command)
}

func (p *place) strikeCommand(f Fault) bool {
	injections := p.arm(f, actions[f.Name])
	time.Sleep(f.For)
	return disarm(injections) > 0
}
