-- requeue makes dead letters pending again, with all their retries and without their deadlines.
-- A member of a squad then starts alone, since its squad has ended. A letter with a unique key
-- takes the key again; if another task has it, the letter stays dead. The key is in the body of
-- the message, which scripts do not read, so the caller has to read it and call again.
--
-- KEYS  1 dead  2 state  3 ready  4 held  5 watch  6 unique  7 deadlines  8 later  9-17 the keys
--       of lanes, then the record of each id, which exists only for large ones, then the set of
--       excused attempts of each id (see excuse.lua)
-- ARGV  1 wake channel, then for each letter its id and its unique key ('' if it has none,
--       or if the caller does not know it)
-- Returns a list with an element for each id; only for the first ids if there is much to read:
--   1        it is pending
--   0        it is no dead letter (any more)
--   -1       it has a stub, and its large record does not exist
--   -2       its message can't be read
--   an id    of the task that has its unique key
--   message  it has a unique key, which is in this message: call again with the key

local dead, state, ready, held, watch, unique, deadlines =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local t = now()
local out, bytes, at = {}, 0, 2
while at <= #ARGV and bytes < 1048576 do
  local id, key = ARGV[at], ARGV[at + 1]
  local msg = redis.call('HGET', dead, id)
  local s = look(state, { id })[1]
  local legible = msg and readable(msg)
  local record = legible and isStub(msg) and KEYS[17 + at / 2]
  local flags = legible and string.byte(msg, 25)
  local holder = key ~= '' and redis.call('HGET', unique, key)
  if holder then
    -- A unique key of a task that has ended, and was not removed, is free.
    local h = look(state, { holder })[1]
    holder = h and #h == 20 and holder
  end
  if msg and not legible then
    out[#out + 1] = -2
  elseif record and redis.call('EXISTS', record) == 0 then
    out[#out + 1] = -1
  elseif not (msg and s and #s > 20 and number(s, 22, 6) > t) then
    out[#out + 1] = 0
  elseif key == '' and math.floor(flags / 2) % 2 == 1 then -- FlagUnique
    out[#out + 1] = msg
    bytes = bytes + #msg
  elseif holder then
    out[#out + 1] = holder
  else
    local limited = string.sub(msg, LIMIT_FROM, LIMIT_TO) ~= NO_LIMIT
    msg = afresh(returned(msg, false), true)
    flags = string.byte(msg, 25)
    flags = flags - flags % 2 - (isParked(flags) and 16 or 0) -- FlagCanceled, FlagParked
    if math.floor(flags / 8) % 2 == 1 then -- FlagSquad
      flags = flags - 8
    end
    -- No retries are used up, there is no deadline, and no recoveries or strikes are counted.
    msg = string.sub(msg, 1, 21) .. '\0\0\0' .. string.char(flags) ..
      string.sub(msg, 26, LIMIT_FROM - 1) ..
      NO_LIMIT .. '\0' .. string.sub(msg, LIMIT_TO + 2)
    if key ~= '' then
      -- The first write: if a later one fails the task is still final, and its key is free.
      redis.call('HSET', unique, key, id)
    end
    if limited then
      redis.call('ZREM', deadlines, id) -- a minion of an earlier build may not have removed it
    end
    if laneOf(msg) then
      lineUp(laneKeys(9, KEYS[8]), ready, held, watch, ARGV[1], { msg })
    else
      push(ready, held, watch, ARGV[1], { msg }, false)
    end
    redis.call('HSET', state, id, string.sub(msg, 26, 45))
    mark(state, { id }, OWN)
    redis.call('HDEL', dead, id)
    redis.call('DEL', KEYS[17 + (#ARGV - 1) / 2 + at / 2])
    if record then
      redis.call('PERSIST', record)
    end
    out[#out + 1] = 1
  end
  at = at + 2
end
return out
