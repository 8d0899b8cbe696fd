// Package redis keeps tasks in Redis (6.2 or newer) or Valkey: for programs of
// several processes or machines.
//
//	b, err := redis.Open(ctx, "redis://localhost:6379/0")
//	defer b.Close()
//	m := minion.New(b, minion.Queue("default"))
//	arb, err := arbiter.New(b)
//
// # The model
//
// Each queue is a handful of keys that share a hash slot. A message is in one
// place at a time: in the ready list; by its due time among the later ones; or
// in flight, in a hash of the minion that owns it. An idle minion takes a
// message with a blocking move to a list of its own, so that it is on the
// server at every moment, and a busy one takes batches with a script. Whatever
// changes more than one thing is one Lua script that checks everything before
// it writes; the scripts are in lua/, each with its keys and arguments.
// docs/architecture.md draws the keys.
//
// The server's clock decides everything: due times, leases, retention. Clocks
// of clients can be hours apart.
//
// # What the server must be
//
// A single server, Sentinel or Cluster; [Open] has the URLs. It must not evict
// keys (maxmemory-policy noeviction), and keeps what its persistence keeps: with
// appendonly yes and appendfsync always every accepted task; with everysec all
// but about the last second at a crash; at a failover all that had reached the
// replica. A server that is out of memory refuses new tasks and goes on with
// the old ones.
//
// # A user of its own
//
// Arbiters and minions need no more than this of an ACL. With another [Namespace]
// its name stands in place of arbiter; the braces are part of the keys.
//
//	ACL SETUSER tasks on >secret resetkeys resetchannels -@all
//	  ~arbiter:* ~{arbiter}:* ~{arbiter:* &arbiter:*
//	  +@read +@write +@pubsub +@connection -@dangerous -@scripting
//	  +eval +evalsha +time +client|unblock +multi +exec +info +command +cluster|slots
//
// It is one line. The user is named in the URL, as in redis://tasks:secret@host:6379/0,
// or by [Login]. INFO only serves to look for a server that is too old or evicts
// keys, and the last two only a Cluster. With Sentinel the sentinels are asked
// without a user, or with one of their own: see [Open] and [SentinelLogin].
//
// Whoever may write these keys can make minions run any task they know, with any
// arguments, unless a codec signs or encrypts them: see package codec.
package redis
