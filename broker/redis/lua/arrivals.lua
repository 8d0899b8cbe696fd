-- arrivals reads some of a queue's arrivals: with 4 MiB of outcomes it has enough,
-- however many may be asked for.
--
-- KEYS  1 outbox
-- ARGV  1 cursor, '0' at first  2 how many  3 how many bytes
-- Returns the next cursor, '0' at the end, and a list of fields and values:
-- perhaps somewhat more, since a page of a small hash is all of it.

local cursor, most, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local found = {}
repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', 4)
  cursor = page[1]
  for _, s in ipairs(page[2]) do
    found[#found + 1] = s
    room = room - #s
  end
until cursor == '0' or #found >= 2 * most or room <= 0
return { cursor, found }
