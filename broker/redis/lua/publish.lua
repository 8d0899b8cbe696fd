-- publish appends events to a topic. Each event has the id of the one before it, so that a
-- reader notices when it has missed some.
--
-- KEYS  1 stream
-- ARGV  1 about how many events the topic keeps  2 for how many ms, then payloads
-- Returns the id of the last event.

local stream = KEYS[1]
local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
local before = last[1] and last[1][1] or ''
for i = 3, #ARGV do
  before = redis.call('XADD', stream, 'MAXLEN', '~', ARGV[1], '*', 'p', before, 'd', ARGV[i])
end
local keep = tonumber(ARGV[2])
redis.call('XTRIM', stream, 'MINID', '~', string.format('%.0f', now() - keep))
redis.call('PEXPIRE', stream, keep)
return before
