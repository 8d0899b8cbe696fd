-- found notes in a partition of a queue that the queue is registered.
--
-- KEYS  1 meta  2 state
-- Returns 1.

redis.call('HDEL', KEYS[2], '') -- see dequeue.lua
redis.call('SET', KEYS[1], '1')
return 1
