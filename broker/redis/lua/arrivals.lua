-- arrivals reads some of a queue's arrivals.
--
-- KEYS  1 outbox
-- ARGV  1 cursor, '0' at first  2 how many at most  3 about how many bytes at most  4 for how
--       many ms the kill of a flow is left to the process that has it  5 after how many arrivals
--       this run ends at the end of a page, so that it does not take long
-- Returns the next cursor, '0' at the end, and a list of fields and values.
--
-- HSCAN returns a hash that the server keeps in one piece as a single page. Arrivals beyond the
-- limits 2 and 3 are left out then, and a later call returns them, after these were confirmed.
--
-- A field 'k' and the id of a flow is the kill of a halted flow (see halt.lua). Its value is
-- the time (6 bytes) when a process halted the flow or was given the kill. The process kills
-- the flow and then confirms the arrival. If it has not done so for some time it has probably
-- died, and the script gives the kill to the next process that asks.

local cursor, most, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local enough = tonumber(ARGV[5])
local found = {}

-- left reports whether a kill has to be given to the caller, since the process that had it took
-- too long. If so it notes the time.
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
