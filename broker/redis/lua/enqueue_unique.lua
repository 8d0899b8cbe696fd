-- enqueue_unique stores new tasks that have a unique key, each once. It decides one task after the
-- other, as if each had a call of its own, and then writes everything. A task without a key, which
-- must keep its order among the others, may be among them. A task whose id is known
-- with the same content is skipped, since that is a repeated call. A task whose key another one
-- has is refused, replaces the holder, or waits behind it: see broker.Conflict, and
-- free_keys.lua for what is stored.
--
-- A holder can be replaced while it waits. If it is not in later, it is in a list or a minion
-- has it. To find that out the script must look into the hash and the list of each minion, so
-- the caller names all minions.
--
-- KEYS  1 ready  2 held  3 state  4 due  5 later  6 unique  7 meta  8 watch  9 flows
--       10 deadlines  11 holders  12 gone  13 stop  14 minions  15 keep
--       16 list of the retention class of replaced tasks  17 outbox  18 parked  19 needs
--       20-28 the keys of lanes  29 aside  30 back  31 halt  32 paused, then flight and claim of each
--       minion of ARGV, then the window of each task's key, then about
-- ARGV  1 wake channel  2 prefix of inbox channels  3 prefix of minion channels  4 name of the
--       class  5 ms for which the outcome of a replaced task can be read  6 ms until it is
--       swept  7 number of minions, then their ids; then for each task: message, delay in ms, ms
--       to its deadline (0 is none, -1 is one that has passed), flow and position in it ('' is
--       none), whether it is blocked (0, 1), unique key ('' is none), what the hash unique has of it
--       behind the times (whether its start frees the key, in 1 byte, and its name), outcome
--       of the tasks that it replaces (length and record), for how many ms the key is held,
--       conflict (0 refuse, 1 replace, 2 latest, 3 cancel), up to which age in ms a holder is replaced
--       (0 is any), whether the bound of the queue is checked (0, 1); then, if a task has metadata, where that is: see about.lua
-- Returns false if the queue is not registered: nothing was done; register it and call again.
-- Returns false and the ids of all minions if one of them is needed and not among those of
-- ARGV: nothing was done, call again. Else returns a list of two. The first one has three
-- values for each refused task: its index (from 1); its own id, if the content differs, or
-- its state, if that can't be read, or the id of the task that has its key; and in the last
-- case the name of that task, else ''. The second one is how many arrivals were made.

local about = table.remove(KEYS)
local metas = string.sub(ARGV[#ARGV], 1, 1) == '\0' and table.remove(ARGV)
local ready, held, state, due, later, unique, meta, watch, flows, deadlines, holders, minions =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[14]
local wake, channels, class = ARGV[1], ARGV[3], ARGV[4]
local spare = 32 -- number of keys before those of the minions
local k = {
  state = state, due = due, later = later, gone = KEYS[12], stop = KEYS[13], ready = ready, held = held,
  keep = KEYS[15], list = KEYS[16], watch = watch, flows = flows, outbox = KEYS[17], about = about,
  parked = KEYS[18], needs = KEYS[19], wake = wake, inboxes = ARGV[2],
  lanes = laneKeys(20, later), aside = KEYS[29], back = KEYS[30],
}
local sub = string.sub

local registered = redis.call('GET', meta)
if not registered then
  return false
end
local bound, room = boundIn(registered), math.huge
if bound then
  room = bound - waitingIn({
    ready = ready, held = held, later = later, gone = k.gone, halt = KEYS[31], lined = KEYS[21], paused = KEYS[32], back = KEYS[30],
  })
end

-- A key of the wrong type makes the script fail here, before the first write.
for _, key in ipairs({ later, unique, holders, flows, k.outbox, k.needs, about }) do
  redis.call('HLEN', key)
end
for _, key in ipairs({ due, deadlines, k.keep, k.parked, watch }) do
  redis.call('ZCARD', key)
end
for _, key in ipairs({ ready, held, k.list }) do
  redis.call('LLEN', key)
end
redis.call('SCARD', k.gone)
redis.call('SCARD', k.stop)

local count = tonumber(ARGV[7])
local first = 8 + count -- of the tasks in ARGV
local total = (#ARGV - first + 1) / 12
local function arg(i, n)
  return ARGV[first + (i - 1) * 12 + n]
end
local t = now()

-- The minions of the queue are listed only if a holder must be searched there. members is the list
-- if it has one that ARGV lacks, and false if it has none.
local members
local function unnamed()
  if members == nil then
    local named = {}
    for i = 1, count do
      named[ARGV[7 + i]] = true
    end
    members = false
    local all = redis.call('ZRANGE', minions, 0, -1)
    for _, m in ipairs(all) do
      if not named[m] then
        members = all
      end
    end
  end
  return members
end

local fresh = {} -- id -> the task that this call stores: a table as made below
local places = {} -- unique key -> its state, with what this call changes

-- place returns the state of the key of a task: holder (its id, or nil), since, own (the end of its
-- window), floor (before which it must not start), tail (the rest of its entry), state; next (the
-- id of the task that waits behind it, or false), nextSince, nextOwn, nextDue, nextTail; ends
-- (until when windows hold the key, 0 if none does), windowOf and windowName (of the task whose
-- window ends last).
local function place(i)
  local key = arg(i, 5)
  local p = places[key]
  if p then
    return p
  end
  p = { key = key, since = 0, own = 0, floor = 0, next = false, ends = 0, window = KEYS[spare + 2 * count + i] }
  places[key] = p
  local entry = redis.call('HGET', unique, key)
  local holder = entry and sub(entry, 1, 16)
  local s = holder and look(state, { holder })[1]
  if s and #s <= 20 then -- else it has ended, and its key was not freed, which is damage
    p.holder, p.since, p.tail, p.state = holder, number(entry, 17, 6), sub(entry, 23), s
    p.stored = holder -- while p.holder may change
    local v = redis.call('HGET', holders, holder)
    if v and sub(v, 1, 1) == '=' then
      p.own, p.floor = number(v, 18, 6), number(v, 24, 6)
      local next = sub(v, 2, 17)
      v = next ~= NOBODY and redis.call('HGET', holders, next)
      if v and sub(v, 1, 1) == '<' then
        p.next, p.nextSince, p.nextOwn, p.nextDue, p.nextTail = next, number(v, 18, 6), number(v, 24, 6), number(v, 30, 6), sub(v, 36)
      end
    end
  end
  p.ends, p.windowOf, p.windowName = windowOf(p.window, t)
  return p
end

-- moveWindow sets until when windows hold a key.
local function moveWindow(p, ends, id, tail)
  p.ends, p.windowOf, p.windowName, p.moved = ends, id, sub(tail, 2), true
end

local ends, stops, freed = {}, {}, {} -- tasks that are replaced: they wait; minions have them (and those that are cancelled); both

-- replace ends a task whose key, or whose place behind the holder, the task x takes. by is the
-- minion that has it, or nil.
local function replace(id, x, by)
  local old = fresh[id]
  if old then
    old.ended = x.outcome
    return
  end
  freed[#freed + 1] = id
  if by then
    stops[#stops + 1] = { id, by }
    return
  end
  local s, msg = look(state, { id })[1], redis.call('HGET', later, id)
  if s and #s == 20 then
    ends[#ends + 1] = { id = id, state = s, msg = msg, outcome = x.outcome }
  end
end

-- search finds the minions that hold holders of the keys of this call, for all of them at once.
local function search()
  local wanted = {}
  for i = 1, total do
    local id = arg(i, 9) ~= '0' and place(i).stored
    if id then
      wanted[#wanted + 1] = id
    end
  end
  return owners(wanted, spare, count)
end
local found -- what search returned

-- whereIs returns whether the holder of a key can be replaced, and which minion has it (nil if none
-- has). It returns nil if the minions must be known for that.
local function whereIs(p)
  if fresh[p.holder] or #p.state == 20 and redis.call('HEXISTS', later, p.holder) == 1 then
    return true
  end
  if unnamed() then
    return nil
  end
  found = found or search()
  local o = found[p.holder]
  if o then
    return string.byte(p.tail, 1) == 1, ARGV[7 + o.by] -- its start frees the key, and did not yet
  end
  return #p.state == 20
end

-- take gives a key to a task, which must not start before the time floor.
local function take(p, x, floor)
  p.own = x.window > 0 and t + x.window or 0
  p.floor = floor > t and floor or 0
  p.holder, p.tail, p.state, p.next = x.id, x.tail, x.origin, false
  moveWindow(p, math.max(p.own, p.floor), x.id, x.tail)
  p.changed = true
  if x.due < p.floor and not x.blocked then
    x.due = p.floor
  end
end

-- wait lets a task wait behind the holder of its key.
local function wait(p, x)
  local own, old = x.window > 0 and t + x.window or 0, p.next
  x.behind = true
  p.next, p.nextOwn, p.nextDue, p.nextTail = x.id, own, x.due, x.tail
  p.changed = true
  if not old then
    p.nextSince = t
    if own > p.ends then
      moveWindow(p, own, x.id, x.tail)
    end
    return
  end
  replace(old, x)
  -- The window of the task that it replaces ends.
  local rest = math.max(p.own, p.floor)
  if rest >= own then
    moveWindow(p, rest, p.holder, p.tail)
  else
    moveWindow(p, own, x.id, x.tail)
  end
end

-- admit takes the room for a new task, which does not take the place of another one that waits. It
-- returns false if there is none.
local function admit(i)
  if room <= 0 and arg(i, 11) == '1' then
    return false
  end
  room = room - 1
  return true
end

-- settleConflict decides what becomes of a new task. It returns whether it is stored; if not, the id
-- and the name of the task that has its key, or what fullMark returns if there is no room for it, or
-- nil if the task was stored before.
local function settleConflict(i, x, p)
  local conflict, most = arg(i, 9), tonumber(arg(i, 10))
  if not p.holder then
    local free, waits = p.ends <= t, conflict >= '2'
    if (free or waits and p.windowOf ~= x.id) and not admit(i) then
      return false, fullMark(bound, bound - room), ''
    end
    if free then
      p.since = t
      take(p, x, 0)
      return true
    elseif p.windowOf == x.id then
      return false
    elseif waits then
      p.since = t
      take(p, x, p.ends)
      return true
    end
    return false, p.windowOf, p.windowName
  end
  local stop = nil -- the minion of a holder that is to be cancelled
  if conflict ~= '0' and (most == 0 or t - p.since <= most) then
    local can, by = whereIs(p)
    if can == nil then
      return nil
    end
    if conflict == '3' then
      stop = by
    end
    if can then
      local old, next = p.holder, p.next
      take(p, x, p.floor)
      replace(old, x, by)
      if next then
        replace(next, x)
      end
      return true
    end
  end
  if conflict >= '2' then
    if not p.next and not admit(i) then
      return false, fullMark(bound, bound - room), ''
    end
    wait(p, x)
    if stop then
      stops[#stops + 1] = { p.holder, stop }
    end
    return true
  end
  return false, p.holder, sub(p.tail, 2)
end

local ids = {}
for i = 1, total do
  ids[i] = sub(arg(i, 0), 2, 17)
end
local known = look(state, ids)
local refused, stored = {}, {}
local function refuse(i, what, name)
  refused[#refused + 1] = i
  refused[#refused + 1] = what
  refused[#refused + 1] = name
end
for i = 1, total do
  local id, msg = ids[i], arg(i, 0)
  local origin = sub(msg, 26, 45) -- digest and inbox
  local old = known[i] or fresh[id] and fresh[id].origin
  if old and #old < 20 then
    refuse(i, #old == 16 and '' or old, '') -- its state can't be read, so its content can't be compared
  elseif old then
    if sub(old, 1, 4) ~= sub(origin, 1, 4) then
      refuse(i, id, '')
    end
  else
    local delay, left = tonumber(arg(i, 1)), tonumber(arg(i, 2))
    local x = {
      id = id, i = i, origin = origin, ref = arg(i, 3), blocked = arg(i, 4) == '1', tail = arg(i, 6), outcome = arg(i, 7),
      window = tonumber(arg(i, 8)), due = delay > 0 and t + delay or 0,
    }
    if left ~= 0 then
      x.limit = t + math.max(left, 0)
      msg = sub(msg, 1, LIMIT_FROM - 1) .. big(x.limit, 6) .. sub(msg, LIMIT_TO + 1)
    end
    x.msg = msg
    local is, holder, name = true, nil, nil
    if arg(i, 5) ~= '' then
      is, holder, name = settleConflict(i, x, place(i))
    elseif not admit(i) then
      is, holder, name = false, fullMark(bound, bound - room), ''
    end
    if is == nil then
      return { false, members }
    elseif is then
      fresh[id] = x
      stored[#stored + 1] = x
    elseif holder then
      refuse(i, holder, name)
    end
  end
end
if #stored == 0 then
  return { refused, 0 }
end

-- Then write, the messages before the states: see enqueue.lua.
local new, states, msgs, lined, dues, laters, refs, limits = {}, {}, {}, {}, {}, {}, {}, {}
for _, x in ipairs(stored) do
  if x.ref ~= '' then
    refs[#refs + 1] = x.id
    refs[#refs + 1] = x.ref
  end
  if x.ended then -- another task of this call has replaced it
    ends[#ends + 1] = { id = x.id, state = x.origin, msg = x.msg, outcome = x.ended }
  else
    if x.limit then
      limits[#limits + 1] = x.limit
      limits[#limits + 1] = x.id
    end
    local flags = string.byte(x.msg, 25)
    if x.behind and math.floor(flags / 4) % 2 == 0 then
      x.msg = sub(x.msg, 1, 24) .. string.char(flags + 4) .. sub(x.msg, 26) -- FlagBlocked
    end
    if x.due > t and not x.behind then
      dues[#dues + 1] = x.due
      dues[#dues + 1] = x.id
    end
    if x.due > t or x.behind or x.blocked then
      laters[#laters + 1] = x.id
      laters[#laters + 1] = x.msg
    elseif laneOf(x.msg) then
      lined[#lined + 1] = x.msg
    else
      msgs[#msgs + 1] = x.msg
    end
    new[#new + 1] = x.id
    states[#states + 1] = x.id
    states[#states + 1] = x.origin
  end
end
if #refs > 0 then
  redis.call('HSET', flows, unpack(refs))
end
if #limits > 0 then
  redis.call('ZADD', deadlines, unpack(limits))
end
if #laters > 0 then
  redis.call('HSET', later, unpack(laters))
end
if #dues > 0 then
  local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  redis.call('ZADD', due, unpack(dues))
  local sooner = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  if #head == 0 or scoreOf(sooner[2]) < scoreOf(head[2]) then
    nudge(ready, watch, wake) -- a minion must ask, to set its timer to the new due time
  end
end
push(ready, held, watch, wake, msgs, false)
if #lined > 0 then
  lineUp(k.lanes, ready, held, watch, wake, lined)
end
if #states > 0 then
  redis.call('HSET', state, unpack(states))
  mark(state, new, OWN)
end
if #freed > 0 then
  redis.call('HDEL', holders, unpack(freed))
end
for _, p in pairs(places) do
  if p.changed then
    redis.call('HSET', unique, p.key, p.holder .. big(p.since, 6) .. p.tail)
    redis.call('HSET', holders, p.holder, '=' .. (p.next or NOBODY) .. big(p.own, 6) .. big(p.floor, 6) .. p.key)
    if p.next then
      redis.call('HSET', holders, p.next, '<' .. p.holder .. big(p.nextSince, 6) .. big(p.nextOwn, 6) .. big(p.nextDue, 6) .. p.nextTail)
    end
  end
  if p.moved then
    setWindow(p.window, p.ends, p.windowOf, p.windowName, t)
  end
end
if metas then
  describe(about, metas, function(i) return fresh[ids[i]] and fresh[ids[i]].i == i and arg(i, 0) end)
end
local over = {}
for i, item in ipairs(ends) do
  over[i] = item.id
end
local arrivals = endWaiting(k, ends, 8, class, tonumber(ARGV[5]), tonumber(ARGV[6]), t) -- 8: canceled
if #over > 0 and redis.call('EXISTS', deadlines) == 1 then
  redis.call('ZREM', deadlines, unpack(over))
end
for _, s in ipairs(stops) do
  redis.call('SADD', k.stop, s[1])
  redis.call('PUBLISH', channels .. hex(s[2]), s[1])
end
return { refused, arrivals }
