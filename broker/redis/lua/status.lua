-- status reads the states of tasks of one queue.
--
-- KEYS  1 state  2 about  3 deadlines
-- ARGV  ids
-- Returns two lists, the first deadline of a task of the queue that waits ('' if none),
-- and the server's time. The first list has for each id, or only the first ones where they
-- are large: '' if there is none, or it may not be seen any more; else as it is: 20
-- bytes (digest, inbox) and, if it is final, state, time until which it may be seen (6),
-- attempt (4), length (4) and outcome; one of another length can't be read. The second list has, for each that has metadata,
-- its place in the first (from 1) and the record of that.

local t = now()
local values, bytes, at = {}, 0, 1
local metas, described = {}, redis.call('EXISTS', KEYS[2]) == 1
while at <= #ARGV and bytes < 4194304 do
  local to = math.min(at + 127, #ARGV) -- of a block or two
  for _, s in ipairs(look(KEYS[1], { unpack(ARGV, at, to) })) do
    if not s or (#s > 30 and number(s, 22, 6) <= t) then
      s = ''
    elseif s == '' then
      s = UNREADABLE
    end
    values[#values + 1] = s
    bytes = bytes + #s
  end
  if described then
    for i, meta in ipairs(redis.call('HMGET', KEYS[2], unpack(ARGV, at, to))) do
      if meta and values[at - 1 + i] ~= '' then
        metas[#metas + 1] = at - 1 + i
        metas[#metas + 1] = meta
        bytes = bytes + #meta
      end
    end
  end
  at = to + 1
end
return { values, metas, redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] or '', t }
