-- dequeue moves scheduled tasks whose time has come to the end of their queue, and then hands
-- messages of the queue to a minion. It takes them from ready; or from held, if that exists, and
-- then it drops those that were cancelled and keeps back members of halted flows (see push.lua),
-- also takes tasks from lines (see lane.lua), and sets paused tasks aside (see paused.lua).
--
-- KEYS  1 ready  2 held  3 gone  4 due  5 later  6 flight  7 minions  8 odd
--       9 watch  10 parked  11 needs  12 halt  13 flows  14-22 the keys of lanes  23 paused
--       24 aside  25 back
-- ARGV  1 minion  2 wake channel  3 how many messages at most  4 about how many bytes at most
-- Returns false if the minion is not registered, else a flat list, which the client reads with
-- fewer allocations: the server's time, when the next task is due ('' if none is), whether more
-- tasks are left (0, 1), how many messages follow, and these messages.

-- The first part of the script is in dequeue_plain.lua. It names the keys, checks the minion, and hands messages
-- out if no task is due and held does not exist. It also tells what many scripts do first, so that they
-- work when the server is out of memory.

-- Move due tasks to the queue. The batches grow as long as the messages are small. A task with a lane
-- counts as five others, since it takes so much longer.
local batch, moved, bytes, inLine = 8, 0, 0, 0
while moved < 1000 and bytes < 1048576 do
  local ids = redis.call('ZRANGEBYSCORE', due, '-inf', t, 'LIMIT', 0, batch)
  if #ids == 0 then
    break
  end
  local msgs, strange, overdue, lined, moves = {}, {}, {}, {}, {}
  for i, msg in ipairs(redis.call('HMGET', later, unpack(ids))) do
    if not msg or not readable(msg) then
      strange[#strange + 1] = msg or ids[i] -- an id without a message goes to odd as it is
      moves[#moves + 1] = ids[i]
    else
      local flags = string.byte(msg, 25)
      if math.floor(flags / 4) % 2 == 1 then -- FlagBlocked: its time as a blocked task is over
        msg = string.sub(msg, 1, 24) .. string.char(flags - 4) .. string.sub(msg, 26)
      end
      if isParked(flags) then -- it keeps FlagParked, so that the minion learns that its parked time is over
        overdue[#overdue + 1] = ids[i]
      end
      if laneOf(msg) then
        lined[#lined + 1] = msg
      else
        msgs[#msgs + 1] = msg
        moves[#moves + 1] = ids[i]
      end
      bytes = bytes + #msg
    end
  end
  if #lined > 0 then
    local L = laneKeys(14, later)
    lineUp(L, ready, held, watch, wake, lined)
  end
  push(ready, held, watch, wake, msgs, false)
  if #strange > 0 then
    redis.call('RPUSH', odd, unpack(strange))
  end
  redis.call('ZREM', due, unpack(ids))
  if #lined == 0 then
    redis.call('HDEL', later, unpack(ids))
  elseif #moves > 0 then
    redis.call('HDEL', later, unpack(moves))
  end
  if #overdue > 0 then
    noteOverdue(KEYS[11])
    unpark(KEYS[10], KEYS[11], overdue)
  end
  moved, inLine = moved + #ids + 4 * #lined, inLine + #lined
  batch = math.min(batch * 4, #lined > 0 and 64 or 500)
end
head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
if redis.call('EXISTS', held) == 0 then
  return handOutReady()
end

-- Hand out messages from held.
local out, n = { 0, 0, 0, 0 }, 0
local paused, aside, back = KEYS[23], KEYS[24], KEYS[25]
local pausing = redis.call('EXISTS', paused, back) > 0
if pausing then
  if redis.call('HEXISTS', paused, '') == 1 then
    return { t, head[2] or '', 0, 0 }
  end
  if bringBack(paused, aside, back, later, function(msgs) push(ready, held, watch, wake, msgs, true) end,
    function(msgs)
      local L = laneKeys(14, later)
      lineUp(L, ready, held, watch, wake, msgs)
    end) then
    nudge(ready, watch, wake) -- so that the next minion goes on if this one dies
    return { t, head[2] or '', 1, 0 }
  end
  pausing = redis.call('EXISTS', paused) == 1
end
local halting, token = redis.call('EXISTS', KEYS[12]) == 1, false
local lining = redis.call('EXISTS', KEYS[15]) == 1
local L, open = lining and laneKeys(14, later), false

-- handOut takes up to so many tasks from lines, while so many tasks without a lane wait. open then
-- says whether others may be handed out. It returns how many of those tasks have had a turn.
local function handOut(many, plain)
  local msgs, owned, size, slots
  msgs, owned, size, open, slots = takeLined(L, t, many, room, inLine, KEYS[12], KEYS[13], plain, pausing and paused, aside, ready)
  if #msgs > 0 then
    redis.call('HSET', flight, unpack(owned))
  end
  for _, msg in ipairs(msgs) do
    n = n + 1
    out[4 + n] = msg
  end
  room = room - size
  return slots
end
local wanted = most -- of tasks without a lane
if lining then
  local waiting = redis.call('LLEN', held)
  if waiting > 1 or redis.call('LINDEX', held, 0) == '!' then
    waiting = waiting - 1 -- the token
  end
  local slots = handOut(most, waiting)
  wanted = n + slots
end

local looked, left, put = 0, true, 0
local scan = { looked = 2000, put = 1048576 } -- a call looks at so many messages, and sets so many bytes aside
if pausing then
  scan = { looked = 1000, put = 524288 } -- it reads the name of each message
end
batch = 8
while n < wanted and room > 0 and looked < scan.looked and put < scan.put do
  -- Of the messages in held, many may be dropped. So take more than are wanted, and put the rest
  -- back.
  local msgs = redis.call('LPOP', held, batch)
  if not msgs then
    left = false
    break
  end
  local pairs, strange, size, at, seen = {}, {}, 0, 0, #msgs
  local ends, stay, kept, bytes = {}, {}, {}, 0 -- cancelled ids; members of halted flows and paused tasks, with their messages
  local waits, still = pausing and pausedOf(paused, ready, msgs) or {}, {} -- whether each message is paused; ids of such messages
  local ids = {}
  for i = 1, #msgs do
    ids[i] = sub(msgs[i], 2, 17)
  end
  local over = redis.call('SMISMEMBER', gone, unpack(ids)) -- whether each message was cancelled
  if halting then
    stay = halted(KEYS[12], KEYS[13], ids)
  end
  for i = 1, #msgs do
    local msg = msgs[i]
    if size >= room or n >= wanted then -- enough: put the rest back where it was
      local rest = {}
      for j = #msgs, i, -1 do
        if msgs[j] == '!' then -- held gets it back below, if it still needs a token
          token = true
        else
          rest[#rest + 1] = msgs[j]
        end
      end
      if #rest > 0 then
        redis.call('LPUSH', held, unpack(rest))
      end
      seen = i - 1
      break
    end
    if readable(msg) then
      local id = ids[i]
      local blocked = stay[id] and barred(msg)
      if over[i] == 1 then
        ends[#ends + 1] = id
      elseif blocked then
        kept[#kept + 1] = id
        kept[#kept + 1] = blocked
        bytes = bytes + #msg
      elseif waits[i] then
        still[#still + 1] = id
        kept[#kept + 1] = id
        kept[#kept + 1] = msg
        bytes = bytes + #msg
      else
        n = n + 1
        out[4 + n] = msg
        pairs[at + 1] = id
        pairs[at + 2] = msg
        at = at + 2
        size = size + weight(msg)
      end
    elseif msg ~= '!' then
      strange[#strange + 1] = msg
    else
      token = true
    end
  end
  if #ends > 0 then
    redis.call('SREM', gone, unpack(ends))
  end
  if #kept > 0 then
    redis.call('HSET', later, unpack(kept))
    setAside(aside, still)
  end
  if at > 0 then
    redis.call('HSET', flight, unpack(pairs))
  end
  if #strange > 0 then
    redis.call('RPUSH', odd, unpack(strange))
  end
  looked = looked + seen
  room = room - size
  put = put + bytes
  if size + bytes < 65536 then -- the messages are small, so take more at a time
    batch = math.min(batch * 4, 500)
  end
end
if left then
  left = redis.call('EXISTS', held) == 1
end
if open and n < most and room > 0 then
  handOut(most - n, 0) -- there were fewer other tasks than had turns
end
if lining and redis.call('EXISTS', KEYS[15]) == 0 then
  lining = false -- the last task in line is gone, and held needs no token of its own any more
  if not halting and not pausing and redis.call('LLEN', held) == 1 and redis.call('LINDEX', held, 0) == '!' then
    redis.call('DEL', held)
    left = false
  end
end
if halting or lining or pausing then -- held must keep its own token: see push.lua
  local there = left
  left = left and (redis.call('LLEN', held) > 1 or redis.call('LINDEX', held, 0) ~= '!')
  if token or not there then
    redis.call('RPUSH', held, '!')
  end
end
if left or open then
  nudge(ready, watch, wake) -- the next minion goes on, until held is empty and no line is open
end
if not left then
  redis.call('UNLINK', gone) -- not DEL, since it may be large
end
local soon = head[2]
if lining then -- a line that waits for a time is like a scheduled task
  local first = redis.call('ZRANGE', KEYS[19], 0, 0, 'WITHSCORES')[2]
  if first and not (soon and scoreOf(soon) < scoreOf(first)) then
    soon = first
  end
end
out[1], out[2], out[3], out[4] = t, soon or '', (left or open) and 1 or 0, n
return out
