-- absorb moves what a minion's blocking moves took from its claim list to its
-- in-flight hash, where all else finds it. Messages that are none go to odd.
-- It goes in pages: a minion with many slots may have taken more, one by one, than
-- unpack has room for.
local function absorb(claim, flight, odd)
  local size = 1000
  repeat
    local msgs = redis.call('LRANGE', claim, 0, size - 1)
    if #msgs == 0 then
      return
    end
    local pairs, strange = {}, {}
    for _, msg in ipairs(msgs) do
      if readable(msg) then
        pairs[#pairs + 1] = string.sub(msg, 2, 17)
        pairs[#pairs + 1] = msg
      elseif msg ~= '!' then
        strange[#strange + 1] = msg
      end
    end
    if #pairs > 0 then
      redis.call('HSET', flight, unpack(pairs))
    end
    if #strange > 0 then
      redis.call('RPUSH', odd, unpack(strange))
    end
    redis.call('LTRIM', claim, #msgs, -1)
  until #msgs < size
end
