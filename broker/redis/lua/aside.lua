-- aside puts arrivals aside that nobody here can read: into odd, as 'a', the length of
-- their name (4), the name and the value. A minion that joins tries them again: see
-- join.lua.
--
-- KEYS  1 outbox  2 odd
-- ARGV  names and values, as they were read
-- Returns how many there were; what has changed meanwhile stays.

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
