-- What a script has read of lanes, and what it has changed. Both are in the table that laneKeys returns.

local readFields, fieldOf -- what others use
do
-- change notes that the entry of a table in L with a name is to be stored.
function change(L, of, name)
  local set = L.changed[of]
  if not set then
    set = {}
    L.changed[of] = set
  end
  set[name] = true
end

-- readFields reads fields of lanes, and fieldOf returns one, or nil. A change is made in L.fields.
function readFields(L, names)
  local asked = {}
  for _, name in ipairs(names) do
    if L.known[name] == nil and L.fields[name] == nil then
      L.known[name] = false
      asked[#asked + 1] = name
    end
  end
  for i, v in ipairs(fetch(L.lanes, asked)) do
    L.known[asked[i]] = v
  end
end

function fieldOf(L, name)
  local v = L.fields[name]
  if v == nil then
    v = L.known[name]
    if v == nil then
      v = redis.call('HGET', L.lanes, name)
      L.known[name] = v
    end
  end
  return v or nil
end

-- timeOf returns the server's time in us, the same in the whole script.
function timeOf(L)
  if not L.us then
    local t = redis.call('TIME')
    L.us = t[1] * 1000000 + t[2]
  end
  return L.us
end
end
