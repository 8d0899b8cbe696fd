package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
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
	Only    int           // of several servers, to which one connections are struck; 0 is all, 1 the first
	Late    time.Duration // of SlowLine, how much later everything comes
	Rate    int           // and how many bytes a second do
	Queue   int           // of MoveSlots, whose
	Hangs   bool          // of Failover, whether the master says nothing before it is killed
	Victim  string        // of PauseWrites and LoseRegistrations, the place of a minion that is struck, too
}

// The faults of processes.
const (
	KillProcess = "kill"         // SIGKILL, and another one in its place
	StopProcess = "stop"         // SIGSTOP, and SIGCONT
	EndProcess  = "end"          // SIGTERM, and another one in its place
	SlowProcess = "pause"        // nobody's doing: the machine was too busy
	NoHeartbeat = "no heartbeat" // several in a row have failed, and so its lease may end
	TimeJump    = "time jump"    // nobody runs for a while, and the clock does
	Poisoned    = "poison"       // a task has ended the process that ran it, and another one takes its place
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
	SlowLine      = "slow line"       // late, and little at a time
)

// The faults of the server.
const (
	KillServer   = "server kill" // SIGKILL, and start with what its file has
	KillClients  = "client kill"
	FlushScripts = "script flush"
	PauseClients = "client pause"
	PauseWrites  = "write pause"
	NoReplicas   = "no replicas" // so that it refuses all writes
	FillMemory   = "maxmemory"   // reached: it refuses to store any more
	SlowServer   = "server pause"
	Failover     = "failover"      // the master is killed, and its replica takes over
	PowerFailure = "power failure" // the server is killed, and the end of its file is not on disk
	MoveSlots    = "slots moved"   // those of a queue, to another node
	Switchover   = "switchover"    // the master and its replica change places in order
	// The registrations of all minions of a queue are gone, and one of these minions
	// dies before it notices.
	LoseRegistrations = "registrations lost"
	// ServerDied is nobody's plan: something has brought it down.
	ServerDied = "server died"
)

// Topology is what servers there are.
type Topology struct {
	Nodes    int  // that keep tasks
	Replica  bool // of the first one, which takes over, once, when that is killed
	Slots    bool // can be moved from one node to another
	Everysec bool // what the last second brought may not be on disk yet
}

// usual are the faults of any server.
func (on Topology) usual() []string {
	all := []string{
		KillServer, KillServer, KillClients, FlushScripts, PauseClients, FillMemory,
		PauseWrites, PauseWrites, NoReplicas, LoseRegistrations, LoseRegistrations,
	}
	if on.Slots {
		all = append(all, MoveSlots, MoveSlots, Switchover)
	}
	if on.Everysec { // a plain kill loses what waits for a sync
		all[0], all[1] = PowerFailure, PowerFailure
	}
	return all
}

// special are those that each plan has that lasts for some seconds; a plan that lasts
// no longer than short has only those that no other topology has.
func (on Topology) special(long bool) []string {
	var all []string
	if on.Slots {
		all = append(all, MoveSlots)
	}
	if on.Everysec {
		all = append(all, PowerFailure)
	}
	if on.Slots && long {
		all = append(all, Switchover)
	}
	if long || len(all) == 0 && !on.Replica {
		all = append(all, LoseRegistrations, PauseWrites)
	}
	if on.Replica {
		all = append(all, Failover)
	}
	if long {
		all = append(all, NoReplicas)
	}
	return all
}

// longPlan is from when on a plan has time for all.
const longPlan = 12 * time.Second

// moveLasts is how long a blocking move lasts at most, of a minion with the suite's
// lease.
const moveLasts = time.Second

// takeover is how long a failover may take, with nothing else at the server.
const takeover = 8 * time.Second

// Plan returns the faults of a seed: always the same for the same arguments.
func Plan(seed uint64, duration, lease time.Duration, minions, submitters int, on Topology) []Fault {
	rnd := rand.New(rand.NewPCG(seed, 0))
	upTo := func(d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }
	ofProcess := []string{KillProcess, KillProcess, StopProcess, StopProcess, EndProcess}
	ofConnection := []string{Freeze, Freeze, CutOff, CutOff, CutAll, HalfOpen, HalfOpenAfter, SlowLine, SlowLine}
	pick := func(of []string) string { return of[rnd.IntN(len(of))] }
	var plan []Fault
	special := on.special(duration >= longPlan)
	failed := false
	busy := make(map[string]time.Duration)
	for at := 500*time.Millisecond + upTo(time.Second); at < duration; at += 150*time.Millisecond + upTo(700*time.Millisecond) {
		f := Fault{At: at, For: 100*time.Millisecond + upTo(2*lease)}
		commands := ofMinion
		n := rnd.IntN(20)
		if len(special) > 0 && at > duration/3 && at >= busy[Server] {
			n = 19 // they come one after the other as soon as they can
		}
		switch {
		case n < 13:
			f.Target = fmt.Sprint("m", rnd.IntN(minions))
		case n < 16:
			f.Target, commands = fmt.Sprint("s", rnd.IntN(submitters)), ofSubmitter
		default:
			f.Target, f.Name, f.Node = Server, pick(on.usual()), rnd.IntN(on.Nodes)
			if at > duration/3 && at >= busy[Server] && len(special) > 0 {
				f.Name, special = special[0], special[1:]
			}
			if f.Name != NoReplicas { // that one is to cost leases
				f.For /= 4 // everybody waits
			}
			if on.Replica && on.Nodes == 1 && f.Name == KillServer { // it has no file
				if failed { // and there is no second replica
					continue
				}
				f.Name = Failover
			}
		}
		if f.Name == Switchover && failed { // there is no replica any more
			f.Name = MoveSlots
		}
		if at < busy[f.Target] { // one at a time
			continue
		}
		if f.Name == Failover {
			f.Node, f.For, f.Hangs = 0, 0, seed%2 == 1
			failed = true
			special = slices.DeleteFunc(special, func(s string) bool { return s == Failover })
			busy[Server] = at + takeover
		} else {
			busy[f.Target] = at + f.For + lease/2
		}
		switch {
		case f.Name != "":
		case rnd.IntN(2) == 0:
			f.Name, f.Only = pick(ofConnection), rnd.IntN(on.Nodes+1)
		default:
			f.Name = pick(ofProcess)
		}
		switch f.Name {
		case CutOff:
			f.Command, f.Times = pick(commands), 1
		case HalfOpen, HalfOpenAfter:
			f.Command, f.Times = pick(commands), 1+rnd.IntN(3)
		case SlowLine:
			f.Late = 5*time.Millisecond + upTo(35*time.Millisecond)
			f.Rate = 300_000 + rnd.IntN(1_000_000)
		case CutAll, KillClients, FlushScripts:
			f.For = 0
		case PauseWrites: // for longer than a blocking move lasts
			f.For += moveLasts
			busy[Server] += moveLasts
			f.Victim = "m0" // which is the one that uses them
		case LoseRegistrations:
			f.Queue, f.Victim = rnd.IntN(4), fmt.Sprint("m", rnd.IntN(minions))
		case Switchover:
			f.Node, f.For = 0, 0
		case MoveSlots:
			f.For /= 2 // what is in them waits
			f.Queue = rnd.IntN(4)
		}
		plan = append(plan, f)
	}
	return plan
}

// Outages returns a plan of nothing but outages that are longer than the lease, of one
// minion after the other. Each minion is back for long before the next one is struck.
func Outages(duration, lease time.Duration, minions int) (plan []Fault) {
	const every = 3 // leases
	for n := range int(duration / (every * lease)) {
		at := lease/2 + time.Duration(n)*every*lease
		plan = append(plan, Fault{At: at, Name: Freeze, Target: fmt.Sprint("m", 1+n%(minions-1)), For: lease * 3 / 2})
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
	if f.Hangs {
		s += " of one that hangs"
	}
	if f.Node > 0 {
		s += fmt.Sprintf(" of node %d", f.Node)
	}
	if f.Victim != "" {
		s += " beside " + f.Victim
	}
	if f.Command != "" {
		s += fmt.Sprintf(" %d × %s", f.Times, f.Command)
	}
	if f.Only > 0 {
		s += fmt.Sprintf(" to node %d", f.Only-1)
	}
	if f.Late > 0 {
		s += fmt.Sprintf(" by %v and %d bytes/s", f.Late.Round(time.Millisecond), f.Rate)
	}
	if f.For > 0 {
		s += fmt.Sprintf(" for %v", f.For.Round(time.Millisecond))
	}
	return s
}
