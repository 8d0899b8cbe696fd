-- status reads the states of tasks of one queue.
--
-- KEYS  1 state
-- ARGV  ids
-- Returns for each: '' if there is none, or it may not be seen any more; else
-- as it is: 20 bytes (digest, inbox) and, if it is final, state, time until
-- which it may be seen (6), attempt (4), length (4) and outcome.

local t = now()
local values = redis.call('HMGET', KEYS[1], unpack(ARGV))
for i, s in ipairs(values) do
  if not s or (#s > 20 and number(s, 22, 6) <= t) then
    values[i] = ''
  end
end
return values
