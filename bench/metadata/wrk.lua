-- What came of a run, as JSON on the last line. With an argument, each connection rests so many
-- milliseconds before a request.
function init(arguments)
    local rest = tonumber(arguments[1])
    if rest then
        delay = function() return rest end
    end
end

function done(summary, latency, requests)
    local failed = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d}\n',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        failed.connect + failed.read + failed.write + failed.status + failed.timeout))
end
