-- arrivals reads some of a queue's arrivals: with 4 MiB of outcomes it has enough,
-- however many may be asked for.
--
-- KEYS  1 outbox
-- ARGV  1 cursor, '0' at first  2 how many at most  3 how many bytes  4 for how many ms
--       whoever kills a flow is left alone  5 after how many it is enough for one script
-- Returns the next cursor, '0' at the end, and a list of fields and values. A page of a
-- hash that the server keeps in one piece is all of it: then what is beyond ARGV 2 is left
-- out, and comes when these are confirmed. The kill of a flow that is halted has 'k', its id and the
-- time when it was halted or given to somebody last (6): see halt.lua.

local cursor, most, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local enough = tonumber(ARGV[5])
local found = {}

-- left reports whether whoever kills a flow has been left alone for long enough, and
-- leaves the next one alone.
local function left(name, value)
  local t = now()
  local since = t - number(value, 1, 6)
  if since >= 0 and since < tonumber(ARGV[4]) then
    return false
  end
  redis.call('HDEL', KEYS[1], '') -- see dequeue.lua
  redis.call('HSET', KEYS[1], name, big(t, 6))
  return true
end

repeat
  local page = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', 4)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    if #found >= 2 * most or room <= 0 then
      break
    end
    local name, value = page[2][i], page[2][i + 1]
    if string.byte(name, 1) ~= 107 or #name ~= 17 or left(name, value) then -- 'k'
      found[#found + 1] = name
      found[#found + 1] = value
      room = room - #name - #value
    end
  end
until cursor == '0' or #found >= 2 * math.min(most, enough) or room <= 0
return { cursor, found }
