-- Charges all keys or none. The arithmetic is that of state.rs.
--
-- ARGV[1]: the time in milliseconds, or -1 for the server's own.
-- For each key seven more: kind (l or g), limit, window in ms, then for a log the number of parts
-- and whether it is dated ahead (1 or 0), for a bucket its burst and drain; cost; extra.
-- Answers for each key: admitted, left, ms until more, ms until admitted (-1: never), time, extra taken.
--
-- If the clock went back, a key's time (`at`) stands still until the clock has caught up, and what
-- there is to wait is counted from the clock's time.
--
-- A log is a string: the total in 4 bytes, then for each slot its time in 6 and its count in 4,
-- oldest first. A bucket: the time in 6 bytes, its debt in 8.

local now = tonumber(ARGV[1])
-- A clock of tests may be slower than the one by which keys expire.
local grace = 0
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  grace = 600000
end

local HEAD, SLOT = 4, 10

local function part(at, window, parts)
  return math.floor(at * parts / window)
end

local function look_at_log(key, limit, window, parts, ahead, cost)
  local log = { raw = redis.call('GET', key) or '', total = 0, at = now, first = HEAD + 1 }
  local size = #log.raw
  if size > 0 then
    log.total = struct.unpack('>I4', log.raw)
    local last = struct.unpack('>I6', log.raw, size - SLOT + 1)
    if ahead then last = last - math.floor(window / parts) - 1 end
    if last > now then log.at = last end
    while log.first < size do
      local at, count = struct.unpack('>I6I4', log.raw, log.first)
      if at + window > log.at then break end
      log.total = log.total - count
      log.first = log.first + SLOT
    end
  end

  if cost > limit then
    log.wait = -1
  else
    log.wait = 0
    local missing, position = log.total + cost - limit, log.first
    while missing > 0 and position < size do
      local at, count = struct.unpack('>I6I4', log.raw, position)
      missing = missing - count
      log.wait = at + window - now
      position = position + SLOT
    end
  end

  function log.left()
    if log.first > #log.raw then return math.max(0, limit - log.total), 0 end
    return math.max(0, limit - log.total), struct.unpack('>I6', log.raw, log.first) + window - now
  end

  function log.charge(amount)
    local dated = log.at
    if ahead then dated = math.ceil((part(log.at, window, parts) + 1) * window / parts) end
    local kept, count = log.raw:sub(log.first), amount
    if #kept > 0 then
      local last, before = struct.unpack('>I6I4', kept, #kept - SLOT + 1)
      local same = last == dated
      if parts > 0 and not ahead then same = part(last, window, parts) == part(dated, window, parts) end
      if same then
        kept, count = kept:sub(1, -SLOT - 1), count + before
      end
    end
    log.total = log.total + amount
    log.raw = struct.pack('>I4', log.total) .. kept .. struct.pack('>I6I4', dated, count)
    log.first = HEAD + 1
    redis.call('SET', key, log.raw, 'PX', dated + window - now + grace)
  end
  return log
end

local function look_at_bucket(key, window, burst, drain, cost)
  local bucket, debt = { at = now }, 0
  local raw = redis.call('GET', key)
  if raw then
    local since, before = struct.unpack('>I6I8', raw)
    bucket.at = math.max(now, since)
    debt = math.max(0, before - (bucket.at - since) * drain)
  end

  if cost > burst then
    bucket.wait = -1
  else
    bucket.wait = math.max(0, math.ceil((debt + (cost - burst) * window) / drain))
    if bucket.wait > 0 then bucket.wait = bucket.wait + bucket.at - now end
  end

  function bucket.left()
    local room = math.max(0, burst * window - debt)
    local left = math.floor(room / window)
    if debt == 0 then return left, 0 end
    return left, math.ceil(((left + 1) * window - room) / drain) + bucket.at - now
  end

  function bucket.charge(amount)
    debt = debt + amount * window
    local value = struct.pack('>I6I8', bucket.at, debt)
    redis.call('SET', key, value, 'PX', bucket.at - now + math.ceil(debt / drain) + grace)
  end
  return bucket
end

local counters, admitted = {}, true
for index, key in ipairs(KEYS) do
  local base = 1 + (index - 1) * 7
  local kind = ARGV[base + 1]
  local limit, window = tonumber(ARGV[base + 2]), tonumber(ARGV[base + 3])
  local one, two = tonumber(ARGV[base + 4]), tonumber(ARGV[base + 5])
  local cost = tonumber(ARGV[base + 6])
  local counter
  if kind == 'l' then
    counter = look_at_log(key, limit, window, one, two == 1, cost)
  else
    counter = look_at_bucket(key, window, one, two, cost)
  end
  counter.cost, counter.extra = cost, tonumber(ARGV[base + 7])
  counters[index] = counter
  admitted = admitted and counter.wait == 0
end

local answers = {}
for index, counter in ipairs(counters) do
  local taken = 0
  if admitted and counter.cost > 0 then
    if counter.extra > 0 then
      -- The last ones are left to whoever asks for them.
      taken = math.min(counter.extra, math.floor((counter.left() - counter.cost) / 4))
    end
    counter.charge(counter.cost + taken)
  end
  local left, more = counter.left()
  answers[index] = { counter.wait == 0 and 1 or 0, left, more, counter.wait, counter.at, taken }
end
return answers
