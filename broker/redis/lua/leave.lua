-- leave gives back what a minion holds: one that leaves, or one that died. It
-- goes in steps; call it until it returns 0.
--
-- KEYS  1 minions  2 watch  3 ready  4 held  5 flight  6 claim  7 stop  8 odd
-- ARGV  1 minion  2 wake channel  3 died or left  4 how long the fence stands, ms
-- Returns 0 when all is given back, or the minion is alive or unknown; 1 if
-- there is more; and how many were given back.

local minions, watch, ready, held, flight, claim, stop, odd =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local minion, wake, died, fence = ARGV[1], ARGV[2], ARGV[3] == 'died', tonumber(ARGV[4])

local score = redis.call('ZSCORE', minions, minion)
if not score or (died and tonumber(score) > now()) then
  return { 0, 0 }
end
redis.call('ZREM', minions, '') -- see dequeue.lua
-- From here on it settles nothing, and its heartbeats are refused.
redis.call('ZADD', minions, -1, minion)
absorb(claim, flight, odd)

local back, fields, strange, bytes = {}, {}, {}, 0
local cursor = '0'
repeat
  local page = redis.call('HSCAN', flight, cursor, 'COUNT', 16)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    -- A page of a hash that the server keeps in one piece is all of it. What is too
    -- much for this step is read again by the next one.
    if #fields >= 900 or bytes >= 1048576 then
      break
    end
    local id, msg = page[2][i], page[2][i + 1]
    fields[#fields + 1] = id
    bytes = bytes + #msg
    if not readable(msg) then
      strange[#strange + 1] = msg
    else
      local recoveries, flags = string.byte(msg, 24), string.byte(msg, 25)
      if died then
        recoveries = math.min(recoveries + 1, 255)
      end
      if redis.call('SISMEMBER', stop, id) == 1 and flags % 2 == 0 then
        flags = flags + 1 -- FlagCanceled
      end
      back[#back + 1] = string.sub(msg, 1, 17) .. big(number(msg, 18, 4) + 1, 4) ..
        string.sub(msg, 22, 23) .. string.char(recoveries, flags) .. string.sub(msg, 26)
    end
  end
until cursor == '0' or #fields >= 900 or bytes >= 1048576

-- Older ids first: about the order in which they came.
table.sort(back, function(x, y) return string.sub(x, 2, 17) > string.sub(y, 2, 17) end)
push(ready, held, watch, wake, back, true)
if #strange > 0 then
  redis.call('RPUSH', odd, unpack(strange))
end
if #fields > 0 then
  redis.call('HDEL', flight, unpack(fields))
end
if redis.call('EXISTS', flight) == 1 then
  return { 1, #back }
end
-- A blocking move that is still under way, or comes late from a process that
-- was stopped, must not bring anything here: its destination is no list now,
-- so it is refused and the message stays where it is.
redis.call('SET', claim, 'left', 'PX', fence)
redis.call('ZREM', watch, minion)
redis.call('ZREM', minions, minion)
return { 0, #back }
