-- requeue makes dead letters pending again, with all their retries and without
-- their deadline.
--
-- KEYS  1 dead  2 state  3 ready  4 held  5 watch, then the record of each id, which
--       need not be there
-- ARGV  1 wake channel, then ids
-- Returns for each id 1, or 0 if it is no dead letter any more, or -1 if its record
-- should be there and is not.

local dead, state, ready, held, watch = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local t = now()
local out = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local msg = redis.call('HGET', dead, id)
  local s = redis.call('HGET', state, id)
  local record = msg and string.byte(msg, 1) == 129 and KEYS[4 + i]
  if record and redis.call('EXISTS', record) == 0 then
    out[#out + 1] = -1
  elseif msg and s and #s > 20 and number(s, 22, 6) > t then
    local flags = string.byte(msg, 25)
    msg = string.sub(msg, 1, 17) .. big(number(msg, 18, 4) + 1, 4) ..
      '\0\0\0' .. string.char(flags - flags % 2) .. string.sub(msg, 26, 45) ..
      '\0\0\0\0\0\0' .. string.sub(msg, 52)
    push(ready, held, watch, ARGV[1], { msg }, false)
    redis.call('HSET', state, id, string.sub(msg, 26, 45))
    redis.call('HDEL', dead, id)
    if record then
      redis.call('PERSIST', record)
    end
    out[#out + 1] = 1
  else
    out[#out + 1] = 0
  end
end
return out
