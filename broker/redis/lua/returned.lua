-- returned returns a message that goes back from its owner: with the number of the
-- next hand-out, and without the mark of a start. If no handler was started that is
-- counted, so that the number of the next start can be told.
local function returned(msg, unstarted)
  local flags, back = string.byte(msg, 25), number(msg, 53, 2)
  if unstarted then
    back = math.min(back + 1, 65535)
  end
  if math.floor(flags / 64) % 2 == 1 then -- FlagStarted
    flags = flags - 64
  end
  return string.sub(msg, 1, 17) .. big(number(msg, 18, 4) + 1, 4) .. string.sub(msg, 22, 24) ..
    string.char(flags) .. string.sub(msg, 26, 52) .. big(back, 2) .. string.sub(msg, 55)
end

-- afresh returns a message that says whether its next attempt follows a failure.
local function afresh(msg, on)
  local flags = string.byte(msg, 25)
  local is = math.floor(flags / 32) % 2 == 1 -- FlagAfresh
  if is == on then
    return msg
  end
  return string.sub(msg, 1, 24) .. string.char(flags + (on and 32 or -32)) .. string.sub(msg, 26)
end
