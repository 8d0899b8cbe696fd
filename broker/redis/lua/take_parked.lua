-- take_parked hands parked tasks of one queue to a minion that can run them.
--
-- A task with a lane goes back to its line instead, since its limits may be exhausted. A paused task
-- becomes pending.
--
-- KEYS  1 parked  2 needs  3 due  4 later  5 flight  6 minions  7 halt  8 flows  9 ready  10 held
--       11 watch  12-20 the keys of lanes  21 paused  22 aside
-- ARGV  1 minion  2 how many at most  3 about how many bytes at most  4 wake channel, then the
--       numbers of the needs that the minion satisfies
-- Returns false if the minion is not registered, else a list: the server's time, whether more
-- tasks are left for the minion (0, 1), and the messages.

local parked, needs, due, later, flight, minions = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local minion, most, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local lease = redis.call('ZSCORE', minions, minion)
if not lease or scoreOf(lease) < 0 then
  return false
end
redis.call('HDEL', flight, '') -- for a server out of memory: see dequeue.lua

local out, left = { now(), 0 }, 0
local seenAll = 0 -- how many tasks were looked at; one that is put in line counts as five, since it takes longer
local pausing = redis.call('EXISTS', KEYS[21]) == 1
local whole = pausing and redis.call('HEXISTS', KEYS[21], '') == 1
for a = 5, #ARGV do
  local need = ARGV[a]
  local ids = { true }
  while #ids > 0 and most > 0 and room > 0 and seenAll < 1000 do
    ids = redis.call('ZRANGEBYSCORE', parked, need, need, 'LIMIT', 0, math.min(most, 100))
    if #ids > 0 then
      -- If a message has no FlagParked, the task is not parked any more: a build that does not
      -- know parked tasks has not removed its id from the set. Only remove it.
      local owned, taken, seen, kept, lined, pending, still = {}, {}, {}, {}, {}, {}, {}
      local stay = halted(KEYS[7], KEYS[8], ids)
      local found = redis.call('HMGET', later, unpack(ids))
      local waits = pausing and not whole and pausedOf(KEYS[21], KEYS[9], found) or {}
      for i, msg in ipairs(found) do
        if room > 0 then
          seen[#seen + 1] = ids[i]
          local flags = msg and readable(msg) and string.byte(msg, 25)
          if flags and isParked(flags) then
            msg = string.sub(msg, 1, 24) .. string.char(flags - 16) .. string.sub(msg, 26)
            local blocked = stay[ids[i]] and barred(msg)
            if blocked then
              kept[#kept + 1] = ids[i]
              redis.call('HSET', later, ids[i], blocked)
            elseif laneOf(msg) then
              kept[#kept + 1] = ids[i]
              lined[#lined + 1] = msg
            elseif whole then
              taken[#taken + 1] = ids[i]
              pending[#pending + 1] = msg
            elseif waits[i] then
              kept[#kept + 1] = ids[i]
              still[#still + 1] = ids[i]
              redis.call('HSET', later, ids[i], msg)
            else
              taken[#taken + 1] = ids[i]
              owned[#owned + 1] = ids[i]
              owned[#owned + 1] = msg
              out[#out + 1] = msg
              most = most - 1
              room = room - weight(msg)
            end
          end
        end
      end
      push(KEYS[9], KEYS[10], KEYS[11], ARGV[4], pending, false)
      setAside(KEYS[22], still)
      if #owned > 0 then
        redis.call('HSET', flight, unpack(owned))
      end
      if #taken > 0 then
        redis.call('HDEL', later, unpack(taken))
        redis.call('ZREM', due, unpack(taken))
      end
      if #kept > 0 then
        redis.call('ZREM', due, unpack(kept))
      end
      unpark(parked, needs, seen)
      seenAll = seenAll + #seen + 4 * #lined
      if #lined > 0 then
        local L = laneKeys(12, later)
        lineUp(L, KEYS[9], KEYS[10], KEYS[11], ARGV[4], lined)
      end
    end
  end
  if redis.call('ZCOUNT', parked, need, need) > 0 then
    left = 1
  else
    redis.call('HDEL', needs, need)
  end
end
out[2] = left
return out
