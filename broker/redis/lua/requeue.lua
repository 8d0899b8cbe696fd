-- requeue makes dead letters pending again, with all their retries and without their deadlines.
-- A member of a squad then starts alone, since its squad has ended. A letter with a unique key
-- takes the key again; if another task has it, the letter stays dead. The key is in the body of
-- the message, which scripts do not read, so the caller has to read it and call again.
--
-- KEYS  1 dead  2 state  3 ready  4 held  5 watch  6 unique  7 deadlines  8 holders  9 later
--       10-18 the keys of lanes, then for each id three keys: its record, which exists only for
--       large ones; the set of its excused attempts (see excuse.lua); and the window of its
--       unique key
-- ARGV  1 wake channel, then for each letter its id, its unique key ('' if it has none, or if
--       the caller does not know it), and what the hash unique has of it behind the times
-- Returns a list with an element for each id; only for the first ids if there is much to read:
--   1        it is pending
--   0        it is no dead letter (any more)
--   -1       it has a stub, and its large record does not exist
--   -2       its message can't be read
--   an id and the name of a task, with 0xff before them: this task has its unique key
--   message  it has a unique key, which is in this message: call again with the key

local dead, state, ready, held, watch, unique, deadlines, holders =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local t = now()
local out, bytes, at = {}, 0, 2
while at <= #ARGV and bytes < 1048576 do
  local id, key = ARGV[at], ARGV[at + 1]
  local excused, window = KEYS[at + 18], KEYS[at + 19]
  local msg = redis.call('HGET', dead, id)
  local s = look(state, { id })[1]
  local legible = msg and readable(msg)
  local record = legible and isStub(msg) and KEYS[at + 17]
  local flags = legible and string.byte(msg, 25)
  local entry, holder = key ~= '' and redis.call('HGET', unique, key), false
  if entry then
    -- A unique key of a task that has ended, and was not removed, is free.
    local h = look(state, { string.sub(entry, 1, 16) })[1]
    holder = h and #h == 20 and string.sub(entry, 1, 16) .. string.sub(entry, 24)
  end
  if key ~= '' and not holder then
    local ends, of, name = windowOf(window, t)
    holder = ends > 0 and of ~= id and of .. name
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
    out[#out + 1] = '\255' .. holder
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
      redis.call('HSET', unique, key, id .. big(t, 6) .. ARGV[at + 2])
      redis.call('HSET', holders, id, '=' .. string.rep('\0', 28) .. key)
    end
    if limited then
      redis.call('ZREM', deadlines, id) -- a minion of an earlier build may not have removed it
    end
    if laneOf(msg) then
      local L = laneKeys(10, KEYS[9])
      lineUp(L, ready, held, watch, ARGV[1], { msg })
    else
      push(ready, held, watch, ARGV[1], { msg }, false)
    end
    redis.call('HSET', state, id, string.sub(msg, 26, 45))
    mark(state, { id }, OWN)
    redis.call('HDEL', dead, id)
    redis.call('DEL', excused)
    if record then
      redis.call('PERSIST', record)
    end
    out[#out + 1] = 1
  end
  at = at + 3
end
return out
