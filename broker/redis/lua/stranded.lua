-- stranded moves overdue parked tasks of a queue without a minion from the list of pending tasks
-- back to the parked ones, where abandoned.lua finds them. They are pending because a minion moved
-- them there when their parking time was over, or was handed them and has left or died. A call
-- looks at 200 messages; the caller repeats it.
--
-- KEYS  1 minions  2 ready  3 held  4 gone  5 due  6 later  7 parked  8 needs
-- ARGV  1 how many messages to skip  2 the mark that the first call has returned, '' for that call
-- Returns how many messages the next call has to skip ('' if no call is needed), the mark, and
-- how many tasks were moved.

local minions, ready, held, gone, due, later, parked, needs =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local from, first = tonumber(ARGV[1]), ARGV[2]
local noted = redis.call('HGET', needs, '')
if not noted or redis.call('EXISTS', minions) == 1 then
  return { '', '', 0 }
end
if first == '' then
  first = noted
end
local list = redis.call('EXISTS', held) == 1 and held or ready
local msgs = redis.call('LRANGE', list, from, from + 199)
if #msgs == 0 then -- the end of the list
  if noted == first then -- no more of them have come meanwhile
    redis.call('HDEL', needs, '')
  end
  return { '', first, 0 }
end
-- A key of the wrong type makes the script fail here, before the first write.
redis.call('HLEN', later)
redis.call('ZCARD', due)
redis.call('ZCARD', parked)
local ids = {}
for i, msg in ipairs(msgs) do
  ids[i] = string.sub(msg, 2, 17)
end
local over = redis.call('SMISMEMBER', gone, unpack(ids))
redis.call('HDEL', later, '') -- so that it works when the server is out of memory: see dequeue.lua
-- LREM searches the list from its head. So a placeholder takes the place of each message that is
-- moved, and one search at the end removes all placeholders.
local placeholder = '\0' .. ids[1]
local t, moved = now(), 0
for i, msg in ipairs(msgs) do
  local flags = readable(msg) and string.byte(msg, 25)
  -- A task that was cancelled while it ran (FlagCanceled) waits for a minion that ends it.
  if isParked(flags) and flags % 2 == 0 and over[i] == 0 and redis.call('HEXISTS', later, ids[i]) == 0 then
    redis.call('HSET', later, ids[i], msg)
    redis.call('ZADD', due, t, ids[i]) -- its time is over, so a minion that comes may have it at once
    redis.call('ZADD', parked, -1, ids[i]) -- the number of no need
    redis.call('LSET', list, from + i - 1, placeholder)
    moved = moved + 1
  end
end
if moved > 0 then
  redis.call('LREM', list, moved, placeholder)
end
return { from + #msgs - moved, first, moved }
