-- set_aside moves unreadable messages, and messages under the id of another task, from the flight
-- hash of a minion to the list odd. The minion would find them there again and again.
--
-- KEYS  1 flight  2 odd
-- ARGV  ids
-- Returns how many were moved.

local n = 0
for _, id in ipairs(ARGV) do
  local msg = redis.call('HGET', KEYS[1], id)
  if msg and not (readable(msg) and string.sub(msg, 2, 17) == id) then
    redis.call('RPUSH', KEYS[2], msg)
    redis.call('HDEL', KEYS[1], id)
    n = n + 1
  end
end
return n
