-- big returns n as a big-endian number of width bytes.
local function big(n, width)
  local b = {}
  for i = width, 1, -1 do
    b[i] = n % 256
    n = (n - b[i]) / 256
  end
  return string.char(unpack(b))
end

-- number reads what big wrote, from s at place at (1 is the first byte). Bytes that s
-- does not have count as 0: what is stored may be cut short, and no script fails of it.
local function number(s, at, width)
  local n = 0
  for i = at, at + width - 1 do
    n = n * 256 + (string.byte(s, i) or 0)
  end
  return n
end
