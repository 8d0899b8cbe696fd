-- A parked task waits like a scheduled one: its message is in later, with FlagParked, and its id
-- is in due, with the end of its time as a parked task. In addition its id is in the sorted set
-- parked with the number of its need as the score, and the hash needs has the need of each
-- number. park.go has more about needs.

-- unpark removes tasks from the set parked, and needs that no parked task has any more. Tasks
-- that are not parked are ignored.
local function unpark(parked, needs, ids)
  local seen = {}
  for _, id in ipairs(ids) do
    local score = redis.call('ZSCORE', parked, id)
    if score then
      redis.call('ZREM', parked, id)
      seen[score] = true
    end
  end
  for score in pairs(seen) do
    if redis.call('ZCOUNT', parked, score, score) == 0 then
      redis.call('HDEL', needs, string.format('%.0f', scoreOf(score)))
    end
  end
end

-- noteOverdue notes that overdue tasks may have come into the list of pending ones: it raises the
-- number in the field of needs whose name is empty. If the queue loses its last minion before they
-- are taken, stranded.lua looks for them. A key of another type must not stop the caller.
local function noteOverdue(needs)
  local n = redis.pcall('HGET', needs, '')
  redis.pcall('HSET', needs, '', string.format('%.0f', (type(n) == 'string' and tonumber(n) or 0) + 1))
end

-- isParked reports whether the flags of a message have FlagParked. flags is nil if the message is
-- too short to have any.
local function isParked(flags)
  return flags and math.floor(flags / 16) % 2 == 1
end
