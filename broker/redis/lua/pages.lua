-- pages calls f with up to 1000 elements of a list at a time, since unpack can return only some
-- thousands.
local function pages(list, f)
  for from = 1, #list, 1000 do
    f({ unpack(list, from, math.min(from + 999, #list)) })
  end
end
