-- Tasks with a lane wait in lines, ordered by their positions: all tasks of a sequence wait in one
-- line, and of other tasks those whose lane is the same. A line is in one of two places. It is open: it stands among the open lines of
-- its key. Or one of its limits is exhausted: it stands among those that wait for this limit, and
-- whoever gives back a charge of the limit opens the first of them.
--
-- The message of a task in line is in the hash later, like that of a scheduled task, so a cancel
-- or a look-up finds it there. While a task is in line, held exists and ready has only tokens, so
-- that no minion takes a task past the dequeue script; see push.lua.
--
-- Keys, all of one queue:
--   lanes    hash: 'l' and the name of a line -> its number; '#' and the number -> the name;
--            '@' and the number -> where the line stands ('o' or 'w', and its member there);
--            'n' the last number; 'p' the last position; 't' how many tasks were handed out;
--            'b' the priority that a hand-out to a lower one went to last; 'v' and a priority ->
--            its virtual time
--   lined    sorted set, by the number of the line: position (8 bytes) and id of each task
--   keys     sorted set of those keys, each behind its priority, that have open lines: by
--            (9 - priority) * BAND + virtual time
--   open     sorted set, all scores 0: key, position of the head, number of the line (8 bytes)
--   waits    sorted set, all scores 0: limit, order, number of the line (8 bytes)
--   opening  sorted set of limits by the time at which they are to be looked at again
--   charges  hash: limit -> cost in use; or sequence -> id of the task that has it, with '!' in
--            front if a failure has halted the sequence
--   rates    sorted set of limits with a rate, by theoretical arrival time in us; and of 'c' and the
--            name of limits that are closed, by the time in us until which they are
--   limits   hash: 'd' and a limit -> its definition; 'w' and a key -> its weight; 'x' exists if there
--            are definitions for single keys, and 'y' if there are weights; see lanes.go
--
-- A limit is named by the name and key in a charge, each with its length (1 byte) in front. A
-- sequence is named like a limit with an empty name, and is a limit of one.

local BAND = 562949953421312 -- 2^49: the virtual times of one priority stay below it
local STEP = 1000 -- how much a hand-out adds to the virtual time of a key of weight 1

local function text(n)
  return string.format('%.0f', n)
end

-- parseLane reads a lane in s, from an index to at most another one. It returns a table with the
-- name of its line, priority, key (behind its priority), sequence ('' if it has none), stop and uses
-- (the names of its limits), and the index behind the lane; or nil if the lane can't be read. The
-- name of a line is the lane itself; or, of a sequence, '\255' and the sequence.
local function parseLane(s, at, to)
  local byte, sub = string.byte, string.sub
  local begin = at
  local function length(i)
    return i <= to and byte(s, i) or 65536
  end
  local lane = { priority = length(at), stop = length(at + 1) % 2 == 1, uses = {} }
  at = at + 2
  local from = at
  at = at + 1 + length(at)
  lane.key = sub(s, begin, begin) .. sub(s, from, at - 1)
  from = at
  at = at + 1 + length(at)
  lane.sequence = at - from > 1 and '\0' .. sub(s, from, at - 1) or ''
  local many = length(at)
  at = at + 1
  if many > 8 or lane.priority > 9 then
    return nil
  end
  for i = 1, many do
    from = at
    at = at + 1 + length(at)
    at = at + 1 + length(at)
    lane.uses[i] = sub(s, from, at - 1)
  end
  if at > to + 1 then
    return nil
  end
  lane.name = sub(s, begin, at - 1)
  if lane.sequence ~= '' then
    lane.name = '\255' .. lane.sequence
    lane.uses[many + 1] = lane.sequence
  end
  return lane, at
end

-- laneOf reads the lane of a message: a table as from parseLane, with the costs of its uses, and
-- its position (8 zero bytes if it has not been in line). It returns nil for a message without a
-- lane, or if the lane can't be read.
local parsed = {} -- lanes by message: a script reads each only once
local function laneOf(msg)
  local known = parsed[msg]
  if known ~= nil then
    return known or nil
  end
  parsed[msg] = false
  local byte = string.byte
  if #msg < 57 or byte(msg, 25) < 128 or byte(msg, 1) ~= 3 then -- FlagLaned
    return nil
  end
  local to = 56 + byte(msg, 55) * 256 + byte(msg, 56)
  if #msg < to or to < 69 then
    return nil
  end
  local lane, at = parseLane(msg, 65, to)
  if not lane then
    return nil
  end
  lane.position, lane.costs = string.sub(msg, 57, 64), {}
  for i, use in ipairs(lane.uses) do
    lane.costs[i] = use == lane.sequence and 1 or number(msg, at + 4 * i - 4, 4)
  end
  parsed[msg] = lane
  return lane
end

-- page calls a command with a key and a list of arguments, as often as is needed: one call can only
-- have some thousands. width is how many arguments belong together.
local function page(command, key, args, width)
  local size = 3000 - 3000 % width
  for i = 1, #args, size do
    redis.call(command, key, unpack(args, i, math.min(i + size - 1, #args)))
  end
end

-- fetch returns the values of fields of a hash.
local function fetch(key, fields)
  if #fields <= 3000 then
    return #fields > 0 and redis.call('HMGET', key, unpack(fields)) or {}
  end
  local out = {}
  for i = 1, #fields, 3000 do
    for _, v in ipairs(redis.call('HMGET', key, unpack(fields, i, math.min(i + 2999, #fields)))) do
      out[#out + 1] = v
    end
  end
  return out
end

-- laneKeys returns the keys of lanes: those in KEYS from an index on, and the hash later. The table
-- also has what the script remembers about limits; see definition.
local function laneKeys(from, later)
  return {
    later = later, lanes = KEYS[from], lined = KEYS[from + 1], keys = KEYS[from + 2], open = KEYS[from + 3], waits = KEYS[from + 4],
    opening = KEYS[from + 5], charges = KEYS[from + 6], rates = KEYS[from + 7], limits = KEYS[from + 8],
  }
end

-- step returns how much a hand-out adds to the virtual time of a key.
local function step(L, key)
  if L.weighed == nil then
    L.weighed = redis.call('HEXISTS', L.limits, 'y') == 1
  end
  if not L.weighed then
    return STEP
  end
  local weight = redis.call('HGET', L.limits, 'w' .. string.sub(key, 3))
  return math.floor(STEP / math.max(tonumber(weight or 1) or 1, 1))
end

-- definition reads what holds for a limit: most, or gap (us for a cost of 1) and burst; paused. A
-- script reads each definition once.
local function definition(L, use)
  L.defined = L.defined or {}
  local known = L.defined[use]
  if known then
    return known
  end
  if L.single == nil then
    L.single = redis.call('HEXISTS', L.limits, 'x') == 1
  end
  local name = 1 + string.byte(use, 1)
  local d
  if L.single or name + 1 == #use then
    d = redis.call('HGET', L.limits, 'd' .. use)
  end
  if not d and name + 1 < #use then -- there is no definition for this key: take that for all keys
    known = definition(L, string.sub(use, 1, name) .. '\0')
  elseif not d then
    known = {}
  else
    local most, gap, burst, paused = string.match(d, '^(%d+) ([%d.]+) (%d+) ([01])')
    known = { most = tonumber(most or 0), gap = tonumber(gap or 0), burst = tonumber(burst or 0), paused = paused == '1' }
    if known.most == 0 and known.gap == 0 and not known.paused then
      known = {}
    end
  end
  L.defined[use] = known
  return known
end

-- holds returns the cost in use of a limit, or the task that has a sequence; nil if there is none.
-- A script reads each value once, writes changes with setCharge and stores them with saveCharges.
local function holds(L, use)
  L.held = L.held or {}
  local v = L.held[use]
  if v == nil then
    v = redis.call('HGET', L.charges, use)
    L.held[use] = v
  end
  return v or nil
end

-- readCharges reads the values of several limits for holds at once.
local function readCharges(L, uses)
  L.held = L.held or {}
  local asked = {}
  for _, use in ipairs(uses) do
    if L.held[use] == nil then
      L.held[use] = false
      asked[#asked + 1] = use
    end
  end
  for i, v in ipairs(fetch(L.charges, asked)) do
    L.held[asked[i]] = v
  end
end

local function setCharge(L, use, value)
  L.held = L.held or {}
  L.held[use] = value or false
  L.changed = L.changed or {}
  L.changed[use] = true
end

-- saveCharges stores the changed values of limits.
local function saveCharges(L)
  local set, gone = {}, {}
  for use in pairs(L.changed or {}) do
    if L.held[use] then
      set[#set + 1] = use
      set[#set + 1] = L.held[use]
    else
      gone[#gone + 1] = use
    end
  end
  page('HSET', L.charges, set, 2)
  page('HDEL', L.charges, gone, 1)
  L.changed = nil
end

-- fits reports whether a cost may be charged to a limit now, for the task with an id. If not, it
-- also returns the time in us at which that is to be tried again, or nil.
local function fits(L, use, cost, id, us)
  if string.byte(use, 1) == 0 then -- a sequence
    local holder = holds(L, use)
    return not holder or holder == id or holder == '!' .. id
  end
  if L.rated == nil then
    L.rated = redis.call('EXISTS', L.rates) == 1
  end
  local closed = L.rated and redis.call('ZSCORE', L.rates, 'c' .. use)
  if closed and scoreOf(closed) > us then
    return false, scoreOf(closed)
  end
  local d = definition(L, use)
  if d.paused then
    return false
  end
  if d.most and d.most > 0 then
    local used = tonumber(holds(L, use) or 0)
    return used <= 0 or used + cost <= d.most
  end
  if d.gap and d.gap > 0 then
    -- The generic cell rate algorithm: each cost pushes the theoretical arrival time back by the
    -- gap, and it may lie before the present by at most the burst.
    local tat = L.rated and tonumber(redis.call('ZSCORE', L.rates, use) or 0) or 0
    local free = tat + (math.min(cost, d.burst) - d.burst) * d.gap
    if free > us then
      return false, free
    end
  end
  return true
end

-- charge adds a cost to a limit, or gives a sequence to a task.
local function charge(L, use, cost, id, us)
  if string.byte(use, 1) == 0 then
    setCharge(L, use, id)
    return
  end
  setCharge(L, use, text(tonumber(holds(L, use) or 0) + cost))
  local d = definition(L, use)
  if d.gap and d.gap > 0 then
    local tat = L.rated and tonumber(redis.call('ZSCORE', L.rates, use) or 0) or 0
    redis.call('ZADD', L.rates, text(math.max(tat, us) + cost * d.gap), use)
    L.rated = true
  end
end

-- openLines opens lines. Each has n, its number, its key, and the position of its head.
local function openLines(L, lines)
  local open, places, times = {}, {}, {}
  local seen, present = {}, {}
  for _, line in ipairs(lines) do
    local at = line.key .. line.position .. big(tonumber(line.n), 8)
    open[#open + 1] = 0
    open[#open + 1] = at
    places[#places + 1] = '@' .. line.n
    places[#places + 1] = 'o' .. at
    if not seen[line.key] then
      seen[line.key] = true
      -- A key that becomes active again starts behind those that have been waiting, at the present
      -- virtual time: it neither gains nor loses by having been away.
      local priority = string.byte(line.key, 1)
      present[priority] = present[priority] or tonumber(redis.call('HGET', L.lanes, 'v' .. priority) or 0)
      times[#times + 1] = text((9 - priority) * BAND + present[priority] + step(L, line.key))
      times[#times + 1] = line.key
    end
  end
  page('ZADD', L.open, open, 2)
  page('HSET', L.lanes, places, 2)
  for i = 1, #times, 2000 do
    redis.call('ZADD', L.keys, 'NX', unpack(times, i, math.min(i + 1999, #times)))
  end
end

-- leaveOpen takes an open line from its key; at is its member in open.
local function leaveOpen(L, at)
  redis.call('ZREM', L.open, at)
  local key = string.sub(at, 1, 2 + string.byte(at, 2))
  if #redis.call('ZRANGEBYLEX', L.open, '[' .. key, '[' .. key .. '\255', 'LIMIT', 0, 1) == 0 then
    redis.call('ZREM', L.keys, key)
  end
end

-- forgetLine forgets a line without tasks. After the last one nothing is left of the lines.
local function forgetLine(L, n)
  local at = redis.call('HGET', L.lanes, '@' .. n)
  if at and string.sub(at, 1, 1) == 'o' then
    leaveOpen(L, string.sub(at, 2))
  elseif at then
    redis.call('ZREM', L.waits, string.sub(at, 2))
  end
  local name = redis.call('HGET', L.lanes, '#' .. n)
  redis.call('HDEL', L.lanes, '@' .. n, '#' .. n, 'l' .. (name or ''))
  if redis.call('EXISTS', L.lined) == 0 then
    redis.call('UNLINK', L.lanes, L.keys, L.open, L.waits, L.opening)
  end
end

-- headOf returns the position and id of the first task of a line, or nil.
local function headOf(L, n)
  local head = redis.call('ZRANGEBYSCORE', L.lined, n, n, 'LIMIT', 0, 1)[1]
  if head then
    return string.sub(head, 1, 8), string.sub(head, 9)
  end
end

-- laneAt returns the lane of a line by its name: of a sequence that of its head, whose id is given,
-- or nil if its message is not there.
local function laneAt(L, name, id)
  if string.byte(name, 1) < 255 then
    return (parseLane(name, 1, #name))
  end
  local msg = redis.call('HGET', L.later, id)
  return msg and readable(msg) and laneOf(msg) or nil
end

-- firstWaiting returns the member in waits of the first line that waits for a limit, or nil.
local function firstWaiting(L, use)
  if L.waiting == nil then
    L.waiting = redis.call('EXISTS', L.waits) == 1
  end
  return L.waiting and redis.call('ZRANGEBYLEX', L.waits, '[' .. use, '[' .. use .. '\255', 'LIMIT', 0, 1)[1] or nil
end

-- wakeLine opens the first line that waits for a limit. It reports whether there was one.
local function wakeLine(L, use)
  while true do
    local at = firstWaiting(L, use)
    if not at then
      return false
    end
    redis.call('ZREM', L.waits, at)
    local n = text(number(at, #at - 7, 8))
    local name = redis.call('HGET', L.lanes, '#' .. n)
    local position, id = headOf(L, n)
    if name and position then
      local lane = laneAt(L, name, id)
      -- The hand-out finds out that a head without a message has ended. Until then any key will do.
      openLines(L, { { n = n, key = lane and lane.key or '\5\0', position = position } })
      return true
    end
    forgetLine(L, n)
  end
end

-- passOn is called when a line that was open for a limit is not any more, or has used something of
-- it: if the first line that waits for the limit could have it now, that line is opened, so that no
-- limit stays unused while a line waits for nothing else. but is a limit to be left out, or nil.
local function passOn(L, uses, us, but)
  for _, use in ipairs(uses) do
    local at = use ~= but and firstWaiting(L, use)
    if at then
      local _, id = headOf(L, text(number(at, #at - 7, 8)))
      local msg = id and redis.call('HGET', L.later, id)
      local lane, cost = msg and readable(msg) and laneOf(msg), 1
      for i, other in ipairs(lane and lane.uses or {}) do
        if other == use then
          cost = lane.costs[i]
        end
      end
      local free, again = fits(L, use, cost, id, us)
      if free then
        wakeLine(L, use)
      elseif again then
        redis.call('ZADD', L.opening, text(math.ceil(again / 1000)), use)
      end
    end
  end
end

-- closeLine lets an open line wait for a limit, until a time in us if one is given. at is its member
-- in open.
local function closeLine(L, n, at, lane, position, use, again, us)
  local order = redis.call('ZSCORE', L.keys, lane.key) or 0
  leaveOpen(L, at)
  local waits = use .. big(tonumber(order), 8) .. position .. big(tonumber(n), 8)
  redis.call('ZADD', L.waits, 0, waits)
  L.waiting = true
  redis.call('HSET', L.lanes, '@' .. n, 'w' .. waits)
  if again then
    redis.call('ZADD', L.opening, text(math.ceil(again / 1000)), use)
  end
  passOn(L, lane.uses, us, use)
end

-- lineUp puts tasks in line, and wakes a minion if one of them may be handed out. Messages
-- without a position get the next one. The message of a scheduled or blocked task is in later
-- already, and is replaced.
local function lineUp(L, ready, held, watch, wake, msgs, t)
  local first = redis.call('EXISTS', L.lined) == 0
  local pairs, lines, names, fields = {}, {}, {}, {} -- lines: by name; names: in order
  local last, from
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    if lane.position == '\0\0\0\0\0\0\0\0' then
      last = last or tonumber(redis.call('HGET', L.lanes, 'p') or 0)
      last = math.max(last + 1, t * 1000)
      lane.position = big(last, 8)
      msg = string.sub(msg, 1, 56) .. lane.position .. string.sub(msg, 65)
    end
    local id = string.sub(msg, 2, 17)
    pairs[#pairs + 1] = id
    pairs[#pairs + 1] = msg
    local line = lines[lane.name]
    if not line then
      line = { key = lane.key, sequence = lane.sequence, position = lane.position, tasks = {} }
      lines[lane.name] = line
      names[#names + 1] = lane.name
      fields[#fields + 1] = 'l' .. lane.name
    end
    if lane.position < line.position then
      line.position, line.key = lane.position, lane.key
    end
    line.tasks[#line.tasks + 1] = lane.position .. id
  end
  local fresh, new, places = 0, {}, {}
  for i, n in ipairs(fetch(L.lanes, fields)) do
    lines[names[i]].n = n
    if not n then
      fresh = fresh + 1
    end
  end
  if fresh > 0 then
    from = redis.call('HINCRBY', L.lanes, 'n', fresh) - fresh
  end
  for _, name in ipairs(names) do
    local line = lines[name]
    if not line.n then
      from = from + 1
      line.n = text(from)
      new[#new + 1] = 'l' .. name
      new[#new + 1] = line.n
      new[#new + 1] = '#' .. line.n
      new[#new + 1] = name
    end
    places[#places + 1] = '@' .. line.n
  end
  page('HSET', L.lanes, new, 2)
  local lined, open, left = {}, {}, {}
  for i, at in ipairs(fetch(L.lanes, places)) do
    local line = lines[names[i]]
    for _, task in ipairs(line.tasks) do
      lined[#lined + 1] = line.n
      lined[#lined + 1] = task
    end
    if not at then
      open[#open + 1] = line
    elseif string.sub(at, 1, 1) == 'o' then
      if line.position < string.sub(at, -16, -9) then -- a task has come back to the front
        open[#open + 1] = line
        left[#left + 1] = string.sub(at, 2)
      end
    elseif line.sequence ~= '' then
      local holder = holds(L, line.sequence)
      for _, task in ipairs(line.tasks) do
        local id = string.sub(task, 9)
        if holder == id or holder == '!' .. id then -- the task that the others wait for has come back
          redis.call('ZREM', L.waits, string.sub(at, 2))
          open[#open + 1] = line
        end
      end
    end
  end
  page('ZADD', L.lined, lined, 2)
  openLines(L, open)
  for _, at in ipairs(left) do -- where a line stood before; only now, so that its key stays in its turn
    leaveOpen(L, at)
  end
  if last then
    redis.call('HSET', L.lanes, 'p', text(last))
  end
  page('HSET', L.later, pairs, 2)
  if first then -- from here on held must exist: see push.lua
    if redis.call('EXISTS', held) == 0 and redis.call('EXISTS', ready) == 1 then
      redis.call('RENAME', ready, held)
    end
    if redis.call('LINDEX', held, -1) ~= '!' then
      redis.call('RPUSH', held, '!')
    end
  end
  if first or redis.call('EXISTS', L.keys) == 1 then
    nudge(ready, watch, wake)
  end
end

-- split takes the messages with a lane out of a list. It returns the others, and those with one.
local function split(msgs)
  local plain, lined = msgs, {}
  for i, msg in ipairs(msgs) do
    if laneOf(msg) then
      if plain == msgs then
        plain = { unpack(msgs, 1, i - 1) }
      end
      lined[#lined + 1] = msg
    elseif plain ~= msgs then
      plain[#plain + 1] = msg
    end
  end
  return plain, lined
end

-- leaveLine takes tasks that have ended out of their lines.
local function leaveLine(L, msgs, t)
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    local n = lane and redis.call('HGET', L.lanes, 'l' .. lane.name)
    if n and redis.call('ZREM', L.lined, lane.position .. string.sub(msg, 2, 17)) == 1 then
      local position = headOf(L, n)
      if not position then
        forgetLine(L, n)
        passOn(L, lane.uses, t * 1000)
      else
        local at = redis.call('HGET', L.lanes, '@' .. n)
        if at and string.sub(at, 1, 1) == 'o' and string.sub(at, -16, -9) ~= position then
          local _, id = headOf(L, n)
          local after = laneAt(L, lane.name, id)
          openLines(L, { { n = n, key = after and after.key or lane.key, position = position } })
          leaveOpen(L, string.sub(at, 2))
        end
      end
    end
  end
end

-- discharge gives back what attempts have used. It is called when their messages leave the flight
-- hash. It returns whether lines were opened.
local function discharge(L, msgs)
  local uses, costs, woken = {}, {}, false
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    if lane then
      for i, use in ipairs(lane.uses) do
        if use ~= lane.sequence then
          uses[#uses + 1] = use
          costs[#costs + 1] = lane.costs[i]
        end
      end
    end
  end
  readCharges(L, uses)
  for i, use in ipairs(uses) do
    local left = tonumber(holds(L, use) or 0) - costs[i]
    setCharge(L, use, left > 0 and text(left) or nil)
  end
  saveCharges(L)
  for _, use in ipairs(uses) do
    woken = wakeLine(L, use) or woken
  end
  return woken
end

-- endSequence ends the turn of tasks that are final in their sequences: the next task may start;
-- or, if failed is true and the lane says so, the sequence is halted. It returns whether lines
-- were opened.
local function endSequence(L, msgs, failed)
  local woken, freed = false, {}
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    if lane and lane.sequence ~= '' then
      local id = string.sub(msg, 2, 17)
      local holder = holds(L, lane.sequence)
      if holder == id or holder == '!' .. id then
        if failed and lane.stop then
          setCharge(L, lane.sequence, '!' .. id)
        else
          setCharge(L, lane.sequence, nil)
          freed[#freed + 1] = lane.sequence
        end
      end
    end
  end
  saveCharges(L)
  for _, use in ipairs(freed) do
    woken = wakeLine(L, use) or woken
  end
  return woken
end
