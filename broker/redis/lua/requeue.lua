-- requeue makes dead letters pending again, with all their retries and without
-- their deadline. A member of a squad starts alone: its squad has ended. One that has
-- a unique key takes it again, unless another task holds it: then it stays. Only the
-- body of a message has the key, which is for the caller to read.
--
-- KEYS  1 dead  2 state  3 ready  4 held  5 watch  6 unique  7 deadlines, then the record
--       of each id, which need not be there, then the excused attempts of each id (see
--       excuse.lua)
-- ARGV  1 wake channel, then for each id: it and its unique key ('' if it has none,
--       or that is not known)
-- Returns for each id, or only the first ones where there is much to be read: 1, or
-- 0 if it is no dead letter any more, or -1 if its record should be there and is
-- not, or -2 if its message can't be read, or the id of the task that holds its key, or
-- its message (call again with the key that is in it).

local dead, state, ready, held, watch, unique, deadlines =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local t = now()
local out, bytes, at = {}, 0, 2
while at <= #ARGV and bytes < 1048576 do
  local id, key = ARGV[at], ARGV[at + 1]
  local msg = redis.call('HGET', dead, id)
  local s = look(state, { id })[1]
  local legible = msg and readable(msg)
  local record = legible and isEntry(msg) and KEYS[7 + at / 2]
  local flags = legible and string.byte(msg, 25)
  local holder = key ~= '' and redis.call('HGET', unique, key)
  if holder then
    -- A key can't outlive its task: one whose holder is done is free.
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
    -- Nothing is used up, there is no deadline, and nothing is held against it.
    msg = string.sub(msg, 1, 21) .. '\0\0\0' .. string.char(flags) ..
      string.sub(msg, 26, LIMIT_FROM - 1) ..
      NO_LIMIT .. '\0' .. string.sub(msg, LIMIT_TO + 2)
    if key ~= '' then
      -- First: as long as the task is final it stands in nobody's way.
      redis.call('HSET', unique, key, id)
    end
    if limited then
      redis.call('ZREM', deadlines, id) -- a minion of an earlier build may have left it
    end
    push(ready, held, watch, ARGV[1], { msg }, false)
    redis.call('HSET', state, id, string.sub(msg, 26, 45))
    mark(state, { id }, OWN)
    redis.call('HDEL', dead, id)
    redis.call('DEL', KEYS[7 + (#ARGV - 1) / 2 + at / 2])
    if record then
      redis.call('PERSIST', record)
    end
    out[#out + 1] = 1
  end
  at = at + 2
end
return out
