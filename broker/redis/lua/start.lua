-- start records that a minion is about to start an attempt, with FlagStarted in the message. If
-- the minion dies while the flag is set, leave.lua counts a strike for the task.
--
-- KEYS  1 flight  2 claim  3 minions  4 odd  5 set of excused attempts of the task
-- ARGV  1 minion  2 id of the task  3 attempt (4 bytes)
-- Returns false if the minion does not own the attempt, else how many recoveries and strikes
-- the task has, less the excused ones (see excuse.lua).

local flight, claim, minions, odd, excused = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lease = redis.call('ZSCORE', minions, ARGV[1])
if not lease or tonumber(lease) < 0 then
  return false
end
redis.call('HDEL', flight, '') -- for a server out of memory: see dequeue.lua
absorb(claim, flight, odd)
local msg = redis.call('HGET', flight, ARGV[2])
if not (msg and readable(msg) and string.sub(msg, 18, 21) == ARGV[3]) then
  return false
end
local flags = string.byte(msg, 25)
if math.floor(flags / 64) % 2 == 0 then -- FlagStarted
  redis.call('HSET', flight, ARGV[2], string.sub(msg, 1, 24) .. string.char(flags + 64) .. string.sub(msg, 26))
end
local recoveries, strikes = string.byte(msg, 24), string.byte(msg, 52)
if redis.call('EXISTS', excused) == 1 then
  for _, attempt in ipairs(redis.call('SMEMBERS', excused)) do
    recoveries = recoveries - 1
    if #attempt > 4 then -- a fifth byte: its start had been recorded
      strikes = strikes - 1
    end
  end
end
return { math.max(recoveries, 0), math.max(strikes, 0) }
