-- Decides calls, one after the other: charges all keys of a call or none. The arithmetic is that of state.rs.
--
-- ARGV[1]: the time in milliseconds, or -1 for the server's own.
-- For each call one more: how many of the keys are its own, which differ from each other. Then for each of
-- these seven: kind (l or g), limit, window in ms, then for a log the number of parts and whether it is dated
-- ahead (1 or 0), for a bucket its burst and drain; cost; extra.
-- Answers for each key: admitted, left, ms until more, ms until admitted (-1: never), time, extra taken.
--
-- What is under a key and does not have the form of what this script writes counts as nothing.
--
-- If the clock went back, a key's time (`at`) stands still until the clock has caught up, and what
-- there is to wait is counted from the clock's time.
--
-- A log is a string: the total in 4 bytes, then for each slot its time in 6 and its count in 4,
-- oldest first. A bucket: the time in 6 bytes, its debt in 8.
--
-- A key that several calls name is read once and written once: within a script time stands still. Functions
-- are few, because each call of the script makes them anew.

local now = tonumber(ARGV[1])
-- A clock of tests may be slower than the one by which keys expire.
local grace = 0
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  grace = 600000
end

local HEAD, SLOT, BUCKET = 4, 10, 14
local MOST_DEBT = 2 ^ 52
local call, pack, unpack = redis.call, struct.pack, struct.unpack
local floor, ceil, max = math.floor, math.ceil, math.max

-- What is left, and the milliseconds until there is more.
local function left_of(key)
  if key.kind == 'l' then
    local oldest = key.newest
    if key.slots ~= '' then oldest = unpack('>I6', key.slots) end
    return max(0, key.limit - key.total), oldest and oldest + key.window - now or 0
  end
  local room = max(0, key.one * key.window - key.debt)
  local left = floor(room / key.window)
  if key.debt == 0 then return left, 0 end
  return left, ceil(((left + 1) * key.window - room) / key.two) + key.at - now
end

local keys, answers, word, first = {}, {}, 2, 1
while KEYS[first] do
  local last, admitted = first + tonumber(ARGV[word]) - 1, true
  word = word + 1
  for index = first, last do
    local name, kind = KEYS[index], ARGV[word]
    local limit, window = tonumber(ARGV[word + 1]), tonumber(ARGV[word + 2])
    local one, two = tonumber(ARGV[word + 3]), tonumber(ARGV[word + 4])
    local cost, extra = tonumber(ARGV[word + 5]), tonumber(ARGV[word + 6])
    word = word + 7

    local key = keys[name]
    if key then
      -- Its kind and window are part of its name.
      key.limit, key.one, key.two, key.cost, key.extra = limit, one, two, cost, extra
    else
      -- All fields at once: a table that grows is made anew several times.
      key = {
        kind = kind, limit = limit, window = window, one = one, two = two, cost = cost, extra = extra,
        at = now, wait = 0,
        -- How long it is kept, if it was charged; and whether permits were taken ahead.
        ttl = false, leased = false,
        -- A log: all slots but the newest, packed, and the newest's time (or false) and count.
        total = 0, slots = '', newest = false, count = 0,
        -- A bucket.
        debt = 0,
      }
      keys[name] = key
      local raw = redis.pcall('GET', name)
      if type(raw) == 'table' then
        if not raw.err:find('WRONGTYPE') then return raw end
        raw = false
      end
      if raw and kind == 'l' and #raw > HEAD and (#raw - HEAD) % SLOT == 0 then
        local size, start, total = #raw, HEAD + 1, unpack('>I4', raw)
        local newest, count = unpack('>I6I4', raw, size - SLOT + 1)
        local at = newest
        if two == 1 then at = at - floor(window / one) - 1 end
        if at < now then at = now end
        while start < size do
          local dated, gone = unpack('>I6I4', raw, start)
          if dated + window > at then break end
          total, start = total - gone, start + SLOT
        end
        key.at = at
        if start < size and total > 0 then
          key.total, key.slots, key.newest, key.count = total, raw:sub(start, -SLOT - 1), newest, count
        end
      elseif raw and kind == 'g' and #raw == BUCKET then
        local since, debt = unpack('>I6I8', raw)
        key.at = max(now, since)
        key.debt = max(0, math.min(debt, MOST_DEBT) - (key.at - since) * two)
      end
    end

    local wait = 0
    if kind == 'l' then
      local missing, position, slots = key.total + cost - limit, 1, key.slots
      if cost > limit then
        wait = -1
      elseif missing > 0 then
        while missing > 0 and position < #slots do
          local dated, count = unpack('>I6I4', slots, position)
          missing, position = missing - count, position + SLOT
          wait = dated + window - now
        end
        if missing > 0 then wait = key.newest + window - now end
      end
    elseif cost > one then
      wait = -1
    else
      wait = max(0, ceil((key.debt + (cost - one) * window) / two))
      if wait > 0 then wait = wait + key.at - now end
    end
    key.wait = wait
    admitted = admitted and wait == 0
  end

  for index = first, last do
    local key, taken = keys[KEYS[index]], 0
    local at = key.at
    if admitted and key.cost > 0 then
      -- The last ones are left to whoever asks for them.
      if key.extra > 0 and not key.leased then taken = math.min(key.extra, floor((left_of(key) - key.cost) / 4)) end
      local amount = key.cost + taken
      if key.kind == 'l' then
        local window, parts, ahead = key.window, key.one, key.two == 1
        local dated = key.at
        if ahead then dated = ceil((floor(dated * parts / window) + 1) * window / parts) end
        if key.newest then
          local same = key.newest == dated
          if parts > 0 and not ahead then
            same = floor(key.newest * parts / window) == floor(dated * parts / window)
          end
          if same then
            amount = amount + key.count
          else
            key.slots = key.slots .. pack('>I6I4', key.newest, key.count)
          end
        end
        key.newest, key.count, key.total = dated, amount, key.total + key.cost + taken
        key.ttl = dated + window - now
        if ahead then key.at = max(now, dated - floor(window / parts) - 1) end
      else
        key.debt = key.debt + amount * key.window
        key.ttl = key.at - now + ceil(key.debt / key.two)
      end
      key.leased = key.leased or taken > 0
    end
    local left, more = left_of(key)
    answers[index] = { key.wait == 0 and 1 or 0, left, more, key.wait, at, taken }
  end
  first = last + 1
end

for name, key in pairs(keys) do
  if key.ttl then
    local value
    if key.kind == 'l' then
      value = pack('>I4', key.total) .. key.slots .. pack('>I6I4', key.newest, key.count)
    else
      value = pack('>I6I8', key.at, key.debt)
    end
    call('SET', name, value, 'PX', key.ttl + grace)
  end
end
return answers
