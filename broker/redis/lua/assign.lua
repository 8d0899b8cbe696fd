-- assign hands blocked tasks of one queue to a minion, as if the minion had dequeued them, and
-- publishes their messages on the minion's channel for posts. A task that the minion holds
-- already is published again, since the caller repeats an assignment after a lost reply.
--
-- KEYS  1 due  2 later  3 flight  4 minions  5 halt  6 flows  7 holders
--       8 paused  9 ready
-- ARGV  1 minion  2 its channel for posts  3 how the published text begins: 'a', length and
--       name of the queue; then the ids
-- Returns false if the minion is not registered or its lease has ended, else for each id 1
-- if the minion holds it now, 2 if it is paused, or 0.

local due, later, flight, minions = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local t = now()
local lease = redis.call('ZSCORE', minions, ARGV[1])
if not lease or scoreOf(lease) <= t then
  return false
end
local out, pairs, moved, sent = {}, {}, {}, { ARGV[3], big(t, 6) }
local stay = halted(KEYS[5], KEYS[6], { unpack(ARGV, 4) })
local pausing = redis.call('EXISTS', KEYS[8]) == 1
local whole = pausing and redis.call('HEXISTS', KEYS[8], '') == 1
for i = 4, #ARGV do
  local id = ARGV[i]
  local waits = false
  local msg = redis.call('HGET', later, id)
  if msg and readable(msg) then
    local flags, at = string.byte(msg, 25), redis.call('ZSCORE', due, id)
    if math.floor(flags / 4) % 2 == 1 and not stay[id] and not (at and scoreOf(at) <= t) -- FlagBlocked, and its time as a blocked task is not over
      and not isBehind(KEYS[7], id, flags) then
      if whole then
        waits = true
      elseif pausing then
        local paused = pausedOf(KEYS[8], KEYS[9], { msg })
        waits = paused[1]
      end
    else
      msg = false
    end
    if msg and not waits then
      msg = string.sub(msg, 1, 24) .. string.char(flags - 4) .. string.sub(msg, 26)
      pairs[#pairs + 1] = id
      pairs[#pairs + 1] = msg
      moved[#moved + 1] = id
    end
  elseif msg then
    msg = false
  else
    msg = redis.call('HGET', flight, id)
    msg = msg and readable(msg) and msg
  end
  if msg and not waits then
    sent[#sent + 1] = big(#msg, 4) .. msg
  end
  out[#out + 1] = waits and 2 or msg and 1 or 0
end
if #moved > 0 then
  redis.call('HSET', flight, unpack(pairs))
  redis.call('ZREM', due, unpack(moved))
  redis.call('HDEL', later, unpack(moved))
end
if #sent > 2 then
  redis.call('PUBLISH', ARGV[2], table.concat(sent))
end
return out
