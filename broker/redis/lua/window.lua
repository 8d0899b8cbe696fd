-- The window of a unique key is a string key of its own: when it ends in ms (6), the id of the task
-- whose window it is (16), and the name of that task, empty if it is the scope of the key. The
-- server removes it a second later.

-- windowOf returns the end of a window, the id of its task and the name of this task; 0 if there is
-- no window.
local function windowOf(window, t)
  local w = redis.call('GET', window)
  local ends = w and #w >= 22 and number(w, 1, 6) or 0
  if ends <= t or ends > t + 315360000000 then -- over, or damaged: no window lasts longer than ten years
    return 0
  end
  return ends, string.sub(w, 7, 22), string.sub(w, 23)
end

-- setWindow stores a window, or removes it if it has ended.
local function setWindow(window, ends, id, name, t)
  if ends > t then
    redis.call('SET', window, big(ends, 6) .. id .. name, 'PX', ends - t + 1000)
  else
    redis.call('DEL', window)
  end
end
