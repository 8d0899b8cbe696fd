-- flow_end stores the outcome of a flow, once, and publishes it to the inbox.
--
-- KEYS  1 flow  2 members  3 results
-- ARGV  1 outcome  2 ms for which the flow can be read  3 ms until its keys expire  4 inbox
--       channel ('' for none)  5 id of the flow
-- Returns 1, or 0 if it has ended before, or -1 if there is no such flow. A flow has ended before
-- also if it can't be read any more, because its retention is over.

local flow = KEYS[1]
if redis.call('HEXISTS', flow, 'outcome') == 1 then
  return 0
end
if not kept(flow) then
  return -1
end
redis.call('HDEL', flow, '') -- for a server out of memory: see dequeue.lua
redis.call('HSET', flow, 'outcome', ARGV[1], 'until', now() + ARGV[2])
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ARGV[3])
end
if ARGV[4] ~= '' then
  redis.call('PUBLISH', ARGV[4], ARGV[5] .. big(#ARGV[1], 4) .. ARGV[1])
end
return 1
