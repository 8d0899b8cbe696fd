//go:build unix

package chaos

import (
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
)

var actions = map[string]redisproxy.Action{
	CutBefore:     redisproxy.CutBefore,
	CutAfter:      redisproxy.CutAfter,
	HalfOpen:      redisproxy.HalfOpen,
	HalfOpenAfter: redisproxy.HalfOpenAfter,
}

// silence is how long a client may take to notice a half-open connection: its read timeout.
const silence = readTimeout

// struck returns the proxies that a fault strikes: those in front of all servers, or of one.
func (p *host) struck(f Fault) []*redisproxy.Proxy {
	if f.Only == 0 {
		return p.fronts
	}
	at := p.stage.node(f.Only - 1)
	return p.fronts[at : at+1]
}

func (p *host) strikeConnections(f Fault) bool {
	fronts := p.struck(f)
	switch f.Name {
	case Freeze:
		each(fronts, func(front *redisproxy.Proxy) { front.Freeze(true) })
		time.Sleep(f.For)
		each(fronts, func(front *redisproxy.Proxy) { front.Freeze(false) })
		return true
	case Unreachable:
		each(fronts, func(front *redisproxy.Proxy) { front.Refuse(true) })
		each(fronts, func(front *redisproxy.Proxy) { front.Cut() })
		time.Sleep(f.For)
		each(fronts, func(front *redisproxy.Proxy) { front.Refuse(false) })
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

// soon is how long a fault waits for a command to strike.
const soon = 500 * time.Millisecond

// several is how long a fault goes on to strike commands when it has struck the first of several.
const several = 50 * time.Millisecond

// cutOff waits for the first commands of the process, cuts the connections instead of sending the
// replies, and keeps the process cut off from that server.
func (p *host) cutOff(f Fault) bool {
	over := time.Now().Add(soon)
	injections := p.arm(f, redisproxy.CutAfter)
	defer disarm(injections)
	for time.Now().Before(over) {
		for front, in := range injections {
			if in.Hits() == 0 {
				continue
			}
			for last := time.Now().Add(several); in.Hits() < f.Times && time.Now().Before(last); {
				time.Sleep(time.Millisecond)
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
func (p *host) arm(f Fault, do redisproxy.Action) map[*redisproxy.Proxy]*redisproxy.Injection {
	injections := make(map[*redisproxy.Proxy]*redisproxy.Injection)
	each(p.struck(f), func(front *redisproxy.Proxy) {
		injections[front] = front.Inject(redisproxy.Fault{Match: matcher(f), Do: do, Times: f.Times})
	})
	return injections
}

// disarm removes the faults, and returns the number of struck commands.
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

func (p *host) strikeCommand(f Fault) bool {
	injections := p.arm(f, actions[f.Name])
	time.Sleep(f.For)
	return disarm(injections) > 0
}
