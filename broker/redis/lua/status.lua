-- status reads the states of tasks of one queue.
--
-- KEYS  1 state  2 about  3 deadlines
-- ARGV  ids
-- Returns a list of four: a list of states, a list of metadata, the first deadline of a waiting
-- task of the queue ('' if there is none), and the server's time.
--
-- The first list has the state for each id; only for the first ids if the outcomes are large,
-- and then the caller asks again for the rest. It is '' if there is none, or if it may not be
-- read any more. Else it has 20 bytes: digest (4) and inbox (16). A final one continues with
-- the final state (1), the time until which it may be read (6), attempt (4), length of the
-- outcome (4) and outcome. Any other length can't be read.
--
-- The second list has two elements for each task with metadata: the index of its state (from 1)
-- and the record of the metadata.

local t = now()
local values, bytes, at = {}, 0, 1
local metas, described = {}, redis.call('EXISTS', KEYS[2]) == 1
while at <= #ARGV and bytes < 4194304 do
  local to = math.min(at + 127, #ARGV) -- the ids of about two blocks
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
