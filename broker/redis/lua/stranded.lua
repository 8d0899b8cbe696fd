-- stranded moves overdue parked tasks of a queue without a minion from the pending tasks
-- back to the parked ones, where abandoned.lua finds them. They are pending because a minion made
-- them pending when their parking time was over, or was handed them and has left or died. A call
-- looks at 200 tasks; the caller repeats it. It looks at the list first, and then at the tasks in line.
--
-- KEYS  1 minions  2 ready  3 held  4 gone  5 due  6 later  7 parked  8 needs  9-17 the keys of lanes
-- ARGV  1 where to begin: a number of messages of the list to skip; or 'l' and the member of lined
--       behind which to begin  2 the mark that the first call has returned, '' for that call; any other
--       text if a part of the list was left out
-- Returns where the next call has to begin ('' if no call is needed), the mark, and how many tasks
-- were moved.

local minions, ready, held, gone, due, later, parked, needs =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local from, first = ARGV[1], ARGV[2]
local noted = redis.call('HGET', needs, '')
if not noted or redis.call('EXISTS', minions) == 1 then
  return { '', '', 0 }
end
if first == '' then
  first = noted
end
-- A key of the wrong type makes the script fail here, before the first write.
redis.call('HLEN', later)
redis.call('ZCARD', due)
redis.call('ZCARD', parked)
local t, moved = now(), 0

-- park parks a task. Its time is over, so a minion that comes may have it at once.
local function park(id)
  redis.call('ZADD', due, t, id)
  redis.call('ZADD', parked, -1, id) -- the number of no need
  moved = moved + 1
end

-- strays reports whether a task is an overdue one. One that was cancelled while it ran
-- (FlagCanceled) waits for a minion that ends it.
local function strays(msg)
  local flags = msg and readable(msg) and string.byte(msg, 25)
  return isParked(flags) and flags % 2 == 0
end

if string.sub(from, 1, 1) == 'l' then
  local begin = #from > 1 and '(' .. string.sub(from, 2) or '-'
  local members = redis.call('ZRANGEBYLEX', KEYS[10], begin, '+', 'LIMIT', 0, 200)
  if #members == 0 then
    if noted == first then -- no more of them have come meanwhile
      redis.call('HDEL', needs, '')
    end
    return { '', first, 0 }
  end
  local ids, lined = {}, {}
  for i, member in ipairs(members) do
    ids[i] = string.sub(member, -16)
  end
  redis.call('HDEL', later, '') -- so that it works when the server is out of memory: see dequeue.lua
  for i, msg in ipairs(redis.call('HMGET', later, unpack(ids))) do
    if strays(msg) then
      lined[#lined + 1] = msg
      park(ids[i])
    end
  end
  local L = laneKeys(9, later)
  leaveLine(L, lined)
  return { 'l' .. members[#members], first, moved }
end

from = tonumber(from)
local list = redis.call('EXISTS', held) == 1 and held or ready
local msgs = redis.call('LRANGE', list, from, from + 199)
if #msgs == 0 then -- the end of the list
  return { 'l', first, 0 }
end
local ids = {}
for i, msg in ipairs(msgs) do
  ids[i] = string.sub(msg, 2, 17)
end
local over = redis.call('SMISMEMBER', gone, unpack(ids))
redis.call('HDEL', later, '') -- so that it works when the server is out of memory: see dequeue.lua
-- LREM searches the list from its head. So a placeholder takes the place of each message that is
-- moved, and one search at the end removes all placeholders.
local placeholder = '\0' .. ids[1]
for i, msg in ipairs(msgs) do
  if strays(msg) and over[i] == 0 and redis.call('HEXISTS', later, ids[i]) == 0 then
    redis.call('HSET', later, ids[i], msg)
    park(ids[i])
    redis.call('LSET', list, from + i - 1, placeholder)
  end
end
if moved > 0 then
  redis.call('LREM', list, moved, placeholder)
end
return { string.format('%.0f', from + #msgs - moved), first, moved }
