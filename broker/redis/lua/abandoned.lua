-- abandoned reads parked tasks of a queue without a minion, whose time is over. It changes
-- nothing.
--
-- KEYS  1 minions  2 due  3 later  4 parked
-- ARGV  1 ms for which their time must have been over  2 how many due tasks to skip  3 how
--       many due tasks to look at  4 about how many bytes of messages to return
-- Returns false if the queue has a minion, else a list: the server's time, how many due
-- tasks it has looked at, and the messages of those among them that are parked.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return false
end
local t = now()
-- The set parked is not in the order of time, so the due tasks are looked at in their order,
-- which mostly are few. They can also be scheduled tasks, which wait for a minion: skip those.
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', t - tonumber(ARGV[1]), 'LIMIT', ARGV[2], ARGV[3])
local out, room, seen = { t, 0 }, tonumber(ARGV[4]), 0
for _, id in ipairs(ids) do
  if room <= 0 then
    break
  end
  seen = seen + 1
  if redis.call('ZSCORE', KEYS[4], id) then
    local msg = redis.call('HGET', KEYS[3], id)
    if msg and readable(msg) and string.sub(msg, 2, 17) == id and isParked(string.byte(msg, 25)) then
      out[#out + 1] = msg
      room = room - #msg
    end
  end
end
out[2] = seen
return out
