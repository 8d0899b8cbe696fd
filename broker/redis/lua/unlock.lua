-- unlock frees the unique keys of cancelled tasks. Scripts that drop the messages can't read the
-- keys, which are in the bodies, so their callers do that and call this script.
--
-- KEYS  1 unique
-- ARGV  pairs of unique key and id
-- Returns how many keys were freed; a key that another task has by now stays.

local n = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    n = n + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return n
