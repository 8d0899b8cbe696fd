-- enqueue stores new tasks, each once. It skips a task whose id is known with the same content,
-- since that is a repeated call, and refuses one whose id is known with other content. If the queue
-- has a bound, it refuses tasks for which there is no room.
--
-- KEYS  1 ready  2 held  3 state  4 due  5 later  6 meta  7 watch  8 flows  9 deadlines
--       10-18 the keys of lanes  19 gone  20 halt  21 paused  22 back, then the record of each
--       large task, then about if a task has metadata
-- ARGV  1 wake channel  2 number of plain messages, which are ready at once and have nothing
--       below  3 whether the bound of the queue is checked (0, 1); then these messages; then for
--       each other task: message, delay in ms, ms to its deadline (0 is none, -1 is one that has
--       passed), flow and position in it ('' is none), whether it is blocked (0, 1); then, if a
--       task has metadata, where that is: see about.lua
-- Returns false if the queue is not registered: nothing was done; register it and call again.
-- Returns 0 if a large record does not exist or is of another task: nothing was done; store
-- the record and call again. Else returns a list with two values for each refused task: its
-- index (from 1), and its own id, if the content differs; or, if its state can't be read, that
-- state, which has not the length of an id; or, if there is no room for it, what fullMark returns.

local about, metas = metadata()
local ready, held, state, due, later, meta, watch, flows, deadlines =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local wake, plain = ARGV[1], tonumber(ARGV[2])

local registered = redis.call('GET', meta)
if not registered then
  return false
end
local bound, room = ARGV[3] == '1' and boundIn(registered), math.huge
if bound then
  room = bound - waitingIn({
    ready = ready, held = held, later = later, gone = KEYS[19], halt = KEYS[20], lined = KEYS[11], paused = KEYS[21], back = KEYS[22],
  })
end

local first = 4 + plain -- of the other messages in ARGV
local total = plain + (#ARGV - first + 1) / 5
local function message(i)
  if i <= plain then
    return ARGV[3 + i]
  end
  return ARGV[first + (i - plain - 1) * 5]
end

local ids = {}
for i = 1, total do
  ids[i] = string.sub(message(i), 2, 17)
end
local known = look(state, ids)

-- Check everything.
local refused, kept = {}, {}
local large = 22
local lined = {} -- messages with a lane that are ready
local seen = {}  -- id -> the state that this call adds
local fresh = {} -- by index, whether this call stores it
local new, states, msgs, dues, laters, refs, limits = {}, {}, {}, {}, {}, {}, {}
local t
for i = 1, total do
  local id, msg = ids[i], message(i)
  local origin = string.sub(msg, 26, 45) -- digest and inbox
  local old = known[i] or seen[id]
  local holder, record
  if isStub(msg) then
    large = large + 1
    record = KEYS[large]
  end
  if old and #old < 20 then
    holder = #old == 16 and '' or old -- its state can't be read, so its content can't be compared
  elseif old then
    if string.sub(old, 1, 4) ~= string.sub(origin, 1, 4) then
      holder = id
    end
  elseif room <= 0 then
    holder = fullMark(bound, bound - room)
  else
    room = room - 1
    local delay, ref, blocked, limit = 0, '', false, nil
    if i > plain then
      local at = first + (i - plain - 1) * 5
      ref, blocked = ARGV[at + 3], ARGV[at + 4] == '1'
      delay = tonumber(ARGV[at + 1])
      local left = tonumber(ARGV[at + 2])
      if delay > 0 or left ~= 0 then
        t = t or now()
      end
      if left ~= 0 then
        limit = t + math.max(left, 0)
        msg = string.sub(msg, 1, LIMIT_FROM - 1) .. big(limit, 6) .. string.sub(msg, LIMIT_TO + 1)
      end
    end
    if record then
      local digest = redis.call('GETRANGE', record, 25, 28)
      if digest ~= string.sub(origin, 1, 4) then
        if digest ~= '' then
          redis.call('UNLINK', record) -- left by a sender that died before its script; no task has it
        end
        return 0
      end
      kept[#kept + 1] = record
    end
    seen[id] = origin
    fresh[i] = true
    new[#new + 1] = id
    states[#states + 1] = id
    states[#states + 1] = origin
    if ref ~= '' then
      refs[#refs + 1] = id
      refs[#refs + 1] = ref
    end
    if limit then
      limits[#limits + 1] = limit
      limits[#limits + 1] = id
    end
    if delay > 0 then
      dues[#dues + 1] = t + delay
      dues[#dues + 1] = id
    end
    if delay > 0 or blocked then
      laters[#laters + 1] = id
      laters[#laters + 1] = msg
    elseif laneOf(msg) then
      lined[#lined + 1] = msg
    else
      msgs[#msgs + 1] = msg
    end
  end
  if holder then
    refused[#refused + 1] = i
    refused[#refused + 1] = holder
  end
end

-- Then write, the messages before the states. If the server fails between the two, a repeated
-- call stores the task again, and it runs twice. In the other order it would never run.
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
  local L = laneKeys(10, later)
  lineUp(L, ready, held, watch, wake, lined)
end
if #states > 0 then
  redis.call('HSET', state, unpack(states))
  mark(state, new, OWN)
end
if about then
  describe(about, metas, function(i) return fresh[i] and message(i) end)
end
for _, record in ipairs(kept) do
  redis.call('PERSIST', record) -- not as the first write: see dequeue.lua
end
return refused
