// Package redis is the broker that keeps tasks in Redis (6.2 or newer) or Valkey. Use it
// when arbiters and minions run in several processes or on several machines.
//
//	b, err := redis.Open(ctx, "redis://localhost:6379/0")
//	defer b.Close()
//	m, err := minion.New(b, minion.Queue("default"))
//	arb, err := arbiter.New(b)
//
// # The model
//
// Each queue consists of about twenty keys that share a hash slot. A message is in
// exactly one of them at a time: in the list of ready messages; in the hash of
// scheduled messages, whose due times are in a sorted set beside it; or in the hash of
// messages in flight at one minion. An idle minion takes a message with a blocking
// move to a list of its own, so the message is on the server at every moment even if
// the minion dies. A busy minion takes batches with a script. Every change of more than
// one key is one Lua script, which checks all its conditions before it writes. The
// scripts are in lua/; the comment at the top of each lists its keys and arguments.
// docs/architecture.md has a table of all keys.
//
// Due times, leases and retention are compared with the server's clock only. Clocks
// of clients can be hours apart.
//
// # What the server must be
//
// The server is a single Redis server, a set of Sentinels or a Cluster; [Open] lists the
// URLs. It must not evict keys (maxmemory-policy noeviction). How many tasks a crash can
// lose depends on the server's persistence: with appendonly yes and appendfsync always
// no accepted task is lost; with appendfsync everysec a crash can lose about the last
// second; a failover loses the changes that had not reached the replica. A server that
// is out of memory refuses new tasks, and the tasks that it has are still executed.
//
// # An ACL user for Arbiter
//
// Arbiters and minions need the following rights and no others. If you set another
// [Namespace], write its name in place of arbiter; the braces are part of the keys.
//
//	ACL SETUSER tasks on >secret resetkeys resetchannels -@all
//	  ~arbiter:* ~{arbiter}:* ~{arbiter:* &arbiter:*
//	  +@read +@write +@pubsub +@connection -@dangerous -@scripting
//	  +eval +evalsha +time +client|unblock +multi +exec +info +command +cluster|slots
//
// The command is a single line. Give the user in the URL, as in
// redis://tasks:secret@host:6379/0, or with [Login]. INFO is used only to detect a server
// that is too old or that evicts keys. COMMAND and CLUSTER SLOTS are used only with a
// Cluster. Sentinels are asked without a user, or with a user of their own: see [Open] and
// [SentinelLogin].
//
// A user with write access to these keys can make minions run any task that is
// registered with them, with any arguments, unless a codec signs or encrypts the
// arguments: see package codec.
package redis
