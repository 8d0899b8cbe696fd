package redis

import (
	"encoding/hex"
	"strconv"

	"github.com/go-arbiter/arbiter/broker"
)

// This file makes the names of all keys and channels at the server. A queue that is not
// partitioned has one set of keys, and a partitioned one has a set for each partition. All
// keys of a set begin with {namespace:queue}, or {namespace:queue:partition}. The braces are
// Redis Cluster's notation for the part of a key that decides its hash slot. So all keys of
// a set are at one server, and a script can use them together. Keys of a flow, and the keys
// of a namespace that minions write, share slots in the same way.
//
// The names are a stored format: processes of different builds share a server. A name is
// therefore never changed, also where the Go field has a clearer name.
// docs/architecture.md has a table of the keys.

// keys are the names of all keys of one queue that is not partitioned, or of one partition.
// There is one *keys for each in a process, so it also identifies the partition in maps.
type keys struct {
	queue string // the name of the queue
	base  string // all keys below begin with it

	ready      string   // list of messages, or of a token alone; see push.lua
	checked    string   // list of messages that the dequeue script checks before they start
	canceled   string   // set of ids of messages in checked that were cancelled
	halt       string   // hash of ids of halted flows -> since when; see halt.lua
	state      string   // hash of id, or name of a block of ids -> states; see status.lua, block.lua
	due        string   // sorted set of ids by due time in unix ms
	scheduled  string   // hash of id -> message, of the tasks in due and of blocked ones
	unique     string   // hash of unique key -> the task that has it; see free_keys.lua
	holders    string   // hash of id -> unique key of the task, with the task that waits behind it
	dead       string   // hash of id -> message, of dead letters
	parked     string   // sorted set of ids of parked tasks by the number of their need; see unpark.lua
	needs      string   // hash of such a number -> the need itself
	about      string   // hash of metadata and last failures, of the tasks that have some; see about.lua
	unreadable string   // list of messages and arrivals that can't be read
	deadlines  string   // sorted set of ids by deadline in unix ms; see expire.go
	flows      string   // hash of id -> flow and position in it, of members that are not final
	outbox     string   // hash of arrivals; see arrive.lua
	stop       string   // set of ids of running tasks that were cancelled
	minions    string   // sorted set of minions by the end of their lease in unix ms; negative scores: see leave.lua
	watch      string   // sorted set of the minions among them that listen to the channel wake
	retention  string   // sorted set of retention classes by the time when the next task is to be swept
	meta       string   // exists while the queue is registered; see found.lua
	lanes      []string // keys of tasks with a lane, in the order of laneKeys in lane.lua
	bound      string   // bound of the partition, and of the queue; see waiting.lua
	paused     string   // hash of pauses; see paused.lua
	aside      string   // sorted set of ids of tasks that were set aside, by their order
	back       string   // the same, of tasks that come back
	steps      string   // hash of the saved state of tasks; see steps.lua
	wake       string   // channel on which minions of several queues hear that there are tasks
	park       string   // channel on which minions hear of a new need of parked tasks

	bounded boundedUntil // whether it has a bound, as far as this process knows
}

// newKeys returns the keys of one of so many partitions of a queue.
func newKeys(namespace, queue string, partition, of int) *keys {
	part := ""
	if of > 1 {
		part = ":" + strconv.Itoa(partition)
	}
	return keysOf(namespace, queue, part)
}

// keysOf returns the keys of a queue, or of a partition; part is then ":" and its index, and
// else "".
func keysOf(namespace, queue, part string) *keys {
	name := namespace + ":" + queue + part
	wake, park := namespace+":wake:"+queue+part, namespace+":park:"+queue+part
	base := "{" + name + "}:"
	return &keys{
		queue: queue, base: base,
		ready: base + "ready", checked: base + "held", canceled: base + "gone", halt: base + "halt",
		state: base + "state", due: base + "due", scheduled: base + "later",
		unique: base + "unique", holders: base + "holders", dead: base + "dead", unreadable: base + "odd",
		about: base + "about", parked: base + "parked", needs: base + "needs", deadlines: base + "deadlines",
		flows: base + "flows", outbox: base + "outbox",
		stop: base + "stop", minions: base + "minions", watch: base + "watch",
		retention: base + "keep", meta: base + "meta",
		lanes: []string{
			base + "lanes", base + "lined", base + "lkeys", base + "open", base + "waits",
			base + "opening", base + "charges", base + "rates", base + "limits",
		},
		bound: base + "bound", paused: base + "paused", aside: base + "aside", back: base + "back", steps: base + "steps",
		wake: wake, park: park,
	}
}

// The indices in keys.lanes of keys that are used alone.
const (
	lanesLined   = 1
	lanesOpen    = 3
	lanesWaits   = 4
	lanesOpening = 5
	lanesCharges = 6
	lanesLimits  = 8
)

// claim is the list into which a minion's blocking moves put messages, or the fence that
// takes its place when the minion has left; see leave.lua.
func (k *keys) claim(minion string) string {
	return k.base + "claim:" + hex.EncodeToString([]byte(minion))
}

// flight is the hash of the messages that a minion holds, by id. The minion also holds the
// messages in its claim list; absorb.lua moves those here.
func (k *keys) flight(minion string) string {
	return k.base + "flight:" + hex.EncodeToString([]byte(minion))
}

// ended is the list of ended tasks of a retention class, oldest first; see sweep.lua.
func (k *keys) ended(class string) string { return k.base + "keep:" + class }

// flowKeys are the names of all keys of one flow. They share a hash slot.
type flowKeys struct {
	flow    string // hash of fixed fields: record, counts, marks and outcome
	members string // string of the members' ids, 16 bytes each
	results string // hash of position (4 bytes) -> state and outcome, of members that were counted
}

// newFlowKeys returns the keys of a flow.
func newFlowKeys(namespace string, id broker.ID) flowKeys {
	base := "{" + namespace + ":flow:" + hex.EncodeToString(id[:]) + "}:"
	return flowKeys{flow: base + "flow", members: base + "members", results: base + "results"}
}

// documentKeys are the names of all keys of one collection of documents. They share a hash slot.
type documentKeys struct {
	documents string // hash of name -> record; see document_write.lua
	versions  string // sorted set of names by version, with those that were removed lately
	removed   string // sorted set of the latter by the time of the removal in unix ms
	changes   string // channel on which waiting readers hear of changes
}

// newDocumentKeys returns the keys of a collection.
func newDocumentKeys(namespace, collection string) documentKeys {
	base := "{" + namespace + ":documents:" + collection + "}:"
	return documentKeys{
		documents: base + "documents", versions: base + "versions", removed: base + "removed",
		changes: namespace + ":documents:" + collection,
	}
}

// space are the keys and channels of a namespace that belong to no queue. A prefix is
// followed by an id in hexadecimal; the prefix of streams by the name of the topic.
type space struct {
	queues     string // the registry: hash of queue -> number of partitions
	since      string // hash of queue -> when it was registered last, in unix ms
	turn       string // hash: when the next turn is due, and the cursor in the registry; see turn.lua
	heartbeats string // sorted set of minions by the end of their lease in unix ms
	infos      string // hash of minion -> its description
	tasks      string // hash of minion -> names and schemas of the tasks that it can run
	searcher   string // the minion that looks for tasks without an owner, and until when; see announce.lua
	inboxes    string // prefix of the channels of inboxes, for notices
	channels   string // prefix of the channels of minions, for cancels
	posts      string // prefix of the channels of minions and inboxes, for posts
	topics     string // prefix of the streams of topics
}

func newSpace(namespace string) space {
	return space{
		queues:     namespace + ":queues",
		since:      "{" + namespace + ":queues}:since", // in the hash slot of the registry
		turn:       "{" + namespace + ":queues}:turn",
		heartbeats: "{" + namespace + "}:minions",
		infos:      "{" + namespace + "}:infos",
		tasks:      "{" + namespace + "}:tasks",
		searcher:   "{" + namespace + "}:searcher",
		inboxes:    namespace + ":inbox:",
		channels:   namespace + ":minion:",
		posts:      namespace + ":post:",
		topics:     namespace + ":topic:",
	}
}

// channel returns the name of an id's channel.
func channel(prefix string, id broker.ID) string { return prefix + hex.EncodeToString(id[:]) }
