-- watchDeadline lets the deadline of a task be watched that waits again, if it has one.
-- The deadline of a task that ran when it passed is not watched any more: see cancel.lua.
local function watchDeadline(deadlines, msg)
  local limit = string.sub(msg, LIMIT_FROM, LIMIT_TO)
  if limit ~= NO_LIMIT then
    redis.call('ZADD', deadlines, number(limit, 1, 6), string.sub(msg, 2, 17))
  end
end
