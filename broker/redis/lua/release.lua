-- release makes blocked tasks pending. The head of a message, with id and counts, stays as it
-- is, and lane and body are replaced by those of the new message, which has the arguments.
--
-- KEYS  1 ready  2 held  3 due  4 later  5 watch  6 holders  7-15 the keys of lanes
-- ARGV  1 wake channel, then for each task its id and its new message
-- Returns how many were released. The others are not blocked (any more).

local ready, held, due, later, watch = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
redis.call('HDEL', later, '') -- for a server out of memory: see dequeue.lua
local ids, msgs = {}, {}
local seen, left = {}, {} -- ids; messages of tasks that leave the sequence that they held
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  local msg = not seen[id] and redis.call('HGET', later, id)
  if msg and readable(msg) then
    local flags = string.byte(msg, 25)
    if math.floor(flags / 4) % 2 == 1 and not isBehind(KEYS[6], id, flags) then -- FlagBlocked
      seen[id] = true
      ids[#ids + 1] = id
      -- A task with a stub was never stored as blocked. It is blocked since its flow is halted,
      -- and keeps its body.
      local body = isStub(msg) and msg or ARGV[i + 1]
      flags = flags % 128 - 4 + (string.byte(body, 25) >= 128 and 128 or 0) -- FlagBlocked, FlagLaned
      local released = string.sub(body, 1, 1) .. string.sub(msg, 2, 24) .. string.char(flags) .. string.sub(msg, 26, HEAD) ..
        string.sub(body, HEAD + 1)
      msgs[#msgs + 1] = released
      local was, is = laneOf(msg), laneOf(released)
      if was and was.sequence ~= '' and not (is and is.sequence == was.sequence) then
        left[#left + 1] = msg
      end
    end
  end
end
if #ids > 0 then
  local lined
  msgs, lined = split(msgs)
  push(ready, held, watch, ARGV[1], msgs, false)
  redis.call('ZREM', due, unpack(ids))
  redis.call('HDEL', later, unpack(ids))
  local L = laneKeys(7, later)
  if #left > 0 and endSequence(L, left, 8) then
    nudge(ready, watch, ARGV[1])
  end
  if #lined > 0 then
    lineUp(L, ready, held, watch, ARGV[1], lined)
  end
end
return #ids
