-- absorb moves messages from a minion's claim list to its flight hash. A blocking move can only
-- move a message from list to list, so it puts the message into the claim list. The scripts
-- find messages by id in the flight hash, so each script that needs them calls absorb first.
-- Unreadable messages go to odd, and tokens are dropped. It works in pages: a minion with many
-- slots may have taken more messages, one by one, than unpack can return.
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
