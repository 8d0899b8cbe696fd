-- step_drop removes a step of a dead letter, and all steps that were first saved after it; see steps.lua.
-- The index has the records in that order.
--
-- KEYS  1 dead  2 steps
-- ARGV  1 id of the task  2 name of the step
-- Returns 0 if the task is not a dead letter, 3 if it has no step of that name, -2 if the index can't be
-- read, else 1.

local dead, steps, id, from = KEYS[1], KEYS[2], ARGV[1], 's' .. ARGV[2]
if redis.call('HEXISTS', dead, id) == 0 then
  return 0
end
local names, is, all = indexOf(redis.call('HGET', steps, id))
if not names then
  return -2
end
if not is[from] then
  return 3
end
local dropping, gone, left = false, {}, {}
for _, name in ipairs(names) do
  dropping = dropping or name == from
  if dropping and string.sub(name, 1, 1) == 's' then
    gone[#gone + 1] = id .. name
    all = all - (#name - 1) - math.max(redis.call('HSTRLEN', steps, id .. name) - 7, 0)
  else
    left[#left + 1] = string.char(#name) .. name
  end
end
redis.call('HDEL', steps, unpack(gone)) -- first, since it never needs memory
redis.call('HSET', steps, id, string.char(STEPS_VERSION) .. big(math.max(all, 0), 4) .. table.concat(left))
return 1
