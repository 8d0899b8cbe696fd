-- isBehind reports whether a blocked task waits behind the holder of its unique key, and not for
-- other tasks of a flow; see free_keys.lua. flags are those of its message.
local function isBehind(holders, id, flags)
  if math.floor(flags / 2) % 2 == 0 then -- FlagUnique
    return false
  end
  local v = redis.call('HGET', holders, id)
  return v and string.sub(v, 1, 1) == '<'
end
