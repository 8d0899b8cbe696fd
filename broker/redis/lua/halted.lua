-- While a large flow is being killed it is halted: the hash halt has its id, in each queue where
-- it may have members. See halt.lua.

-- halted returns the set of those ids whose tasks must not start, as keys of a table: members
-- and callbacks of halted flows. Finalizers start as usual. A member that is not in the hash
-- flows was counted before and has been requeued, so it starts, too.
local function halted(halt, flows, ids)
  local stay, names = {}, {}
  if #ids == 0 or redis.call('EXISTS', halt) == 0 then
    return stay
  end
  local members = {}
  for i, ref in ipairs(redis.call('HMGET', flows, unpack(ids))) do
    if ref and #ref >= 20 and string.sub(ref, 17, 20) ~= '\255\255\255\254' then
      members[#members + 1] = ids[i]
      names[#names + 1] = string.sub(ref, 1, 16)
    end
  end
  if #members > 0 then
    for i, is in ipairs(redis.call('HMGET', halt, unpack(names))) do
      if is then
        stay[members[i]] = true
      end
    end
  end
  return stay
end

-- barred returns the message of such a task with FlagBlocked, to be stored in later until it is
-- cancelled. It returns false for a task that was cancelled while it ran: that one is handed
-- out, and the minion ends it without starting it.
local function barred(msg)
  local flags = string.byte(msg, 25)
  if flags % 2 == 1 then -- FlagCanceled
    return false
  end
  if math.floor(flags / 4) % 2 == 0 then -- FlagBlocked
    flags = flags + 4
  end
  return string.sub(msg, 1, 24) .. string.char(flags) .. string.sub(msg, 26)
end
