package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Fault is a fault of a plan.
type Fault struct {
	At     time.Duration // after the start
	Name   string        // one of the constants below
	Target string        // a host, or Server
	Node   int           // index of the node, if there are several
	For    time.Duration // duration; for a killed process, the time until the next one starts
	// For faults of connections: the script or command that is struck, and how many runs of it.
	Command string
	Times   int
	Only    int           // the server whose connections are struck; 0 means all, 1 the first
	Late    time.Duration // of SlowLine: the delay
	Rate    int           // of SlowLine: the bytes a second
	Queue   int           // of MoveSlots: index of the queue
	Hangs   bool          // of Failover: the master hangs before it is killed
	Forced  bool          // of Failover: the sentinels are told to replace a master that works
	Victim  string        // of PauseWrites and LoseRegistrations: the host of a minion that is struck, too
}

// The faults of processes.
const (
	KillProcess = "kill"         // SIGKILL, and the next process starts
	StopProcess = "stop"         // SIGSTOP, then SIGCONT
	EndProcess  = "end"          // SIGTERM, and the next process starts
	SlowProcess = "pause"        // not injected: the machine was too busy
	NoHeartbeat = "no heartbeat" // several in a row have failed, so the lease may end
	TimeJump    = "time jump"    // no process runs for a while, and the clock goes on
	Poisoned    = "poison"       // a task has ended the process that ran it, and the next process starts
)

// The faults of connections.
const (
	Freeze        = "freeze"          // no data passes in either direction
	Unreachable   = "unreachable"     // all connections are closed, and no new one can be opened
	CutAll        = "cut"             // all connections are closed
	CutOff        = "cut off"         // closed instead of a reply, and cut off for a while
	CutBefore     = "cut before"      // closed before the server gets the command
	CutAfter      = "cut after"       // closed after the execution, instead of the reply
	HalfOpen      = "half-open"       // silent from before the command on
	HalfOpenAfter = "half-open after" // silent from the reply on
	SlowLine      = "slow line"       // delayed, with few bytes a second
)

// The faults of the server.
const (
	KillServer   = "server kill" // SIGKILL, and a start with its file
	KillClients  = "client kill"
	FlushScripts = "script flush"
	PauseClients = "client pause"
	PauseWrites  = "write pause"
	NoReplicas   = "no replicas" // it refuses all writes
	FillMemory   = "maxmemory"   // it refuses to store more data
	SlowServer   = "server pause"
	Failover     = "failover"      // the master is killed, and its replica takes over
	PowerFailure = "power failure" // the server is killed, and the end of its file is lost
	MoveSlots    = "slots moved"   // the hash slot of a queue moves to another node
	Switchover   = "switchover"    // the master and its replica exchange roles in an orderly way
	// LoseRegistrations removes the registrations of all minions of a queue, and one of these minions
	// dies before it notices.
	LoseRegistrations = "registrations lost"
	// ServerDied and ProcessDied are not injected: a server or a process has ended by itself.
	ServerDied  = "server died"
	ProcessDied = "process died"
)

// Topology describes the servers.
type Topology struct {
	Nodes    int  // number of nodes that store tasks
	Replica  bool // the first node has a replica, which takes over once
	Slots    bool // hash slots can be moved between nodes
	Everysec bool // the data of the last second may not be on disk yet
}

// usual returns the faults that any server can have.
func (on Topology) usual() []string {
	all := []string{
		KillServer, KillServer, KillClients, FlushScripts, PauseClients, FillMemory,
		PauseWrites, PauseWrites, NoReplicas, LoseRegistrations, LoseRegistrations,
	}
	if on.Slots {
		all = append(all, MoveSlots, MoveSlots, Switchover)
	}
	if on.Everysec { // a plain kill loses the data that waits for a sync
		all[0], all[1] = PowerFailure, PowerFailure
	}
	return all
}

// special returns the faults that each plan has if it lasts long enough. A plan that is no longer
// than short has only the ones that no other topology has.
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
		all = append(all, FillMemory, NoReplicas)
	}
	return all
}

// longPlan is the shortest plan that has time for all faults.
const longPlan = 12 * time.Second

// moveLasts is the longest time that a blocking move of a minion lasts with the lease of the suite.
const moveLasts = time.Second

// takeover is how long a failover may take without other faults of the server.
const takeover = 8 * time.Second

// Plan returns the faults of a seed. It is always the same for the same arguments.
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
	senders := 0 // the submitters that are still to be cut off, each after it has sent tasks
	if duration >= longPlan {
		senders = submitters
	}
	for at := 500*time.Millisecond + upTo(time.Second); at < duration; at += 150*time.Millisecond + upTo(700*time.Millisecond) {
		f := Fault{At: at, For: 100*time.Millisecond + upTo(2*lease)}
		commands := ofMinion
		n := rnd.IntN(20)
		if len(special) > 0 && at > duration/3 && at >= busy[Server] {
			n = 19 // one after the other, as soon as possible
		}
		switch host := fmt.Sprint("s", senders-1); {
		case senders > 0 && at > duration/5 && at >= busy[host]:
			f.Target, f.Name, commands = host, CutOff, []string{"enqueue"}
			senders--
		case n < 13:
			f.Target = fmt.Sprint("m", rnd.IntN(minions))
		case n < 16:
			f.Target, commands = fmt.Sprint("s", rnd.IntN(submitters)), ofSubmitter
		default:
			f.Target, f.Name, f.Node = Server, pick(on.usual()), rnd.IntN(on.Nodes)
			if at > duration/3 && at >= busy[Server] && len(special) > 0 {
				f.Name, special = special[0], special[1:]
			}
			if f.Name != NoReplicas { // NoReplicas is meant to cost leases
				f.For /= 4 // all processes wait during the fault
			}
			if on.Replica && on.Nodes == 1 && f.Name == KillServer { // with a single node and a replica, the server has no file
				if failed { // there is no second replica
					continue
				}
				f.Name = Failover
			}
		}
		if f.Name == Switchover && failed { // the replica has been used up
			f.Name = MoveSlots
		}
		if at < busy[f.Target] { // one fault of a target at a time
			continue
		}
		if f.Name == Failover {
			f.Node, f.For, f.Hangs, f.Forced = 0, 0, seed%2 == 1, seed%4 == 1
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
			if f.Target[0] == 's' {
				f.Times = 10
			}
		case HalfOpen, HalfOpenAfter:
			f.Command, f.Times = pick(commands), 1+rnd.IntN(3)
		case SlowLine:
			f.Late = 5*time.Millisecond + upTo(35*time.Millisecond)
			f.Rate = 300_000 + rnd.IntN(1_000_000)
		case CutAll, KillClients, FlushScripts:
			f.For = 0
		case PauseWrites: // longer than a blocking move lasts
			f.For += moveLasts
			busy[Server] += moveLasts
			f.Victim = "m0" // the only host that uses blocking moves
		case LoseRegistrations:
			f.Queue, f.Victim = rnd.IntN(4), fmt.Sprint("m", rnd.IntN(minions))
		case Switchover:
			f.Node, f.For = 0, 0
		case MoveSlots:
			f.For /= 2 // data in the connections waits
			f.Queue = rnd.IntN(4)
		}
		plan = append(plan, f)
	}
	return plan
}

// Outages returns a plan with only outages that are longer than the lease, of one minion after the
// other. Each minion is back long before the next one is struck. In an outage of the kind Freeze
// requests hang until it is over, and in one of the kind Unreachable they fail at once.
func Outages(kind string, duration, lease time.Duration, minions int) (plan []Fault) {
	const every = 3 // leases
	for n := range int(duration / (every * lease)) {
		at := lease/2 + time.Duration(n)*every*lease
		plan = append(plan, Fault{At: at, Name: kind, Target: fmt.Sprint("m", 1+n%(minions-1)), For: lease * 3 / 2})
	}
	return plan
}

// The commands of minions and submitters that are struck.
var (
	ofMinion    = []string{"dequeue", "dequeue", "blmove", "settle", "settle", "beat", "adopt", "flow", "enqueue"}
	ofSubmitter = []string{"enqueue", "enqueue", "cancel", "flow", "status"}
)

// Cuts returns the small faults of a seed: many single connections are cut, before a command or
// instead of its reply. They explain nothing.
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

// String describes the fault in one line.
func (f Fault) String() string {
	s := fmt.Sprintf("%7.3fs %s %s", f.At.Seconds(), f.Target, f.Name)
	if f.Hangs {
		s += " of a master that hangs"
	}
	if f.Forced {
		s += ", forced"
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
