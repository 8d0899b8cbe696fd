-- returned returns the message of a task that its minion gives back: with the number of the next
-- hand-out, and without FlagStarted. If no handler was started, unstarted is set; the message
-- counts such hand-outs, and users see the number of the hand-out less these as the attempt.
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

-- afresh returns a message in which FlagAfresh is on or off: it says whether the next attempt
-- follows a failure.
local function afresh(msg, on)
  local flags = string.byte(msg, 25)
  local is = math.floor(flags / 32) % 2 == 1 -- FlagAfresh
  if is == on then
    return msg
  end
  return string.sub(msg, 1, 24) .. string.char(flags + (on and 32 or -32)) .. string.sub(msg, 26)
end
