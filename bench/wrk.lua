-- wrk's request and report. Arguments: "keep" or "close", then the addresses to spread over (for "close").
-- A connection per request would use up the ephemeral ports towards one address.

local addresses = {}
local request_text

function init(args)
   local close = args[1] == "close"
   wrk.headers["Connection"] = close and "close" or nil
   request_text = wrk.format("GET", wrk.path)
   if close then
      for i = 2, #args do
         addresses[#addresses + 1] = wrk.lookup(args[i], "80")[1]
      end
   end
end

function request()
   if #addresses > 0 then
      -- Where the next connections go. By chance, not in turn: wrk reconnects in batches, and whenever the size of a
      -- batch is a multiple of the number of addresses, turns would come back to the same one.
      wrk.thread.addr = addresses[math.random(#addresses)]
   end
   return request_text
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      'RESULT {"requests": %d, "duration_us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, ' ..
      '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
      summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
      e.connect, e.read, e.write, e.status, e.timeout))
end
