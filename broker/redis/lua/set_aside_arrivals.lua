-- set_aside_arrivals moves arrivals that the caller can't read from the outbox to the list odd, since they
-- would be read again and again. An element of odd is 'a', the length of the arrival's field
-- (4 bytes), field and value. A minion that registers puts them back, in case its build can
-- read them: see join.lua.
--
-- KEYS  1 outbox  2 odd
-- ARGV  fields and values, as they were read
-- Returns how many were moved; an arrival that has changed meanwhile stays.

local n = 0
for i = 1, #ARGV, 2 do
  local name, value = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', KEYS[1], name) == value then
    redis.call('RPUSH', KEYS[2], 'a' .. big(#name, 4) .. name .. value)
    redis.call('HDEL', KEYS[1], name)
    n = n + 1
  end
end
return n
