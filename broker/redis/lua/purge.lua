-- purge removes messages of cancelled tasks from a queue without a minion. In other queues
-- dequeue.lua drops them. A call looks at 200 messages; the caller repeats it.
--
-- KEYS  1 minions  2 ready  3 held  4 gone  5 halt  6 lined (see lane.lua)
--       7 paused  8 back (see paused.lua)
-- ARGV  1 how many messages to skip  2 how many messages of the list to look at in all
-- Returns how many messages the next call has to skip, '' if no call is needed.

local minions, ready, held, gone = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local from, last = tonumber(ARGV[1]), tonumber(ARGV[2])
if redis.call('EXISTS', minions) == 1 then
  return ''
end
local out = ''
local msgs = redis.call('LRANGE', held, from, math.min(from + 199, last - 1))
if #msgs > 0 then
  -- LREM searches the list from its head for each message. So the farther back a call looks, the
  -- fewer messages it removes.
  local ids, found, most = {}, 0, math.max(200 - from / 500, 20)
  for i, msg in ipairs(msgs) do
    ids[i] = string.sub(msg, 2, 17)
  end
  for i, is in ipairs(redis.call('SMISMEMBER', gone, unpack(ids))) do
    if found >= most then
      break
    end
    if is == 1 then
      found = found + 1
      redis.call('LREM', held, 1, msgs[i])
      redis.call('SREM', gone, ids[i])
    else
      from = from + 1
    end
  end
  out = from
end
if redis.call('EXISTS', held) == 0 then
  redis.call('DEL', gone) -- no message is left for the ids in it
  if redis.call('LINDEX', ready, 0) == '!' then
    redis.call('LPOP', ready) -- no message is left that the token stood for
  end
elseif redis.call('EXISTS', gone) == 0 then
  local waiting = redis.call('LRANGE', ready, 0, 1)
  if redis.call('EXISTS', KEYS[5], KEYS[6], KEYS[7], KEYS[8]) == 0 and (#waiting == 0 or #waiting == 1 and waiting[1] == '!') then
    redis.call('RENAME', held, ready)
  end
  out = ''
end
return out
