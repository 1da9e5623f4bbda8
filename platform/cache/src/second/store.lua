-- Keeps a value if the lease is still this node's, and ends the lease.
-- KEYS: lease, value. ARGV: token, value, milliseconds.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[1])
return 1
