-- step_load reads the saved state of a task that a minion holds; see steps.lua.
--
-- KEYS  1 flight  2 claim  3 minions  4 odd  5 steps
-- ARGV  1 minion  2 id of the task  3 attempt (4 bytes)
-- Returns false if the minion does not own the attempt, -2 if the index can't be read, else a
-- list: the time in unix ms, then kind and name of each record, and the record.

local flight, claim, minions, odd, steps = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id = ARGV[2]
if not holds(flight, claim, minions, odd, ARGV[1], id, ARGV[3]) then
  return false
end
local names = indexOf(redis.call('HGET', steps, id))
if not names then
  return -2
end
local out, fields = { string.format('%.0f', now()) }, {}
for i = 1, #names do
  fields[i] = id .. names[i]
end
if #fields > 0 then
  for i, record in ipairs(redis.call('HMGET', steps, unpack(fields))) do
    out[#out + 1] = names[i]
    out[#out + 1] = record or ''
  end
end
return out
