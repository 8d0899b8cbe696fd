-- Tasks with a lane wait in lines: all tasks whose lane is the same wait in one line, ordered by
-- their positions. A line is in one of two places. It is open: it stands among the open lines of
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
--   limits   hash: 'd' and a limit -> its definition; 'w' and a key -> its weight; see lanes.go
--
-- A limit is named by the name and key in a charge, each with its length (1 byte) in front. A
-- sequence is named like a limit with an empty name, and is a limit of one.

local BAND = 562949953421312 -- 2^49: the virtual times of one priority stay below it
local STEP = 1000 -- how much a hand-out adds to the virtual time of a key of weight 1

local function text(n)
  return string.format('%.0f', n)
end

-- parseLane reads the name of a line in s, from an index to at most another one. It returns a table
-- with name, priority, key (behind its priority), sequence ('' if it has none), stop and uses (the
-- names of its limits), and the index behind the name; or nil if the name can't be read.
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
    lane.uses[many + 1] = lane.sequence
  end
  return lane, at
end

-- laneOf reads the lane of a message: a table as from parseLane, with the costs of its uses, and
-- its position (8 zero bytes if it has not been in line). It returns nil for a message without a
-- lane, or if the lane can't be read.
local function laneOf(msg)
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
  return lane
end

-- laneKeys returns the keys of lanes: those in KEYS from an index on, and the hash later.
local function laneKeys(from, later)
  return {
    later = later, lanes = KEYS[from], lined = KEYS[from + 1], keys = KEYS[from + 2], open = KEYS[from + 3], waits = KEYS[from + 4],
    opening = KEYS[from + 5], charges = KEYS[from + 6], rates = KEYS[from + 7], limits = KEYS[from + 8],
  }
end

-- step returns how much a hand-out adds to the virtual time of a key.
local function step(L, key)
  local weight = redis.call('HGET', L.limits, 'w' .. string.sub(key, 3))
  return math.floor(STEP / math.max(tonumber(weight or 1) or 1, 1))
end

-- openLine opens a line whose head has a position.
local function openLine(L, n, key, position)
  local at = key .. position .. big(tonumber(n), 8)
  redis.call('ZADD', L.open, 0, at)
  redis.call('HSET', L.lanes, '@' .. n, 'o' .. at)
  if not redis.call('ZSCORE', L.keys, key) then
    -- A key that becomes active again starts behind those that have been waiting, at the present
    -- virtual time: it neither gains nor loses by having been away.
    local priority = string.byte(key, 1)
    local time = tonumber(redis.call('HGET', L.lanes, 'v' .. priority) or 0)
    redis.call('ZADD', L.keys, text((9 - priority) * BAND + time + step(L, key)), key)
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

-- definition reads what holds for a limit: most, or gap (us for a cost of 1) and burst; paused.
local function definition(L, use)
  local at = 1 + string.byte(use, 1)
  local d = redis.call('HGET', L.limits, 'd' .. use)
  if not d and at + 1 < #use then -- there is no definition for this key: take that for all keys
    d = redis.call('HGET', L.limits, 'd' .. string.sub(use, 1, at) .. '\0')
  end
  if not d then
    return {}
  end
  local most, gap, burst, paused = string.match(d, '^(%d+) ([%d.]+) (%d+) ([01])')
  return { most = tonumber(most or 0), gap = tonumber(gap or 0), burst = tonumber(burst or 0), paused = paused == '1' }
end

-- fits reports whether a cost may be charged to a limit now, for the task with an id. If not, it
-- also returns the time in us at which that is to be tried again, or nil.
local function fits(L, use, cost, id, us)
  if string.byte(use, 1) == 0 then -- a sequence
    local holder = redis.call('HGET', L.charges, use)
    return not holder or holder == id or holder == '!' .. id
  end
  local closed = redis.call('ZSCORE', L.rates, 'c' .. use)
  if closed and scoreOf(closed) > us then
    return false, scoreOf(closed)
  end
  local d = definition(L, use)
  if d.paused then
    return false
  end
  if d.most and d.most > 0 then
    local used = tonumber(redis.call('HGET', L.charges, use) or 0)
    return used <= 0 or used + cost <= d.most
  end
  if d.gap and d.gap > 0 then
    -- The generic cell rate algorithm: each cost pushes the theoretical arrival time back by the
    -- gap, and it may lie before the present by at most the burst.
    local tat = tonumber(redis.call('ZSCORE', L.rates, use) or 0)
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
    redis.call('HSET', L.charges, use, id)
    return
  end
  redis.call('HINCRBY', L.charges, use, text(cost))
  local d = definition(L, use)
  if d.gap and d.gap > 0 then
    local tat = tonumber(redis.call('ZSCORE', L.rates, use) or 0)
    redis.call('ZADD', L.rates, text(math.max(tat, us) + cost * d.gap), use)
  end
end

-- wakeLine opens the first line that waits for a limit. It reports whether there was one.
local function wakeLine(L, use)
  while true do
    local at = redis.call('ZRANGEBYLEX', L.waits, '[' .. use, '[' .. use .. '\255', 'LIMIT', 0, 1)[1]
    if not at then
      return false
    end
    redis.call('ZREM', L.waits, at)
    local n = text(number(at, #at - 7, 8))
    local name, position = redis.call('HGET', L.lanes, '#' .. n), headOf(L, n)
    local lane = name and parseLane(name, 1, #name)
    if lane and position then
      openLine(L, n, lane.key, position)
      return true
    end
    forgetLine(L, n)
  end
end

-- passOn is called when a line that was open for a limit is not any more, or has used something of
-- it: if the limit is still free, the next line that waits for it is opened, so that no limit stays
-- unused while a line waits for nothing else. but is a limit to be left out, or nil.
local function passOn(L, uses, us, but)
  for _, use in ipairs(uses) do
    if use ~= but and redis.call('ZRANGEBYLEX', L.waits, '[' .. use, '[' .. use .. '\255', 'LIMIT', 0, 1)[1] then
      local free, again = fits(L, use, 1, '', us)
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
  local pairs = {}
  local last = tonumber(redis.call('HGET', L.lanes, 'p') or 0)
  local added = false
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    if lane.position == '\0\0\0\0\0\0\0\0' then
      last = math.max(last + 1, t * 1000)
      lane.position, added = big(last, 8), true
      msg = string.sub(msg, 1, 56) .. lane.position .. string.sub(msg, 65)
    end
    local id = string.sub(msg, 2, 17)
    pairs[#pairs + 1] = id
    pairs[#pairs + 1] = msg
    local n = redis.call('HGET', L.lanes, 'l' .. lane.name)
    if not n then
      n = text(redis.call('HINCRBY', L.lanes, 'n', 1))
      redis.call('HSET', L.lanes, 'l' .. lane.name, n, '#' .. n, lane.name)
    end
    redis.call('ZADD', L.lined, n, lane.position .. id)
    local at = redis.call('HGET', L.lanes, '@' .. n)
    if not at then
      openLine(L, n, lane.key, lane.position)
    elseif string.sub(at, 1, 1) == 'o' then
      local was = string.sub(at, -16, -9)
      if lane.position < was then
        redis.call('ZREM', L.open, string.sub(at, 2))
        openLine(L, n, lane.key, lane.position)
      end
    elseif lane.sequence ~= '' then
      local holder = redis.call('HGET', L.charges, lane.sequence)
      if holder == id or holder == '!' .. id then
        redis.call('ZREM', L.waits, string.sub(at, 2))
        openLine(L, n, lane.key, lane.position)
      end
    end
  end
  if added then
    redis.call('HSET', L.lanes, 'p', text(last))
  end
  redis.call('HSET', L.later, unpack(pairs))
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
          redis.call('ZREM', L.open, string.sub(at, 2))
          openLine(L, n, lane.key, position)
        end
      end
    end
  end
end

-- discharge gives back what attempts have used. It is called when their messages leave the flight
-- hash. It returns whether lines were opened.
local function discharge(L, msgs)
  local freed, woken = {}, false
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    if lane then
      for i, use in ipairs(lane.uses) do
        if use ~= lane.sequence then
          if redis.call('HINCRBY', L.charges, use, text(-lane.costs[i])) <= 0 then
            redis.call('HDEL', L.charges, use)
          end
          freed[#freed + 1] = use
        end
      end
    end
  end
  for _, use in ipairs(freed) do
    woken = wakeLine(L, use) or woken
  end
  return woken
end

-- endSequence ends the turn of tasks that are final in their sequences: the next task may start;
-- or, if failed is true and the lane says so, the sequence is halted. It returns whether lines
-- were opened.
local function endSequence(L, msgs, failed)
  local woken = false
  for _, msg in ipairs(msgs) do
    local lane = laneOf(msg)
    if lane and lane.sequence ~= '' then
      local id = string.sub(msg, 2, 17)
      local holder = redis.call('HGET', L.charges, lane.sequence)
      if holder == id or holder == '!' .. id then
        if failed and lane.stop then
          redis.call('HSET', L.charges, lane.sequence, '!' .. id)
        else
          redis.call('HDEL', L.charges, lane.sequence)
          woken = wakeLine(L, lane.sequence) or woken
        end
      end
    end
  end
  return woken
end
