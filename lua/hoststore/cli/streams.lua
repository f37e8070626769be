-- stream append, read, version, list, verify.

local present = require "hoststore.cli.present"

local streams = {}

local function check_json(what, text)
  local _, message = require("hoststore.json").decode(text)
  if message then
    return nil, { code = "usage", message = ("%s is not JSON: %s"):format(what, message) }
  end
  return text:match "^[ \t\r\n]*(.*[^ \t\r\n])"
end

function streams.stream_append(store, options, out)
  if options.reason then
    return nil, { code = "usage", message = "an event of a stream has no reason; say it in --metadata" }
  end
  local text = options.data == "-" and out.stdin:read "*a" or options.data
  local data, metadata, err
  if text then
    data, err = check_json("the data", text)
  end
  if not err and options.metadata then
    metadata, err = check_json("the metadata", options.metadata)
  end
  if err then
    return nil, err
  end
  local result
  result, err = store:stream(options.stream):append({
    type = options.type,
    data = data,
    id = options.id,
    metadata = metadata,
  }, { expected = options.expected, json = true })
  if not result then
    return nil, err
  end
  local done = ("event %s is version %d of %s"):format(result.ids[1], result.last, options.stream)
  return out:answer(done .. (result.idempotent and " (it was there already)" or ""), function()
    return present.object(
      "first", present.json(result.first), "last", present.json(result.last),
      "position", present.json(result.position), "idempotent", present.json(result.idempotent or false),
      "ids", present.array(result.ids, present.json)
    )
  end)
end

function streams.stream_read(store, options, out)
  local events, err = store:stream(options.stream):read {
    from = options.from,
    to = options.to,
    limit = options.limit,
    direction = options.backward and "backward" or "forward",
    json = true,
  }
  if not events then
    return nil, err
  end
  return out:array(events, {
    columns = { "VERSION", "POSITION", "TIME", "ACTOR", "TYPE", "DATA" },
    cells = function(event)
      return {
        ("%d"):format(event.version), ("%d"):format(event.position), present.time(event.recorded_at),
        event.actor or "", event.type, present.stored(event.data),
      }
    end,
    json = present.event_json,
  })
end

function streams.stream_version(store, options, out)
  local version, err = store:stream(options.stream):version()
  if not version then
    return nil, err
  end
  out:value(present.json(version))
  return 0
end

function streams.stream_list(store, options, out)
  local found, err = store:streams {
    prefix = options.prefix,
    partition = options.partition,
    after = options.after,
    limit = options.limit,
  }
  if not found then
    return nil, err
  end
  return out:array(found, {
    columns = { "STREAM", "VERSION", "PARTITION", "CREATED", "UPDATED" },
    cells = function(stream)
      return {
        stream.stream, ("%d"):format(stream.version), ("%d"):format(stream.partition),
        present.time(stream.created_at), present.time(stream.updated_at),
      }
    end,
    json = present.stream_json,
  })
end

function streams.stream_verify(store, options, out)
  local result, err = store:stream(options.stream):verify()
  if not result then
    return nil, err
  end
  return require("hoststore.cli.upkeep").print_verified(result, { "events" }, out)
end

return streams
