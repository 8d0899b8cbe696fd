-- A parked task is in later, with FlagParked in its message, and in due with the end of
-- its time. Besides it is in parked, whose scores are numbers of what tasks need of a
-- minion, and needs has what each of these numbers stands for.

-- unpark takes tasks off the parked ones. Those that are none are left alone.
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

-- isParked reports whether the flags of a message have FlagParked. A message that is too
-- short has no flags.
local function isParked(flags)
  return flags and math.floor(flags / 16) % 2 == 1
end
