-- arrivals reads some of a queue's arrivals: with 4 MiB of outcomes it has enough,
-- however many may be asked for.
--
-- KEYS  1 outbox
-- ARGV  1 cursor, '0' at first  2 how many  3 how many bytes
-- Returns the next cursor, '0' at the end, and a list of fields and values. A page of a
-- hash that the server keeps in one piece is all of it: then the rest is left out, and
-- comes when these are confirmed.

local cursor, most, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local found = {}
repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', 4)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    if #found >= 2 * most or room <= 0 then
      break
    end
    found[#found + 1] = page[2][i]
    found[#found + 1] = page[2][i + 1]
    room = room - #page[2][i] - #page[2][i + 1]
  end
until cursor == '0' or #found >= 2 * most or room <= 0
return { cursor, found }
