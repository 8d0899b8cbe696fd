package redis

import (
	"encoding/hex"
	"strconv"

	"github.com/go-arbiter/arbiter/broker"
)

// keys are the names of all keys of one queue, or of one of its partitions. They
// share the hash slot of {namespace:queue}, or {namespace:queue:partition}, so
// that scripts can use them together in a cluster.
type keys struct {
	queue string
	base  string // what all of them begin with

	ready     string // list of messages, or a token; see push.lua
	held      string // list of messages that must be looked at
	gone      string // set of ids in held that were cancelled
	halt      string // hash of flows that are halted -> since when; see halt.lua
	state     string // hash of id -> what is known of it; see status.lua
	due       string // sorted set of ids by due time in unix ms
	later     string // hash of id -> message of what is in due
	unique    string // hash of unique key -> id
	dead      string // hash of id -> message of dead letters
	parked    string // sorted set of ids of parked tasks by the number of what they need; see unpark.lua
	needs     string // hash of these numbers -> what they stand for
	about     string // hash of metadata and last failures, of tasks that have some; see about.lua
	odd       string // list of what is no message of a known version
	deadlines string // sorted set of ids by deadline in unix ms; see expire.go
	flows     string // hash of id -> place in a flow, of members that are not final
	outbox    string // hash of arrivals; see arrive.lua
	stop      string // set of ids that are running and were cancelled
	minions   string // sorted set of minions by the end of their lease; -1 is dead
	watch     string // sorted set of minions that listen to the wake channel
	keep      string // sorted set of classes of retention by next expiry
	meta      string // exists if the queue is registered
	wake      string // channel
	park      string // channel that tells of parked tasks
}

func newKeys(namespace, queue string, partition, of int) *keys {
	part := ""
	if of > 1 {
		part = ":" + strconv.Itoa(partition)
	}
	return keysOf(namespace, queue, part)
}

// keysOf returns the keys of a queue; part is what stands behind its name if it has
// partitions.
func keysOf(namespace, queue, part string) *keys {
	name := namespace + ":" + queue + part
	wake, park := namespace+":wake:"+queue+part, namespace+":park:"+queue+part
	base := "{" + name + "}:"
	return &keys{
		queue: queue, base: base,
		ready: base + "ready", held: base + "held", gone: base + "gone", halt: base + "halt",
		state: base + "state", due: base + "due", later: base + "later",
		unique: base + "unique", dead: base + "dead", odd: base + "odd",
		about: base + "about", parked: base + "parked", needs: base + "needs", deadlines: base + "deadlines",
		flows: base + "flows", outbox: base + "outbox",
		stop: base + "stop", minions: base + "minions", watch: base + "watch",
		keep: base + "keep", meta: base + "meta",
		wake: wake, park: park,
	}
}

// claim is the list that a minion's blocking moves go to.
func (k *keys) claim(minion string) string {
	return k.base + "claim:" + hex.EncodeToString([]byte(minion))
}

// flight is the hash of what a minion owns.
func (k *keys) flight(minion string) string {
	return k.base + "flight:" + hex.EncodeToString([]byte(minion))
}

// forget is the list of ids of a class of retention, oldest first.
func (k *keys) forget(class string) string { return k.base + "keep:" + class }

// flowKeys are the names of all keys of one flow. They share a hash slot.
type flowKeys struct {
	flow    string // hash: record, counts, marks and outcome
	members string // ids, 16 bytes each
	results string // hash of place -> state and outcome
}

func newFlowKeys(namespace string, id broker.ID) flowKeys {
	base := "{" + namespace + ":flow:" + hex.EncodeToString(id[:]) + "}:"
	return flowKeys{flow: base + "flow", members: base + "members", results: base + "results"}
}

// space are the keys and channels of a namespace that belong to no queue.
type space struct {
	queues   string // hash of the names of all queues -> number of partitions
	since    string // hash of the names of all queues -> when they were registered last
	turn     string // hash: when the next turn is, and where in the registry; see turn.lua
	beats    string // sorted set of minions by the end of their lease
	infos    string // hash of minion -> what it says of itself
	tasks    string // hash of minion -> which tasks it can run
	searcher string // the minion that looks for tasks without an owner
	inboxes  string // prefix of channels
	channels string // prefix of minions' channels
	posts    string // prefix of channels of minions and inboxes, for posts
	topics   string // prefix of streams
}

func newSpace(namespace string) space {
	return space{
		queues:   namespace + ":queues",
		since:    "{" + namespace + ":queues}:since", // in the slot of the registry
		turn:     "{" + namespace + ":queues}:turn",
		beats:    "{" + namespace + "}:minions",
		infos:    "{" + namespace + "}:infos",
		tasks:    "{" + namespace + "}:tasks",
		searcher: "{" + namespace + "}:searcher",
		inboxes:  namespace + ":inbox:",
		channels: namespace + ":minion:",
		posts:    namespace + ":post:",
		topics:   namespace + ":topic:",
	}
}

func channel(prefix string, id broker.ID) string { return prefix + hex.EncodeToString(id[:]) }
