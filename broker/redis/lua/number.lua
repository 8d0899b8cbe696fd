-- big returns n as a big-endian number of width bytes.
local function big(n, width)
  local b = {}
  for i = width, 1, -1 do
    b[i] = n % 256
    n = (n - b[i]) / 256
  end
  return string.char(unpack(b))
end

-- number reads a big-endian number of width bytes in s, from the byte at on (the first byte is
-- 1). Bytes behind the end of s count as 0, since a damaged text can be too short and must not
-- make the script fail.
local function number(s, at, width)
  local n = 0
  for i = at, at + width - 1 do
    n = n * 256 + (string.byte(s, i) or 0)
  end
  return n
end
