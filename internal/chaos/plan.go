package chaos

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Fault is one that a plan has.
type Fault struct {
	At     time.Duration // after the start
	Name   string        // one of the constants
	Target string        // a place, or Server
	Node   int           // of several servers
	For    time.Duration // how long it lasts; of a killed process, until the next takes its place
	// Of faults of connections, the script or command they strike, and how many
	// runs of it.
	Command string
	Times   int
}

// The faults of processes.
const (
	KillProcess = "kill"         // SIGKILL, and another one in its place
	StopProcess = "stop"         // SIGSTOP, and SIGCONT
	EndProcess  = "end"          // SIGTERM, and another one in its place
	SlowProcess = "pause"        // nobody's doing: the machine was too busy
	NoHeartbeat = "no heartbeat" // several in a row have failed, and so its lease may end
	TimeJump    = "time jump"    // nobody runs for a while, and the clock does
)

// The faults of connections.
const (
	Freeze        = "freeze"          // nothing passes, in either direction
	CutAll        = "cut"             // all connections
	CutOff        = "cut off"         // in place of a reply, and nothing gets through for a while
	CutBefore     = "cut before"      // the server sees the command
	CutAfter      = "cut after"       // it has executed the command, and before the reply
	HalfOpen      = "half-open"       // silent instead of the command
	HalfOpenAfter = "half-open after" // silent instead of the reply
)

// The faults of the server.
const (
	KillServer   = "server kill" // SIGKILL, and start with what its file has
	KillClients  = "client kill"
	FlushScripts = "script flush"
	PauseClients = "client pause"
	FillMemory   = "maxmemory" // reached: it refuses to store any more
	SlowServer   = "server pause"
	Failover     = "failover" // the master is killed, and its replica takes over
)

// Topology is what servers there are.
type Topology struct {
	Nodes   int  // that keep tasks
	Proxied bool // whether connections can be struck
	Replica bool // which takes over, once, when the server is killed
}

// Plan returns the faults of a seed: always the same for the same arguments.
func Plan(seed uint64, duration, lease time.Duration, minions, submitters int, on Topology) []Fault {
	rnd := rand.New(rand.NewPCG(seed, 0))
	upTo := func(d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }
	ofProcess := []string{KillProcess, KillProcess, StopProcess, StopProcess, EndProcess}
	ofConnection := []string{Freeze, Freeze, CutOff, CutOff, CutAll, HalfOpen, HalfOpenAfter}
	ofServer := []string{KillServer, KillServer, KillClients, FlushScripts, PauseClients, FillMemory}
	pick := func(of []string) string { return of[rnd.IntN(len(of))] }
	var plan []Fault
	failed := false
	busy := make(map[string]time.Duration)
	for at := 500*time.Millisecond + upTo(time.Second); at < duration; at += 150*time.Millisecond + upTo(700*time.Millisecond) {
		f := Fault{At: at, For: 100*time.Millisecond + upTo(2*lease)}
		commands := ofMinion
		switch n := rnd.IntN(20); {
		case n < 13:
			f.Target = fmt.Sprint("m", rnd.IntN(minions))
		case n < 16:
			f.Target, commands = fmt.Sprint("s", rnd.IntN(submitters)), ofSubmitter
		default:
			f.Target, f.Name, f.Node = Server, pick(ofServer), rnd.IntN(on.Nodes)
			f.For /= 4 // everybody waits
			if on.Replica && (f.Name == KillServer || !failed && at > duration/3) {
				f.Name = Failover
				if failed { // there is no second replica
					continue
				}
				failed = true
			}
		}
		if at < busy[f.Target] { // one at a time
			continue
		}
		busy[f.Target] = at + f.For + lease/2
		switch {
		case f.Name != "":
		case on.Proxied && rnd.IntN(2) == 0:
			f.Name = pick(ofConnection)
		default:
			f.Name = pick(ofProcess)
		}
		switch f.Name {
		case CutOff:
			f.Command, f.Times = pick(commands), 1
		case HalfOpen, HalfOpenAfter:
			f.Command, f.Times = pick(commands), 1+rnd.IntN(3)
		case CutAll, KillClients, FlushScripts, Failover:
			f.For = 0
		}
		plan = append(plan, f)
	}
	return plan
}

// What is struck on connections of minions and of submitters.
var (
	ofMinion    = []string{"dequeue", "dequeue", "blmove", "settle", "settle", "beat", "adopt", "flow", "enqueue"}
	ofSubmitter = []string{"enqueue", "enqueue", "cancel", "flow", "status"}
)

// Cuts returns the small faults of a seed: many single connections that are cut,
// before a command or in place of its reply. They explain nothing.
func Cuts(seed uint64, duration time.Duration, minions, submitters int) []Fault {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var plan []Fault
	for at := 500 * time.Millisecond; at < duration; at += time.Duration(rnd.Int64N(int64(100 * time.Millisecond))) {
		f := Fault{At: at, Name: CutAfter, Times: 1, For: 300 * time.Millisecond}
		if rnd.IntN(3) == 0 {
			f.Name = CutBefore
		}
		commands := ofMinion
		if n := rnd.IntN(minions + submitters); n < minions {
			f.Target = fmt.Sprint("m", n)
		} else {
			f.Target, commands = fmt.Sprint("s", n-minions), ofSubmitter
		}
		f.Command = commands[rnd.IntN(len(commands))]
		plan = append(plan, f)
	}
	return plan
}

// String tells the fault in a line.
func (f Fault) String() string {
	s := fmt.Sprintf("%7.3fs %s %s", f.At.Seconds(), f.Target, f.Name)
	if f.Node > 0 {
		s += fmt.Sprintf(" of node %d", f.Node)
	}
	if f.Command != "" {
		s += fmt.Sprintf(" %d × %s", f.Times, f.Command)
	}
	if f.For > 0 {
		s += fmt.Sprintf(" for %v", f.For.Round(time.Millisecond))
	}
	return s
}
