//go:build unix

package chaos

// mutant is a fault that is put into a copy of the module.
type mutant struct {
	name string
	file string // path from the root of the module
	old  string // the text to replace, which must occur once
	new  string
	// added names the addition to the suite that made it find the mutant, if it did not find it at
	// first.
	added string
	// want are the rules of which one must find it. Others may find it, too.
	want []Verdict
	how
}

// how says which runs find a mutant.
type how struct {
	simulated bool     // the simulation finds it, else TestChaos
	long      bool     // a short run of TestChaos does not find it
	seed      uint64   // the seed that is tried first in longer runs; 0 means 1
	args      []string // more arguments of TestChaos
}

// known are the mutants that the suite must find: faults of other systems that this system could
// have, and a fault for each of the checker's rules.
var known = []mutant{
	{
		"a late settlement counts", "broker/redis/lua/settle_plain.lua",
		"  local msg = msgs[i]\n",
		"  local msg = msgs[i]\n  owner = true\n" +
			"  if not msg then\n    msg = string.rep('\\0', 17) .. attempts[i] .. string.rep('\\0', HEAD - 21)\n    msgs[i] = msg\n  end\n", "",
		[]Verdict{SettledTwice}, how{},
	}, {
		"the last calls of a sequence are not sent", "arbiter/submit_seq.go",
		"err = s.send(ctx)\n\treturn s.stored, err", "return s.stored + len(s.part), nil", "calls in the load that are sent as a sequence",
		[]Verdict{Lost}, how{simulated: true},
	}, {
		"a tick that a dead process has decided is forgotten", "schedule/run.go",
		"if len(x.Intents) > 0 {\n\t\terr := r.finish", "if x.By != r.id && x.By != \"\" {\n\t\tnext.Intents = nil\n\t} else if len(x.Intents) > 0 {\n\t\terr := r.finish",
		"schedules in the load, and the rule about ticks", []Verdict{Untimely}, how{simulated: true},
	}, {
		"a tick is decided before it is due", "schedule/advance.go",
		"if due > now {", "if due > now+1500 {", "schedules in the load, and the rule about ticks",
		[]Verdict{Untimely}, how{simulated: true},
	}, {
		"a paused schedule goes on", "schedule/advance.go",
		"if s.Paused == nil {\n\t\tchanged = s.decideDue(now)", "if now > 0 {\n\t\tchanged = s.decideDue(now)", "schedules that are paused in the load, and the rule about ticks",
		[]Verdict{Untimely}, how{simulated: true},
	}, {
		"a schedule that was resumed stays paused", "schedule/operate.go",
		"x.Paused, x.Last = nil, max(x.Last, now)", "x.Last = max(x.Last, now)", "schedules that are paused in the load, and the rule about ticks",
		[]Verdict{Untimely}, how{simulated: true},
	}, {
		"runs of a schedule do not wait for each other", "schedule/advance.go",
		"return s.def.Overlap == OverlapAllow || len(s.Open)+len(s.Intents)+len(s.Waiting) == 0", "return true", "schedules whose runs wait for each other in the load",
		[]Verdict{Crowded}, how{simulated: true},
	}, {
		"ticks that wait are dropped", "schedule/advance.go",
		"s.Waiting = append(s.Waiting, r)", "_ = r", "schedules whose runs wait for each other in the load",
		[]Verdict{Untimely}, how{simulated: true},
	}, {
		"the end of a run is not looked up", "schedule/advance.go",
		"if !known || !state.Final() && state != broker.StateUnknown {", "if !known {", "schedules whose runs wait for each other in the load",
		[]Verdict{Crowded}, how{simulated: true},
	}, {
		"a document is replaced whatever its version is", "broker/redis/lua/document_write.lua",
		"if version ~= expected and expected ~= '*' then", "if false then", "schedules in the load, and the rule about ticks",
		[]Verdict{Untimely, Crowded}, how{},
	}, {
		"a heavy task takes one slot", "minion/heavy.go",
		"a.slot.n = int32(min(n, total))", "a.slot.n = 1", "heavy tasks in the load, and the rule about what is used at once",
		[]Verdict{Crowded}, how{},
	}, {
		"a task starts although the ceiling of its name is reached", "minion/ceiling.go",
		"case c == nil:\n\t\ta.entry = inside", "case true:\n\t\ta.entry = inside", "tasks of a name with a ceiling in the load, and the rule about what is used at once",
		[]Verdict{Crowded}, how{},
	}, {
		"a task starts although its name is paused", "broker/redis/lua/dequeue.lua",
		"elseif waits[i] then", "elseif false then", "pauses in the load, and the rule about paused tasks",
		[]Verdict{AfterPause}, how{},
	}, {
		"a task with a lane starts although its key is paused", "broker/redis/lua/lane_take.lua",
		"if paused and pausedOf(paused, ready, { msg })[1] then", "if false then", "pauses in the load, and the rule about paused tasks",
		[]Verdict{AfterPause}, how{},
	}, {
		"what was set aside does not come back", "broker/redis/lua/pause.lua",
		"redis.call('RENAME', aside, back)", "", "pauses in the load",
		[]Verdict{Lost}, how{},
	}, {
		"a dead minion's attempts start again under their old numbers", "broker/redis/lua/leave.lua",
		"string.sub(again, 1, 23)", "string.sub(msg, 1, 21) .. string.sub(again, 22, 23)", "",
		[]Verdict{Unexplained}, how{},
	}, {
		"a minion's death uses up a retry", "broker/redis/lua/leave.lua",
		"string.sub(again, 1, 23)", "string.sub(again, 1, 21) .. big(number(msg, 22, 2) + 1, 2)", "",
		[]Verdict{RetryUsed}, how{},
	}, {
		"the tasks of a lost reply are not handed out again", "broker/redis/lua/adopt.lua",
		"return { now(), redis.call('HKEYS', KEYS[1]) }", "return { now(), {} }", "",
		[]Verdict{Unexplained, Lost}, how{long: true, seed: 3},
	}, {
		"a repeated enqueue stores again", "broker/redis/lua/enqueue_plain.lua",
		"if known[i] then", "if false then", "",
		[]Verdict{Unexplained, SettledTwice}, how{},
	}, {
		"a killed task is retried as one that failed", "broker/redis/lua/settle.lua",
		"local is = verb ~= 'finish' and stopping and", "local is = false and", "kills that race with the return, and the rule that an attempt that returns after the kill is the last",
		[]Verdict{AfterKill}, how{},
	}, {
		"a kill of a waiting task leaves no tombstone", "broker/redis/lua/end_waiting.lua",
		"redis.call('SADD', k.gone, unpack(tombs))", "", "",
		[]Verdict{AfterKill}, how{},
	}, {
		"the deadlines of waiting tasks are not watched", "broker/redis/lua/enqueue.lua",
		"redis.call('ZADD', deadlines, unpack(limits))", "", "tasks with deadlines in the load",
		[]Verdict{Lost, Late}, how{},
	}, {
		"a running task whose deadline passes during the search for expired tasks is ended", "broker/redis/lua/cancel.lua",
		"local by = owned[id] and", "local by = not expiring and owned[id] and", "tasks with deadlines in the load",
		[]Verdict{SettledTwice}, how{},
	}, {
		"a task fails at the first minion that can't run it", "minion/outcome.go",
		"case errors.As(bad, &other) && a.s.r.parks():", "case errors.As(bad, &other) && false:", "minions of two builds in the load",
		[]Verdict{WrongResult, WrongEnd}, how{simulated: true},
	}, {
		"a kill is forgotten when its minion dies", "broker/redis/lua/leave.lua",
		"flags = flags + 1 -- FlagCanceled", "", "kills of tasks that end the process that runs them later",
		[]Verdict{AfterKill}, how{long: true},
	}, {
		"members are counted down instead of kept in a set", "broker/redis/lua/flow_arrive.lua",
		"if not known[k] and not seen[position] then", "if not seen[position] then", "",
		[]Verdict{OutOfOrder, Lost}, how{},
	}, {
		"heartbeats do not renew the lease", "broker/redis/lua/beat.lua",
		"redis.call('ZADD', minions, 'XX', t + lease, minion)", "", "tasks that run for longer than a lease when all faults are over",
		[]Verdict{Unexplained}, how{long: true},
	}, {
		"a dead minion's tasks are dropped", "broker/redis/lua/leave.lua",
		"push(ready, held, watch, wake, back, true)", "", "",
		[]Verdict{Lost}, how{},
	}, {
		"a settlement is given up at the first error", "minion/settler.go",
		"r.out.failed(\"settle\", err)\n\t\t}\n\t\tif len(batch) > 0",
		"r.out.failed(\"settle\", err)\n\t\t\ts.giveUp(batch, err)\n\t\t\treturn\n\t\t}\n\t\tif len(batch) > 0", "",
		[]Verdict{Lost, Unexplained}, how{simulated: true},
	}, {
		"arrivals are confirmed although following them has failed", "internal/engine/flow/driver.go",
		"id, bad))\n\t\t\tcontinue\n", "id, bad))\n", "",
		[]Verdict{Lost}, how{simulated: true},
	}, {
		"idle minions are not woken", "broker/redis/lua/push.lua",
		"if was <= 1 and redis.call('EXISTS', watch) == 1 then", "if false then",
		"probes of idle minions, and the rule that they start promptly",
		[]Verdict{Late}, how{},
	}, {
		"a task that is handed out is not stored any more", "broker/redis/lua/dequeue_plain.lua",
		"redis.call('HSET', flight, unpack(pairs))", "", "",
		[]Verdict{Lost}, how{},
	}, {
		"a task that a blocking move took is lost with its minion", "broker/redis/lua/leave.lua",
		"absorb(claim, flight, odd)", "", "",
		[]Verdict{Lost}, how{},
	}, {
		"a retry removes the task, and then fails", "broker/redis/lua/settle.lua",
		"local again, dues, lined = {}, {}, {}",
		"if owner and #settled > 0 then\n      redis.call('HDEL', flight, unpack(settled))\n" +
			"      if tonumber(lease) - t < 1400 then\n        return redis.error_reply('ERR no lease')\n      end\n    end\n    local again, dues, lined = {}, {}, {}",
		"",
		[]Verdict{Lost}, how{},
	}, {
		"a settled task stays with its minion, and is recovered after the death of the minion", "broker/redis/lua/settle_plain.lua",
		"redis.call('HDEL', flight, unpack(ids))", "", "",
		[]Verdict{SettledTwice}, how{},
	}, {
		"a task that is killed while it waits is not taken out of the list of the blocking moves", "broker/redis/lua/end_waiting.lua",
		"redis.call('RENAME', k.ready, k.held)", "", "",
		[]Verdict{AfterKill}, how{},
	}, {
		"a kill of a running task is not remembered", "broker/redis/lua/cancel.lua",
		"redis.call('SADD', stop, id)", "", "the same",
		[]Verdict{AfterKill}, how{long: true},
	}, {
		"an enqueue is acknowledged, whether the task was written or not", "broker/redis/lua/enqueue_plain.lua",
		"push(KEYS[1], KEYS[2], KEYS[5], ARGV[1], ARGV, false, first)\nredis.call(",
		"pcall(push, KEYS[1], KEYS[2], KEYS[5], ARGV[1], ARGV, false, first)\nredis.pcall(", "a full server in each run",
		[]Verdict{Lost}, how{long: true},
	}, {
		"a repeated enqueue of a delayed task, or of a member of a group, stores it again", "broker/redis/lua/enqueue.lua",
		"local old = known[i] or seen[id]", "local old = nil", "",
		[]Verdict{Unexplained, SettledTwice}, how{},
	}, {
		"a task that a handler sends has another id in each attempt", "internal/engine/client/child.go",
		"return derive.TaskID(t, s.Parent[:], s.seed(binary.BigEndian.AppendUint32(key[:], s.countEqual(key))))",
		"return t.NewID()", "",
		[]Verdict{Unexplained}, how{simulated: true},
	}, {
		"tasks that are submitted with a settlement are forgotten", "broker/redis/lua/settle.lua",
		"redis.call('HSET', outbox, unpack(notes))", "", "",
		[]Verdict{Lost}, how{},
	}, {
		"a callback starts when one member is missing", "internal/engine/flow/driver.go",
		"p.Arrived() == fl.Size", "p.Arrived() >= fl.Size-1", "",
		[]Verdict{OutOfOrder}, how{simulated: true},
	}, {
		"a group without members never begins", "internal/engine/client/flow_send.go",
		"f.Size == 0 && !f.blocked", "f.Size < 0 && !f.blocked", "groups without members in the load",
		[]Verdict{Lost}, how{simulated: true},
	}, {
		"the error of a pipe names a step that was canceled because another one was killed", "internal/engine/flow/outcome.go",
		"m.State == broker.StateCanceled && p.First > step", "m.State == broker.StateUnknown && p.First > step",
		"kills of single steps, and the rule that the member that the error names has failed or was killed",
		[]Verdict{WrongEnd}, how{simulated: true},
	}, {
		"the end of a finalizer is not counted", "broker/redis/lua/flow_arrive.lua",
		"others[#others + 1] = 'finalizer'", "others[#others + 1] = 'none'", "",
		[]Verdict{Lost}, how{},
	}, {
		"a released task is released again", "broker/redis/lua/release.lua",
		"redis.call('HDEL', later, unpack(ids))", "", "",
		[]Verdict{Unexplained, SettledTwice}, how{},
	}, {
		"a kill of a large group holds back the members of all other groups", "broker/redis/lua/halted.lua",
		"if is then", "if true then", "kills that halt a group first",
		[]Verdict{Lost}, how{},
	}, {
		"the mark of a killed group is not kept", "broker/redis/lua/flow_mark.lua",
		"redis.call('HSET', KEYS[1], unpack(ARGV))", "", "kills of groups in the load",
		[]Verdict{AfterKill}, how{},
	}, {
		"of two decisions about a squad the last one counts", "broker/redis/lua/flow_decide.lua",
		"if v[1] then\n  return v[1] == ARGV[2] and 1 or 0\nend\n", "", "squads in the load",
		[]Verdict{InPart, WrongEnd}, how{},
	}, {
		"a squad leaves a member behind", "minion/squad.go",
		"r.starting = append(r.starting, members...)", "r.starting = append(r.starting, members[1:]...)", "squads in the load",
		[]Verdict{InPart}, how{simulated: true},
	}, {
		"after a failover all clients still ask the dead master", "broker/redis/script.go",
		"c.ReloadState(ctx)", "_ = c", "the rule that each minion serves its queues again when all faults are over",
		[]Verdict{Late}, how{long: true, args: []string{"-topology", "cluster"}},
	}, {
		"a connection that the client closes ends the minion", "broker/redis/errors.go",
		"if b.ctx.Err() != nil && !errors.As(err, &reply) {", "if errors.Is(err, net.ErrClosed) || b.ctx.Err() != nil && !errors.As(err, &reply) {", "masters that hang before another one takes over, and the rule that no process ends by itself",
		[]Verdict{BroughtDown}, how{long: true, args: []string{"-topology", "sentinel"}},
	}, {
		"a blocking move that the server has postponed is unblocked", "broker/redis/blocking_move.go",
		"\t\ttx.ZRem(ctx, m.minions, \"\")\n", "", "pauses of writes while a minion ends, and the rule that no server ends by itself",
		[]Verdict{BroughtDown}, how{},
	}, {
		"a settlement reads the states of all tasks for each of its tasks", "broker/redis/lua/settle_plain.lua",
		"  local msg = msgs[i]\n", "  local msg = msgs[i]\n  redis.call('HGETALL', state)\n",
		"a queue with many tasks, a watch of the servers' slow logs, and the rule that no script takes 20 ms",
		[]Verdict{TooLong}, how{long: true},
	}, {
		"a damaged message that becomes due stops its queue", "broker/redis/lua/dequeue.lua",
		"if not msg or not readable(msg) then", "if not msg then", "records of the suite's own tasks that are damaged",
		[]Verdict{Lost, Late}, how{long: true},
	}, {
		"a task that had not started is charged with the death of its minion", "broker/redis/lua/leave.lua",
		"if math.floor(string.byte(msg, 25) / 64) % 2 == 1 then -- FlagStarted\n          strikes", "if true then\n          strikes",
		"minions that take tasks and are killed before they start any",
		[]Verdict{Charged}, how{long: true},
	}, {
		"the outage of a minion stays counted as a death", "broker/redis/start.go",
		"return c.excuse(ctx, k)", "return nil", "a MaxRecoveries of 3, tasks that run for long, and -outages",
		[]Verdict{Charged}, how{long: true, args: []string{"-outages", "-duration", "40s"}},
	}, {
		"a minion tries only once to tell the broker that it is alive", "minion/session.go",
		"case !backoff.Sleep(s.r.stop,", "case true || !backoff.Sleep(s.r.stop,", "outages in which requests fail at once",
		[]Verdict{Charged}, how{simulated: true},
	}, {
		"tasks that may have killed a minion run together", "minion/blame.go",
		"now.Sub(t.since) >= trialFor:", "now.Sub(t.since) >= 0:", "the rule that another task is charged with only one of the deaths that one task causes",
		[]Verdict{Charged}, how{simulated: true},
	}, {
		"a task that may have killed a minion lets others start while it waits for its children", "minion/blame.go",
		"case t.of[n-1].awaitsTask(a.d):", "case len(t.of[n-1].awaits) > 0:", "parents beside tasks that end their processes",
		[]Verdict{Charged}, how{simulated: true},
	}, {
		"a seal is not bound to the task's id", "internal/engine/seal/associated.go",
		"a = a.id(t.ID).text(t.Name)", "a = a.text(t.Name)", "a submitter that seals, and sealed tasks that are stored again as others",
		[]Verdict{Forged}, how{simulated: true},
	}, {
		"a heartbeat renews the lease for less than half of its time", "broker/redis/lua/beat.lua",
		"redis.call('ZADD', minions, 'XX', t + lease, minion)", "redis.call('ZADD', minions, 'XX', t + math.floor(lease * 0.45), minion)", "a death of a minion when all faults are over",
		[]Verdict{TooEarly}, how{long: true},
	}, {
		"an enqueue whose reply is lost counts as refused", "broker/redis/errors.go",
		"what, broker.ErrUnavailable, broker.ErrIndeterminate, err)", "what, broker.ErrUnavailable, broker.ErrUnavailable, err)", "submitters that are cut off when they have sent tasks, in each run",
		[]Verdict{AfterRefusal}, how{long: true},
	}, {
		"a group ends without its finalizer", "internal/engine/flow/driver.go",
		"if !fl.Finalizer.IsZero() && !p.Finalizer.Final() {", "if false {", "",
		[]Verdict{NotOnce}, how{simulated: true},
	}, {
		"no minion searches for the tasks of a minion whose registration is lost", "broker/redis/heartbeat.go",
		"if searches {", "if searches && false {", "registrations that are lost",
		[]Verdict{Lost}, how{long: true},
	}, {
		"limits are not charged", "broker/redis/lua/lane_limit.lua",
		"a.used = a.used + cost", "", "limits of one in the load, and the rule that their tasks do not overlap",
		[]Verdict{Crowded}, how{},
	}, {
		"a retry ends the turn of its sequence", "broker/redis/lua/settle.lua",
		"opened = owner and discharge(L, over) or opened", "opened = owner and (discharge(L, over) or endSequence(L, over, 8)) or opened",
		"sequences in the load, and the rule of their order",
		[]Verdict{OutOfOrder}, how{},
	}, {
		"the end of a task passes its unique key on to nobody", "broker/redis/lua/settle.lua",
		"freeKeys(locks, some, t)", "", "tasks with unique keys in the load, which wait behind each other",
		[]Verdict{Lost}, how{},
	}, {
		"a unique key outlives its task", "broker/redis/lua/enqueue_unique.lua",
		"p.own = x.window > 0 and t + x.window or 0", "p.own = t + math.max(x.window, 300)",
		"tasks with unique keys in the load, and the rule that none is refused because of an ended task",
		[]Verdict{Outlived}, how{},
	}, {
		"a task that was replaced is not ended", "broker/redis/lua/enqueue_unique.lua",
		"ends[#ends + 1] = { id = id, state = s, msg = msg, outcome = x.outcome }", "", "tasks with unique keys in the load, which replace each other",
		[]Verdict{Lost, Crowded}, how{},
	}, {
		"a new task does not cancel the one that runs", "broker/memory/unique.go",
		"q.stop(k.holder, fx)", "_ = fx", "tasks with unique keys in the load, which cancel each other, and the rule that those that run end soon",
		[]Verdict{AfterKill}, how{simulated: true},
	}, {
		"a unique key has two holders", "broker/redis/lua/enqueue_unique.lua",
		"  if not p.holder then\n", "  if true then\n", "tasks with unique keys in the load, and the rule about what runs at once",
		[]Verdict{Crowded}, how{},
	}, {
		"a key that is free at the start is held until the end", "broker/redis/lua/start_key.lua",
		"freeKeys(locks, { id }, now())", "", "tasks with unique keys in the load, and the rule that none is refused because of a task that has started",
		[]Verdict{Outlived}, how{},
	}, {
		"tasks with a lane take no room in a queue with a bound", "broker/redis/lua/waiting.lua",
		"local n = redis.call('HLEN', k.later)", "local n = 0", "a queue with a bound in the load, and the rule about tasks that are stored while they are paused",
		[]Verdict{Overfull}, how{},
	}, {
		"a call that waits for room is not sent again", "internal/engine/client/room.go",
		"backoff.Delay(tries, leastRoomPause, mostRoomPause)", "time.Hour+0*backoff.Delay(tries, leastRoomPause, mostRoomPause)",
		"calls that wait for room in the load, and the rule that none does while there is room",
		[]Verdict{NoRoom}, how{simulated: true},
	}, {
		"a dead minion's charges are not given back", "broker/redis/lua/leave.lua",
		"discharge(L, lined)", "", "limits of one in the load",
		[]Verdict{Lost}, how{},
	},
}
