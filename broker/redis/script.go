package redis

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// Each change that touches more than one key is a Lua script, which the server runs as a
// whole, with no other command in between. The files in lua/ are of two kinds: scripts, each
// with its keys, arguments and reply at the top, and files with functions that several
// scripts include. Redis has no modules, so an include is put in front of the script's text.
//
// A script is called by the hash of its text (EVALSHA). A server that does not know it, after
// a restart or a failover, replies NOSCRIPT and has done nothing. The call is then repeated
// with the text (EVAL), from which the server learns it.
//
// A reply can be lost after the script has run, and most scripts may not simply run twice. So
// the client library is kept from sending them again by itself. An error tells whether the
// request was refused (broker.ErrUnavailable) or may have taken effect
// (broker.ErrIndeterminate, too), and the caller decides. Several scripts for different
// partitions can share a round trip, see runAll.

//go:embed lua/*.lua
var sources embed.FS

// script is a Lua script with its includes.
type script struct {
	name string // the name of its file, and of the operation in errors
	text string
	sha  string // the hash of text in hexadecimal
}

// laneFiles are the files of the function makeLanes, which a script that includes "lane" gets. Each
// uses those before it. lane.lua says what it is for.
var laneFiles = []string{"lane_state", "lane_limit", "lane_tree", "lane_sequence", "lane_line"}

// load reads a script and puts the files that it includes in front of it.
func load(name string, includes ...string) *script {
	var b strings.Builder
	var lanes []string
	add := func(file string) {
		text, err := sources.ReadFile("lua/" + file + ".lua")
		if err != nil {
			panic(err) // an embedded file is missing: each test fails
		}
		b.Write(text)
	}
	for _, file := range includes {
		switch file {
		case "lane_take": // it is in makeLanes, too
			lanes = append(lanes, file)
			continue
		case "lane":
			lanes = append(lanes, laneFiles...)
		}
		add(file)
	}
	if len(lanes) > 0 {
		b.WriteString("function makeLanes()\n")
		for _, file := range lanes {
			add(file)
		}
		b.WriteString("end\n")
	}
	add(name)
	sum := sha1.Sum([]byte(b.String()))
	s := &script{name: name, text: b.String(), sha: hex.EncodeToString(sum[:])}
	scripts = append(scripts, s)
	return s
}

// scripts are all scripts that were loaded.
var scripts []*script

var (
	scriptEnqueue    = load("enqueue", "clock", "number", "block", "readable", "push", "about", "lane", "waiting")
	scriptUnique     = load("enqueue_unique", "clock", "number", "block", "readable", "push", "about", "lane", "arrive", "unpark", "owners", "hex", "free_keys", "window", "end_waiting", "waiting")
	scriptPlain      = load("enqueue_plain", "readable", "push", "about")
	scriptDequeue    = load("dequeue", "clock", "readable", "dequeue_plain", "number", "push", "unpark", "halted", "lane", "paused", "lane_take")
	scriptSettle     = load("settle", "clock", "number", "block", "readable", "absorb", "settle_plain", "push", "returned", "arrive", "unpark", "deadline", "lane", "free_keys", "steps")
	scriptRegister   = load("register", "clock")
	scriptFound      = load("found", "clock")
	scriptJoin       = load("join", "clock", "number", "push", "readable", "spare")
	scriptHeartbeat  = load("beat", "clock", "pages", "spare")
	scriptLeave      = load("leave", "clock", "number", "block", "push", "readable", "absorb", "returned", "deadline", "unpark", "lane")
	scriptStart      = load("start", "readable", "absorb")
	scriptStepSave   = load("step_save", "clock", "number", "readable", "absorb", "holds", "steps")
	scriptStepLoad   = load("step_load", "clock", "number", "readable", "absorb", "holds", "steps")
	scriptStepDrop   = load("step_drop", "number", "steps")
	scriptSignal     = load("signal", "clock", "number", "block", "push", "steps")
	scriptExcuse     = load("excuse")
	scriptAdopt      = load("adopt", "clock", "readable", "absorb")
	scriptSetAside   = load("set_aside", "readable")
	scriptCancel     = load("cancel", "clock", "number", "block", "readable", "push", "arrive", "unpark", "owners", "lane", "hex", "free_keys", "end_waiting")
	scriptOverdue    = load("overdue", "clock")
	scriptStartKey   = load("start_key", "clock", "number", "readable", "push", "absorb", "lane", "free_keys")
	scriptUniqueKeys = load("unique_keys", "clock", "number", "block", "readable", "push", "lane", "free_keys", "window")
	scriptStatus     = load("status", "clock", "number", "block")
	scriptLocate     = load("locate", "number", "block", "owners")
	scriptSweep      = load("sweep", "clock", "number", "pages", "block", "steps")
	scriptTurn       = load("turn", "clock")
	scriptVisit      = load("visit", "clock", "number", "readable", "push", "lane")
	scriptPurge      = load("purge")
	scriptUnregister = load("unregister", "clock")
	scriptRequeue    = load("requeue", "clock", "number", "block", "readable", "push", "returned", "unpark", "lane", "window")
	scriptAnnounce   = load("announce", "clock", "number")
	scriptCensus     = load("census", "clock")
	scriptPublish    = load("publish", "clock")
	scriptRelease    = load("release", "clock", "number", "readable", "push", "lane", "behind")
	scriptRecord     = load("record")
	scriptParked     = load("take_parked", "clock", "number", "readable", "push", "unpark", "halted", "lane", "paused")

	scriptStranded  = load("stranded", "clock", "number", "readable", "push", "unpark", "lane")
	scriptAbandoned = load("abandoned", "clock", "readable", "unpark")
	scriptAbandon   = load("abandon", "clock", "number", "block", "readable", "push", "arrive", "unpark", "lane", "free_keys")

	scriptFlowOpen         = load("flow_open")
	scriptFlowLookup       = load("flow_lookup", "clock", "flow_look")
	scriptFlowArrive       = load("flow_arrive", "clock", "number", "flow_look")
	scriptFlowMark         = load("flow_mark", "clock", "flow_look")
	scriptArrivals         = load("arrivals", "clock", "number")
	scriptSetAsideArrivals = load("set_aside_arrivals", "number")
	scriptMembers          = load("flow_members", "clock", "flow_look")
	scriptAssign           = load("assign", "clock", "number", "readable", "push", "halted", "behind", "lane", "paused")
	scriptFlowDecide       = load("flow_decide", "clock", "flow_look")
	scriptFlowQueues       = load("flow_queues", "clock", "flow_look")
	scriptFlowEnd          = load("flow_end", "clock", "number", "flow_look")

	scriptDocumentRead    = load("document_read", "clock")
	scriptDocumentWrite   = load("document_write", "clock")
	scriptDocumentChanges = load("document_changes", "clock")

	scriptBound = load("bound", "number", "waiting")
	scriptPause = load("pause", "clock", "push")
	scriptLimit = load("limit", "clock", "number", "readable", "push", "lane")

	scriptHalt        = load("halt", "clock", "number", "push")
	scriptHaltRunning = load("halt_running", "pages", "readable")
	scriptResume      = load("resume", "push")
)

// onceCmd is a command that the client library must not send again by itself. Most
// scripts hand out or settle tasks, so the caller decides whether one may run again after
// its reply was lost.
type onceCmd struct{ *redis.Cmd }

// NoRetry implements [redis.Cmder].
func (onceCmd) NoRetry() bool { return true }

// newOnce returns a command that is sent once and can have any reply.
func newOnce(ctx context.Context, args ...any) onceCmd { return onceCmd{redis.NewCmd(ctx, args...)} }

// onceTexts is onceCmd for a script that returns a flat list of texts and numbers. The
// client reads such a reply with fewer allocations.
type onceTexts struct{ *redis.StringSliceCmd }

// NoRetry implements [redis.Cmder].
func (onceTexts) NoRetry() bool { return true }

// newOnceTexts returns a command that is sent once and has a flat list as its reply.
func newOnceTexts(ctx context.Context, args ...any) onceTexts {
	return onceTexts{redis.NewStringSliceCmd(ctx, args...)}
}

// words returns the words of a command: its verb, the hash or text of the script, the number
// of keys, keys and arguments. They are in the memory of in.
func (s *script) words(in *scratch, verb, body string, keys []string, args []any) []any {
	from := len(in.args)
	in.args = append(in.args, verb, body, len(keys))
	for _, k := range keys {
		in.args = append(in.args, k)
	}
	in.args = append(in.args, args...)
	return in.args[from:len(in.args):len(in.args)]
}

// run executes the script once. The reply of a script that returned false is nil. The
// error is one of the contract, see fault.
func (s *script) run(ctx context.Context, b *Broker, keys []string, args ...any) (any, error) {
	return runAs(ctx, b, b.client(ctx), s, newOnce, keys, args)
}

// texts is run for a script that returns a flat list of texts and numbers.
func (s *script) texts(ctx context.Context, b *Broker, keys []string, args ...any) ([]string, error) {
	return runAs(ctx, b, b.client(ctx), s, newOnceTexts, keys, args)
}

// reply is a command whose reply has the type T.
type reply[T any] interface {
	redis.Cmder
	Result() (T, error)
}

// runAs is run with a given client, and with a given type of command to read the reply.
func runAs[T any, C reply[T]](ctx context.Context, b *Broker, on redis.UniversalClient, s *script, newCmd func(context.Context, ...any) C, keys []string, args []any) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	in := newScratch()
	defer in.free()
	cmd := newCmd(ctx, s.words(in, "evalsha", s.sha, keys, args)...)
	_ = on.Process(ctx, cmd)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		cmd = newCmd(ctx, s.words(in, "eval", s.text, keys, args)...)
		_ = on.Process(ctx, cmd)
	}
	out, err := cmd.Result()
	if err == redis.Nil { // a script that returned false
		return none, nil
	}
	err = b.fault(s.name, err)
	b.relearn(ctx, err)
	return out, err
}

// relearn makes the client of a cluster ask which node serves which hash slots, after an
// error that may mean that they have moved. The client does so by itself only once a minute,
// or when a node redirects it, and a node that has died does not redirect it.
func (b *Broker) relearn(ctx context.Context, err error) {
	if c, ok := b.rdb.(*redis.ClusterClient); ok && errors.Is(err, broker.ErrUnavailable) {
		c.ReloadState(ctx)
	}
}

// call is one run of a script, of several that share a round trip.
type call struct {
	script *script
	keys   []string
	args   []any
	before []largeRecord // large records, which are stored before the script runs
	// whole sends the script's text and not its hash. It is set for the first of several
	// calls that must run in order. Otherwise a server that does not know the script could
	// refuse the first call, learn the script from another client, and run the next call.
	whole bool

	reply    any   // these are set by runAll
	err      error // as run returns it
	unstored error // why a record of before could not be stored; nil if all were
}

// runAll executes calls in one round trip, each as run would. Each call has its own reply
// and its own error.
func runAll(ctx context.Context, b *Broker, calls []*call) { runAllOn(ctx, b, b.client(ctx), calls) }

// runAllOn is runAll with a given client.
func runAllOn(ctx context.Context, b *Broker, on redis.UniversalClient, calls []*call) {
	if len(calls) == 1 && len(calls[0].before) == 0 {
		c := calls[0]
		c.reply, c.err = runAs(ctx, b, on, c.script, newOnce, c.keys, c.args)
		return
	}
	if err := ctx.Err(); err != nil {
		for _, c := range calls {
			c.err = err
		}
		return
	}
	in := newScratch()
	defer in.free()
	pipe := on.Pipeline()
	cmds := make([]onceCmd, len(calls))
	var sets []onceCmd
	for i, c := range calls {
		for _, s := range c.before {
			set := s.command(ctx)
			_ = pipe.Process(ctx, set)
			sets = append(sets, set)
		}
		verb, body := "evalsha", c.script.sha
		if c.whole {
			verb, body = "eval", c.script.text
		}
		cmds[i] = newOnce(ctx, c.script.words(in, verb, body, c.keys, c.args)...)
		_ = pipe.Process(ctx, cmds[i])
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, c := range calls {
		for range c.before {
			if err := sets[0].Err(); err != nil && err != redis.Nil { // redis.Nil: SET NX found a record there
				c.unstored = b.fault("store a record", err)
			}
			sets = sets[1:]
		}
		c.reply, c.err = cmds[i].Result()
		switch {
		case c.err == redis.Nil:
			c.reply, c.err = nil, nil
		case redis.HasErrorPrefix(c.err, "NOSCRIPT"):
			c.reply, c.err = runAs(ctx, b, on, c.script, newOnce, c.keys, c.args)
		default:
			c.err = b.fault(c.script.name, c.err)
			b.relearn(ctx, c.err)
		}
	}
}
