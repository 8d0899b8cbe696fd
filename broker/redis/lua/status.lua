-- status reads the states of tasks of one queue.
--
-- KEYS  1 state
-- ARGV  ids
-- Returns for each, or only the first ones where they are large: '' if there is
-- none, or it may not be seen any more; else as it is: 20 bytes (digest, inbox)
-- and, if it is final, state, time until which it may be seen (6), attempt (4),
-- length (4) and outcome.

local t = now()
local values, bytes, at = {}, 0, 1
while at <= #ARGV and bytes < 4194304 do
  local to = math.min(at + 127, #ARGV) -- of a block or two
  for _, s in ipairs(look(KEYS[1], { unpack(ARGV, at, to) }, true)) do
    if not s or (#s > 20 and number(s, 22, 6) <= t) then
      s = ''
    end
    values[#values + 1] = s
    bytes = bytes + #s
  end
  at = to + 1
end
return values
