-- watchDeadline adds a task that waits again to the set deadlines, if it has a deadline. A task
-- whose deadline passed while it ran was removed from the set by cancel.lua.
local function watchDeadline(deadlines, msg)
  local limit = string.sub(msg, LIMIT_FROM, LIMIT_TO)
  if limit ~= NO_LIMIT then
    redis.call('ZADD', deadlines, number(limit, 1, 6), string.sub(msg, 2, 17))
  end
end
