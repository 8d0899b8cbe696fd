-- leave gives back what a minion holds: one that leaves, one that died, or one
-- whose registration is lost, so that nobody knows that it holds something. It
-- goes in steps; call it until it returns 0.
--
-- KEYS  1 minions  2 watch  3 ready  4 held  5 flight  6 claim  7 stop  8 odd
--       9 state  10 deadlines
-- ARGV  1 minion  2 wake channel  3 died, left or lost  4 how long the fence stands,
--       ms, 0 if no blocking move of the minion can come
-- Returns 0 when all is given back, or the minion has not died or is not lost; 1
-- if there is more; how many were given back; and 1 if the minion had been taken for
-- dead before it left, or its registration was lost.

local minions, watch, ready, held, flight, claim, stop, odd, state, deadlines =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local minion, wake, fence = ARGV[1], ARGV[2], tonumber(ARGV[4])
local DEAD, LOST = -1, -2 -- scores of minions that are no more, and have not given back all

local score = redis.call('ZSCORE', minions, minion)
score = score and scoreOf(score)
if ARGV[3] == 'lost' and score and score ~= LOST or ARGV[3] == 'died' and (not score or score > now()) then
  return { 0, 0, 0 }
end
-- What it held may be somewhere else already, counted as after a death.
local taken = ARGV[3] == 'left' and (not score or score == DEAD) and 1 or 0
local lost = not score or score == LOST
local died = ARGV[3] == 'died' and not lost
local claims = redis.call('TYPE', claim).ok
if not score and claims == 'string' and redis.call('EXISTS', flight) == 0 then
  return { 0, 0, taken } -- it has left before, or was taken for dead
end
redis.call('ZREM', minions, '') -- see dequeue.lua
-- From here on it settles nothing, and its heartbeats are refused.
redis.call('ZADD', minions, lost and LOST or DEAD, minion)
if claims == 'list' then
  absorb(claim, flight, odd)
end

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
      local recoveries, strikes = string.byte(msg, 24), string.byte(msg, 52)
      if died then
        recoveries = math.min(recoveries + 1, 255)
        if math.floor(string.byte(msg, 25) / 64) % 2 == 1 then -- FlagStarted
          strikes = math.min(strikes + 1, 255)
        end
      end
      local again = returned(msg, false)
      local flags = string.byte(again, 25)
      if redis.call('SISMEMBER', stop, id) == 1 and flags % 2 == 0 then
        flags = flags + 1 -- FlagCanceled
      end
      watchDeadline(deadlines, msg)
      back[#back + 1] = string.sub(again, 1, 23) .. string.char(recoveries, flags) ..
        string.sub(again, 26, 51) .. string.char(strikes) .. string.sub(again, 53)
    end
  end
until cursor == '0' or #fields >= 900 or bytes >= 1048576

-- Who cancelled a task of a lost minion saw none that runs it: it is final, and must
-- not start again.
if lost and #back > 0 then
  local ids, open = {}, {}
  for i, msg in ipairs(back) do
    ids[i] = string.sub(msg, 2, 17)
  end
  for i, s in ipairs(look(state, ids)) do
    if not (s and #s > 20) then
      open[#open + 1] = back[i]
    end
  end
  back = open
end

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
  return { 1, #back, taken }
end
-- A blocking move that is still under way, or comes late from a process that
-- was stopped, must not bring anything here: its destination is no list now,
-- so it is refused and the message stays where it is. Who listens to wake channels
-- makes no blocking moves.
if fence > 0 and not redis.call('ZSCORE', watch, minion) then
  redis.call('SET', claim, 'left', 'PX', fence)
end
redis.call('ZREM', watch, minion)
redis.call('ZREM', minions, minion)
return { 0, #back, taken }
