-- found notes in a partition of a queue that the queue is registered. It does so for a
-- while only, so that a queue that nobody uses can be forgotten.
--
-- KEYS  1 meta  2 state
-- ARGV  1 the server's time when the queue was registered  2 for how many ms  3 how
--       many ms ago that may have been
-- Returns 1, or 0 if it was too long ago: then it may have been forgotten since.

if now() - tonumber(ARGV[1]) > tonumber(ARGV[3]) then
  return 0
end
redis.call('HDEL', KEYS[2], '') -- see dequeue.lua
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
return 1
