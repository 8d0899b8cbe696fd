-- unlock frees unique keys whose tasks have been cancelled.
--
-- KEYS  1 unique
-- ARGV  pairs of key and id
-- Returns how many were freed; a key that another task holds by now stays.

local n = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    n = n + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return n
