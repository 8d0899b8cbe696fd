-- found notes in a partition that its queue is registered. Nothing can be stored in a partition
-- without the note. The note expires, so that an unused queue can be forgotten; round.go has
-- the reasoning.
--
-- KEYS  1 meta  2 state  3 bound (see waiting.lua)
-- ARGV  1 the server's time when the queue was put into the registry  2 for how many ms the
--       note is kept  3 how many ms ago the first time may be
-- Returns 1; or 0 if the registration is too old, so that the queue may have been forgotten
-- since.

if now() - tonumber(ARGV[1]) > tonumber(ARGV[3]) then
  return 0
end
redis.call('HDEL', KEYS[2], '') -- for a server out of memory: see dequeue.lua
local bound = redis.call('GET', KEYS[3])
local most = bound and string.match(bound, '^(%d+) ')
redis.call('SET', KEYS[1], most and 'b' .. most or '1', 'PX', ARGV[2])
return 1
