-- leave gives back the tasks that a minion holds, and ends its registration. The minion leaves
-- by itself, or has died (its lease is over), or is lost (it is not registered, so its lease can't
-- tell). A call gives back a limited number of tasks; repeat it until it returns 0.
--
-- KEYS  1 minions  2 watch  3 ready  4 held  5 flight  6 claim  7 stop  8 odd
--       9 state  10 deadlines  11 needs  12 later  13-21 the keys of lanes
-- ARGV  1 minion  2 wake channel  3 why: died, left or lost  4 for how many ms the fence is
--       kept, 0 if no blocking move of the minion can come any more
-- Returns a list: 0 if all tasks were given back, or if the minion has not died, or is
-- registered and so not lost; 1 if there are more. Then how many were given back. Then 1 if
-- the minion had been taken for dead before it left, or its registration was lost, else 0.

local minions, watch, ready, held, flight, claim, stop, odd, state, deadlines =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local minion, wake, fence = ARGV[1], ARGV[2], tonumber(ARGV[4])
local DEAD, LOST = -1, -2 -- scores of minions whose tasks are being given back: after leaving or death; lost

local score = redis.call('ZSCORE', minions, minion)
score = score and scoreOf(score)
if ARGV[3] == 'lost' and score and score ~= LOST or ARGV[3] == 'died' and (not score or score > now()) then
  return { 0, 0, 0 }
end
-- Its tasks may have been given back before, and charged with a death: the minion then excuses
-- them (see excuse.lua).
local taken = ARGV[3] == 'left' and (not score or score == DEAD) and 1 or 0
local lost = not score or score == LOST
local died = ARGV[3] == 'died' and not lost
local claims = redis.call('TYPE', claim).ok
if not score and claims == 'string' and redis.call('EXISTS', flight) == 0 then
  return { 0, 0, taken } -- a fence and no tasks: all of this was done before
end
redis.call('ZREM', minions, '') -- for a server out of memory: see dequeue.lua
-- From here on the settlements and heartbeats of the minion are refused.
redis.call('ZADD', minions, lost and LOST or DEAD, minion)
if claims == 'list' then
  absorb(claim, flight, odd)
end

local back, fields, strange, bytes = {}, {}, {}, 0
local L = laneKeys(13, KEYS[12])
local lined = {} -- messages with a lane, as they were handed out
local overdue = false -- whether one of the tasks had been parked until its time was over
local cursor = '0'
repeat
  local page = redis.call('HSCAN', flight, cursor, 'COUNT', 16)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    -- HSCAN returns a hash that the server keeps in one piece as a single page. The next call
    -- reads the elements that are too many for this one.
    if #fields + 8 * #lined >= 900 or bytes >= 1048576 then
      break
    end
    local id, msg = page[2][i], page[2][i + 1]
    fields[#fields + 1] = id
    bytes = bytes + #msg
    if not readable(msg) then
      strange[#strange + 1] = msg
    else
      if laneOf(msg) then
        lined[#lined + 1] = msg
      end
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
      overdue = overdue or isParked(flags)
      back[#back + 1] = string.sub(again, 1, 23) .. string.char(recoveries, flags) ..
        string.sub(again, 26, 51) .. string.char(strikes) .. string.sub(again, 53)
    end
  end
until cursor == '0' or #fields + 8 * #lined >= 900 or bytes >= 1048576

-- A cancel does not see the tasks of a lost minion as running, so it has ended them. Such a task
-- is final and must not be put back.
if lost and #back > 0 then
  local ids, open = {}, {}
  for i, msg in ipairs(back) do
    ids[i] = string.sub(msg, 2, 17)
  end
  for i, s in ipairs(look(state, ids)) do
    if not (s and #s > 20) then
      open[#open + 1] = back[i]
    elseif laneOf(back[i]) then
      endSequence(L, { back[i] }, string.byte(s, 21))
    end
  end
  back = open
end

if overdue then
  noteOverdue(KEYS[11])
end
-- The oldest id comes to stand first, which is about the order in which the tasks came. push
-- puts them to the front one by one, so sort them the other way round.
table.sort(back, function(x, y) return string.sub(x, 2, 17) > string.sub(y, 2, 17) end)
local again
if #lined > 0 then
  back, again = split(back)
end
push(ready, held, watch, wake, back, true)
if #strange > 0 then
  redis.call('RPUSH', odd, unpack(strange))
end
if #fields > 0 then
  redis.call('HDEL', flight, unpack(fields))
end
if #lined > 0 then
  discharge(L, lined)
  if #again > 0 then
    lineUp(L, ready, held, watch, wake, again)
  end
  nudge(ready, watch, wake)
end
if redis.call('EXISTS', flight) == 1 then
  return { 1, #back + (again and #again or 0), taken }
end
-- A blocking move of the minion may still be under way, or come late from a process that was
-- stopped for a while. It must not move a message into the claim list, where nobody would find
-- it. So a fence is set: a string in place of the list. The server refuses to move a message
-- into a string, and leaves it where it is. A minion that listens to wake channels makes no
-- blocking moves.
if fence > 0 and not redis.call('ZSCORE', watch, minion) then
  redis.call('SET', claim, 'left', 'PX', fence)
end
redis.call('ZREM', watch, minion)
redis.call('ZREM', minions, minion)
return { 0, #back + (again and #again or 0), taken }
