-- The command line as users see it: every command, argument and option, and their help.

local argparse = require "argparse"
local values = require "hoststore.cli.values"

local unpack = table.unpack or unpack

local formats = require "hoststore.format"
local MODES = { "skip", "replace", "merge", "strict", "sync" }

local HOST_HELP = "Its id, host name, alias or address, if only one host has it."
local TIMES = [[
Times are ISO 8601 in UTC (2026-01-31, 2026-01-31T12:00:00Z),
or how long ago: 30m, 2h, 30d, 4w.]]
local GLOBALS = "Options such as --db, --tenant and --json: hoststore --help"

--- What stops the parsing: help or the version was asked for, or the arguments are wrong.
local Stop = {}

local function stop(what)
  error(setmetatable(what, Stop), 0)
end

local full_names = setmetatable({}, { __mode = "k" })

local function with_help(parser, full_name)
  full_names[parser] = full_name
  parser:help_max_width(80):usage_max_width(80)
  return parser:add_help {
    action = function() stop { answer = parser:get_help() } end,
  }
end

-- The name alone selects what is run; argparse would also set a field of that name, which an
-- option may need.
local function add(parent, name, summary, details, examples)
  local description = details and summary .. "\n\n" .. details or summary
  local epilog = examples and "Examples:\n" .. examples .. "\n" .. GLOBALS or GLOBALS
  return with_help(parent:command(name):target "_", full_names[parent] .. " " .. name)
    :summary(summary):description(description):epilog(epilog)
end

local function host_argument(command)
  command:argument("host", HOST_HELP)
  command:argument("hostname", "The host name, when HOST is an address several hosts share."):args "?"
end

local function filter_options(command)
  command:option("--ip", "This address, or all in a network: 192.168.1.0/24.")
  command:option("--hostname", "This host name or alias; * and ? stand for any text and any character.")
  command:option("--pattern", "Host names and aliases containing this text.")
    :argname "<text>":target "hostname_pattern"
  command:option("--ip-pattern", "Addresses containing this text."):argname "<text>"
  command:option("--text", "This text in the address, a name, the comment or a tag.")
  command:option("--tag", "Hosts with this tag; given several times: with any of them.")
    :count "*":target "tags"
  command:option("--all-tags", "Hosts with all of these tags."):argname "<tag,...>":target "tags_all"
  command:option("--no-tag", "Hosts without this tag (may be repeated).")
    :count "*":argname "<tag>":target "tags_none"
  command:mutex(
    command:flag("--enabled", "Hosts that are published."):target "enabled",
    command:flag("--disabled", "Hosts that are not."):target "disabled"
  )
  command:option("--origin", "Hosts of this owner: admin, dhcp, import:NAME.")
  for _, event in ipairs { "created", "updated" } do
    command:option(("--%s-since"):format(event), ("Hosts %s at or after this time."):format(event))
      :argname "<time>":convert(values.past)
    command:option(("--%s-until"):format(event), ("Hosts %s at or before this time."):format(event))
      :argname "<time>":convert(values.past)
  end
  command:option("--order", "The order: ip (by number), ip_text, hostname, created or updated.")
    :choices { "ip", "ip_text", "hostname", "created", "updated" }:argname "<order>"
  command:flag("--desc", "The other way round."):target "descending"
  command:option("--limit", "At most so many."):argname "<n>":convert(values.whole)
  command:option("--offset", "Without the first so many."):argname "<n>":convert(values.whole)
end

local function list_options(command)
  filter_options(command)
  command:flag("-l --long", "Also show id, version, owner and times.")
  command:flag("--count", "Only say how many they are.")
end

local function source_options(command)
  command:argument("file", "The file to read; - is standard input.")
  command:option("--format", "Its format; by default its name tells, or it is a hosts file.")
    :choices(formats.readable):argname "<format>"
  command:option("--origin", "Whose hosts these are, such as import:lab.")
end

local function host_commands(parser)
  local command = add(parser, "add", "Add a host.", nil, [[
   hoststore add 192.168.1.20 nas.lan nas --tag storage --comment "in the cellar"
   hoststore add 192.168.1.99 guest.lan --expires 2d]])
  command:argument("ip", "Its IPv4 or IPv6 address.")
  command:argument("hostname", "Its host name.")
  command:argument("alias", "Further names."):args "*":target "aliases"
  command:option("--comment", "What people should know about it.")
  command:option("--tag", "A tag (may be repeated)."):count "*":target "tags"
  command:flag("--disabled", "Keep it, but do not publish it.")
  command:option("--expires", "When it stops being published: a time, or in how long (2h, 30d).")
    :argname "<time>":convert(values.future)
  command:option("--origin", "Whose host it is: admin (default), dhcp, import:NAME.")

  list_options(add(parser, "list", "List hosts.", TIMES, [[
   hoststore list --tag printer --order hostname
   hoststore list --ip 192.168.1.0/24 --updated-since 1d --json
   hoststore list --text cellar --count]]))

  command = add(parser, "show", "Show one host with everything known about it.", nil, [[
   hoststore show nas.lan
   hoststore show 192.168.1.20 nas.lan --json]])
  host_argument(command)

  command = add(parser, "set", "Change fields of a host.", [[
Fields: ip, hostname, aliases, comment, tags, enabled, expires_at, origin.
Lists are separated by commas; with + or - before every word, words are added
to the list or removed. An empty value clears a field.
expires_at takes a time, or in how long (2h, 30d).]], [[
   hoststore set nas.lan ip=192.168.1.21 --reason "new switch"
   hoststore set nas.lan tags=+backup,-old comment= enabled=yes]])
  command:argument("host", HOST_HELP)
  command:argument("change", [[
A field=value. Before the first may stand the host name,
when HOST is an address several hosts share.]])
    :args "+":target "changes"
  command:option("--expected", "Refuse if the host is not at this version.")
    :argname "<version>":convert(values.whole)

  command = add(parser, "rm", "Delete a host. Its history stays.", nil, [[
   hoststore rm nas.lan --reason "sold"]])
  host_argument(command)
  command:option("--expected", "Refuse if the host is not at this version.")
    :argname "<version>":convert(values.whole)
end

local function history_commands(parser)
  local command = add(parser, "history", "Show what happened to one host, newest last.",
    "A deleted host is named by its id.", [[
   hoststore history nas.lan]])
  host_argument(command)
  command:option("--limit", "Only the newest so many changes."):argname "<n>":convert(values.whole)

  command = add(parser, "log", "Show the newest changes, newest last.", TIMES, [[
   hoststore log --limit 10
   hoststore log --since 1d --by alice
   hoststore log --after 1200 --ndjson]])
  command:option("--limit", "So many changes (default: 50)."):argname "<n>":convert(values.whole)
  command:option("--after", "The oldest after this position instead of the newest.")
    :argname "<position>":convert(values.whole)
  command:option("--since", "Changes at or after this time."):argname "<time>":convert(values.past)
  command:option("--by", "Changes this actor made."):argname "<actor>"
  command:option("--type", "Events of this type (may be repeated): HostCreated, HostDeleted, ...")
    :count "*":target "types"
  command:option("--stream", "Events of this stream.")

  command = add(parser, "at", "List the hosts as they were at a time, position or snapshot.", TIMES, [[
   hoststore at 2026-01-31 --tag printer
   hoststore at 2h
   hoststore at --position 1200 --json]])
  local moment = command:argument("time", "When."):args "?":convert(values.past)
  command:mutex(moment,
    command:option("--position", "As of this position in the log."):argname "<n>":convert(values.whole),
    command:option("--snapshot", "As of this snapshot."):argname "<id>"
  )
  list_options(command)

  command = add(parser, "diff", "Show which hosts differ between two moments.",
    "A moment is a time, a position in the log, or the id of a snapshot.\n" .. TIMES, [[
   hoststore diff 1d
   hoststore diff 1200 1300 --json]])
  command:argument("from", "The earlier moment."):convert(values.moment)
  command:argument("to", "The later moment (default: now)."):args "?":convert(values.moment)

  command = add(parser, "undo", "Take back the event at a position, unless it was overtaken since.",
    "Undoing is a change of its own; it can be undone too.", [[
   hoststore log
   hoststore undo 1203]])
  command:argument("position", "The position in the log."):convert(values.whole)
end

local function file_commands(parser)
  local command = add(parser, "import", "Import hosts from a file, all in one transaction.", [[
Modes:
   skip     a host that exists is left alone (default)
   replace  its comment, tags and aliases become the file's
   merge    tags and aliases are united, a comment is only filled in
   strict   a duplicate or a bad line refuses everything
   sync     replace, and hosts of this origin missing from the file are deleted]], [[
   hoststore import /etc/hosts
   hoststore import lab.csv --origin import:lab --mode sync --max-deletes 10%
   hoststore import /etc/config/dhcp --format uci
   ssh router cat /etc/hosts | hoststore import - --dry-run]])
  source_options(command)
  command:option("--mode", "What becomes of hosts that exist (see above)."):choices(MODES):argname "<mode>"
  command:flag("--dry-run", "Only say what would happen.")
  command:option("--max-deletes", "Refuse if more would be deleted: a number, or 10%.")
    :argname "<n>":convert(values.share)

  command = add(parser, "export", "Write hosts in a format other programs read.", [[
Formats:
   hosts                a hosts file: what resolvers read
   json, ndjson, csv    everything about the hosts, to be imported again
   dnsmasq, unbound     records for their configuration
   bind, bind_reverse   a zone file, and one for the zone of the addresses
   uci                  commands for OpenWrt's "uci batch"
   pihole, adguard      the local records of Pi-hole and AdGuard Home
All but json, ndjson and csv leave out disabled and expired hosts. Which zone it is, the server says: --hostname and
--ip leave out what is not of it; a name without a dot is one of the zone, and in bind_reverse stands alone.]], [[
   hoststore export hosts
   hoststore export csv hosts.csv --tag printer
   hoststore export unbound /etc/unbound/hosts.conf && unbound-checkconf
   hoststore export bind --hostname "*.lan"
   hoststore export bind_reverse --ip 192.168.1.0/24]])
  command:argument("format", "The format (see above)."):convert(values.writable_format)
  command:argument("file", "The file to write (default: standard output)."):args "?"
  filter_options(command)

  command = add(parser, "render", "Write what a template makes of the hosts.", [[
Templates have LuCI's syntax:
   <% for host in hosts() do -%>
   <%= host.ip %> <%= host.hostname %>
   <% end -%>
They find hosts(), by_ip(), by_tag(), by_domain(), count, position and tenant.
What they write is quoted or escaped for the format where it has to be;
raw(value), quote(value) and comment(value) say otherwise. Disabled and
expired hosts are left out.

Formats: hosts, dnsmasq, unbound, bind, bind_reverse, uci, pihole, adguard,
json, ndjson, csv, shell, and text (default): all on one line.]], [[
   hoststore render --format dnsmasq guests.tmpl /tmp/dnsmasq.d/guests.conf]])
  command:argument("template", "The file of the template; - is standard input.")
  command:argument("file", "The file to write (default: standard output)."):args "?"
  command:option("--format", "What texts are escaped for (see above)."):argname "<format>"
  filter_options(command)

  command = add(parser, "plan", "Show what importing a file would change.", nil, [[
   hoststore plan lab.csv --origin import:lab --mode sync]])
  source_options(command)
  command:option("--mode", "What becomes of hosts that exist: see hoststore import --help.")
    :choices(MODES):argname "<mode>"

  command = add(parser, "publish", "Write the hosts file, if it would differ.", [[
The file is replaced in one step, keeping its mode and owner; symbolic links
are followed. Disabled and expired hosts are left out. Without a file, all
outputs are published, and the exit code is 1 when one failed.
Modes:
   file        the file is replaced (default)
   in-place    the same file gets another content: for one that is bind-mounted
   block       only what stands between two marker lines is ours
   dir-shards  a directory of small files, for dnsmasq's hostsdir
A file that was changed by hand since, or that hoststore has not published,
is left alone, and the change shown. --adopt writes what was changed in it, and
nothing else, into the store; what was changed there too is a conflict.
A reload that failed is tried again by the next publish; --dry-run tells of
the last one that failed, and whether one is due.
The words of a command are separated by blanks; no shell reads them.]], [[
   hoststore publish /tmp/hosts/hoststore --reload "/etc/init.d/dnsmasq reload"
   hoststore publish /etc/hosts --mode block
   hoststore publish --outputs /etc/hoststore/outputs.json]])
  command:argument("file", "The file to write, or the directory of shards."):args "?"
  command:option("--outputs", "Publish what this JSON file lists."):argname "<file>":convert(values.name)
  command:option("--mode", "How it is written (see above).")
    :choices { "file", "in-place", "block", "dir-shards" }:argname "<mode>"
  command:option("--name", "The name in the markers of a block and of shards\n(default: hosts).")
    :argname "<name>":convert(values.name)
  command:flag("--header", "Begin with a comment that says what wrote the file.")
  command:option("--check", "A command that has to accept the new file, {path},\nbefore it is used.")
    :argname "<command>":convert(values.name)
  command:option("--reload", "A command to run when something was written,\nor when it failed the last time.")
    :argname "<command>":convert(values.name)
  command:option("--reload-delay", "Wait so many seconds for more changes first.")
    :argname "<seconds>":convert(values.seconds)
  command:mutex(
    command:flag("--force", "Overwrite what was changed by hand."),
    command:flag("--adopt", "Import what was changed by hand, then publish.")
  )
  command:option("--max-deletes", "With --adopt: refuse if more would be deleted, a number\n"
    .. "or 10% (default: 3 hosts or 30% of a file, none where\nno host is left in it).")
    :argname "<n>":convert(values.share)
  command:flag("--dry-run", "Only say what would be written or adopted.")

  command = add(parser, "backup", "Write a consistent copy of the database to a file.",
    "An existing file is replaced, once the copy is whole.", [[
   hoststore backup /mnt/usb/hoststore-2026-01-31.db]])
  command:argument("file", "The file to write.")
end

local function copy_commands(parser)
  local command = add(parser, "copy", "Copy the whole log into an empty tenant of another database.", [[
Ids, versions, positions, times, snapshots, saved states and feeds stay as they
are.
The copy is read back and verified before it is committed.]], [[
   hoststore copy /etc/hoststore/hoststore.db postgres://db.lan/hosts
   hoststore copy --tenant site1 postgres://db.lan/hosts site1.db --to-tenant default]])
  command:argument("from", "The database to copy: a path or a URL."):target "source":convert(values.name)
  command:argument("to", "The database to copy to; it is made when it is missing."):convert(values.name)
  command:option("--to-tenant", "The tenant to copy to (default: that of --tenant).")
    :argname "<name>":convert(values.name)

  command = add(parser, "dump", "Write the whole log as text, one record a line.", nil, [[
   hoststore dump | gzip >hoststore.ndjson.gz]])
  command:argument("file", "The file to write (default, and -: standard output)."):args "?":default "-"

  command = add(parser, "load", "Read a dump into an empty tenant.",
    "All of it or nothing: it is read back and verified before it is committed.", [[
   gunzip <hoststore.ndjson.gz | hoststore --db new.db load]])
  command:argument("file", "The dump (default, and -: standard input)."):args "?":default "-"
end

local function sql_command(parser)
  local command = add(parser, "sql", "Ask a SELECT of the database.", [[
It reads the views and tables that README lists, of all tenants, and can do
nothing but that. $1, $2 ... stand for the values of --param, which are texts;
a CAST makes something else of one.]], [[
   hoststore sql 'SELECT hostname, COUNT(*) AS changes FROM host_events GROUP BY hostname'
   hoststore sql "SELECT * FROM host_entries_history WHERE actor = \$1" --param alice --csv]])
  command:argument("sql", "The SELECT."):args(1)
  command:option("--param", "The value of the next parameter."):count "*":argname "<text>"
  command:option("--limit", "At most so many rows (default: 10000)."):argname "<n>":convert(values.whole)
  command:option("--timeout", "Give up after so many seconds (default: 60)."):argname "<seconds>"
    :convert(values.seconds)
  command:flag("--csv", "Answer in CSV, with the names of the columns in the first line.")
end

local function snapshot_commands(parser)
  local snapshot = add(parser, "snapshot", "Keep rendered hosts files to compare with and return to.")
  snapshot:command_target "subcommand"

  local command = add(snapshot, "create", "Take a snapshot of the hosts as they are.", nil, [[
   hoststore snapshot create --name "before the move"]])
  command:option("--name", "A name for it.")
  command:option("--trigger", "What took it (default: manual).")

  command = add(snapshot, "list", "List snapshots, newest first.")
  command:option("--limit", "At most so many."):argname "<n>":convert(values.whole)
  command:option("--offset", "Without the first so many."):argname "<n>":convert(values.whole)

  command = add(snapshot, "show", "Show a snapshot.")
  command:argument("id", "Its id.")
  command:flag("--content", "Write the hosts file it holds instead.")

  command = add(snapshot, "rm", "Delete a snapshot. The log keeps what it was made of.")
  command:argument("id", "Its id.")

  command = add(parser, "restore", "Bring the hosts back to a snapshot.",
    "Only hosts that differ are changed.\nA snapshot of the present state is taken first.", [[
   hoststore restore 01KA1B2C3D4E5F6G7H8J9KMNPQ --dry-run]])
  command:argument("id", "The id of the snapshot.")
  command:flag("--dry-run", "Only say what would happen.")

  command = add(parser, "retention", "Delete old snapshots.", "Without a limit nothing is deleted.", [[
   hoststore retention --max-count 30 --max-age 90d
   hoststore retention --policy --dry-run]])
  command:option("--max-count", "Keep the newest so many."):argname "<n>":convert(values.whole)
  command:option("--max-age", "Delete those older than this: 30d, 4w."):argname "<age>":convert(values.age)
  command:flag("--policy", "Do what the retention rules of the policies say, of expired hosts too.")
  command:flag("--dry-run", "With --policy: only say what would happen.")
  command:flag("--force", "The clock is right, though the log does not look like it.")
end

local function policy_commands(parser)
  local policy = add(parser, "policy", "Check, test and apply policies: rules in Lua for every host that is written.",
    "Scripts are all *.lua of /etc/hoststore/policies, or of ?policies=DIR in --db.")
  policy:command_target "subcommand"

  local command = add(policy, "check", "Compile the scripts, try their outputs, and say what is wrong in which line.")
  command:argument("directory", "Where the scripts are."):args "?"

  command = add(policy, "test", "Run the test cases that the scripts bring along.",
    "Exits with 1 when one of them fails. No database is needed.")
  command:argument("directory", "Where the scripts are."):args "?"

  command = add(policy, "explain", "Show what each rule says of a host.",
    "An address and a name may be those of a host that is not there: then it is as if it were added.", [[
   hoststore policy explain nas.lan
   hoststore policy explain 192.168.20.9 camera --tag new]])
  host_argument(command)
  command:option("--tag", "A tag of a host that is not there (may be repeated)."):count "*":target "tags"

  command = add(policy, "apply", "Tag the hosts that are there as the rules would today.",
    "Hosts that would be refused today are named and left alone.", [[
   hoststore policy apply --dry-run]])
  command:flag("--dry-run", "Only say what would happen.")
end

local function stream_commands(parser)
  local stream = add(parser, "stream", "Read and append events of your own.",
    "Streams of hosts (host-...) can be read; host commands alone write them.")
  stream:command_target "subcommand"

  local command = add(stream, "append", "Append an event.", nil, [[
   hoststore stream append order-1 OrderPlaced '{"total": 12}' --expected none
   generate-report | hoststore stream append reports Report -]])
  command:argument("stream", "The stream.")
  command:argument("type", "The type of the event.")
  command:argument("data", "Its data as JSON; - reads it from standard input."):args "?"
  command:option("--expected", "The version the stream must be at: any (default), none, exists, or a number.")
    :argname "<version>":convert(values.expected)
  command:option("--id", "The event's id, a ULID: appending it again changes nothing.")
  command:option("--metadata", "More about the event, as JSON."):argname "<json>"

  command = add(stream, "read", "Read the events of a stream.", nil, [[
   hoststore stream read order-1 --from 3 --ndjson
   hoststore stream read order-1 --backward --limit 1]])
  command:argument("stream", "The stream.")
  command:option("--from", "The first version."):argname "<version>":convert(values.whole)
  command:option("--to", "The last version."):argname "<version>":convert(values.whole)
  command:option("--limit", "At most so many."):argname "<n>":convert(values.whole)
  command:flag("--backward", "Newest first.")

  command = add(stream, "version", "Print the version a stream is at; 0 if it has no events.")
  command:argument("stream", "The stream.")

  command = add(stream, "list", "List streams.")
  command:option("--prefix", "Streams whose names begin so.")
  command:option("--partition", "Streams of this partition, 0 to 31."):argname "<n>":convert(values.whole)
  command:option("--after", "Streams whose names sort after this one."):argname "<stream>"
  command:option("--limit", "At most so many."):argname "<n>":convert(values.whole)

  command = add(stream, "verify", "Check that a stream has no gaps.")
  command:argument("stream", "The stream.")
end

local function feed_commands(parser)
  local feed = add(parser, "feed", "Work through the log at one's own pace.", [[
A feed is a cursor over the log that is kept in the database. Who reads it
claims it: a reader of before is refused from then on.]])
  feed:command_target "subcommand"

  add(feed, "list", "List feeds: where they are, and how many events are left.")

  local command = add(feed, "read", "Print the events behind the cursor, which stays where it is.", nil, [[
   hoststore feed read backup --limit 20 --ndjson
   hoststore feed read backup --epoch]])
  command:argument("name", "The feed; it is made when it is not there.")
  command:option("--limit", "At most so many (default: 100)."):argname "<n>":convert(values.whole)
  command:flag("--epoch", "Also print the epoch, which ack takes.")

  command = add(feed, "ack", "Move the cursor on: all events up to the position are done with.",
    "It never goes back.", [[
   hoststore feed ack backup 1200
   hoststore feed ack backup 1200 --epoch 7]])
  command:argument("name", "The feed; it is made when it is not there.")
  command:argument("position", "The position of the last event that is done."):convert(values.whole)
  command:option("--epoch", "Refuse if another reader has claimed the feed since.")
    :argname "<n>":convert(values.epoch)

  command = add(feed, "rm", "Delete a feed. The next of its name begins at the start.")
  command:argument("name", "The feed.")

  command = add(parser, "follow", "Print events as they come.", [[
With --feed it goes on where the feed stands, and moves the feed on behind what
it has printed: after a crash some events come again, none is left out.]], [[
   hoststore follow --after 1200 --ndjson
   hoststore follow --prefix host- --timeout 0
   hoststore follow --feed mailer --type HostCreated]])
  command:mutex(
    command:option("--after", "Begin behind this position (default: 0)."):argname "<position>":convert(values.whole),
    command:option("--feed", "Begin where this feed stands, and move it on."):argname "<name>"
      :convert(values.name)
  )
  command:option("--stream", "Events of this stream.")
  command:option("--prefix", "Events of streams whose names begin so.")
  command:option("--type", "Events of this type (may be repeated)."):count "*":target "types"
  command:option("--timeout", "End when no event has come for so long: 30, 5m; 0 is at the end of the log.")
    :argname "<time>":convert(values.age)
end

-- Options of the command hotplug that a word belongs to.
local HOTPLUG_OPTIONS = { ["--db"] = true, ["--tenant"] = true, ["--actor"] = true, ["--reason"] = true,
  ["--leases"] = true, ["--format"] = true, ["--max-deletes"] = true, ["--spool"] = true }

-- What clients call themselves is no option: behind the first word of an event, all is part of it.
local function end_options(words)
  local at, is_hotplug = 1, false
  while words[at] and words[at] ~= "--" do
    local word = words[at]
    if word:find "^%-" then
      at = at + (HOTPLUG_OPTIONS[word] and 2 or 1)
    elseif word == "hotplug" and not is_hotplug then
      is_hotplug, at = true, at + 1
    else
      local ended = { unpack(words) }
      if is_hotplug then
        table.insert(ended, at, "--")
      end
      return ended
    end
  end
  return words
end

local function hotplug_commands(parser)
  local command = add(parser, "hotplug", "Take an event of a lease: from dnsmasq, or from OpenWrt's hotplug.d.", [[
The event is what dnsmasq gives to its --dhcp-script (add, old
or del, MAC address or DUID, address, name), or what stands in the environment
for a subsystem of hotplug.d (dhcp, ntp, iface; others, such as neigh, are
passed over). It waits in a spool until a process in the background, one at a
time, brings all that is there into the database. Options stand before the
event, and count more than the environment; each database and tenant needs a
spool of its own, and has one by default.
Environment: HOSTSTORE_SPOOL (below /tmp/hoststore), HOSTSTORE_DB,
HOSTSTORE_TENANT, HOSTSTORE_LEASE_EXPIRY (no: leases get no end),
HOSTSTORE_ON_CHANGE (a program to run when hosts have changed).]], [[
   dnsmasq --dhcp-script=SCRIPT    # SCRIPT: exec hoststore hotplug -- "$@"
   hoststore hotplug dhcp          # in /etc/hotplug.d/dhcp
   hoststore hotplug --drain       # from cron: what had to wait
   hoststore hotplug --leases /tmp/dhcp.leases --leases /tmp/odhcpd.leases]])
  command:argument("event", "The event."):args "*"
  command:mutex(
    command:flag("--drain", "Bring the events of the spool into the database now."),
    command:option("--leases", "Bring the leases in step with this file of a server (repeat for all servers).")
      :count "*":argname "<file>"
  )
  command:option("--format", "The format of --leases: leases (dnsmasq) or odhcpd; by default the file's name tells.")
    :choices { "leases", "odhcpd" }:argname "<format>"
  command:option("--max-deletes", "With --leases: refuse if more would be deleted, a number or\n"
    .. "10%. Without it nothing is deleted while a file is empty.")
    :argname "<n>":convert(values.share)
  command:option("--spool", "The directory of the spool."):argname "<directory>"
end

local function upkeep_commands(parser)
  add(parser, "verify", "Prove that the hosts are what the log says, and that nothing is missing.",
    "Reads everything. Exits with 1 if something is wrong, after saying exactly what.")
  add(parser, "stats", "Show how much the database holds and how it works.")
  add(parser, "check", "Check quickly that the database can be used.")
  add(parser, "version", "Print the version of hoststore.")
end

local function root()
  local parser = with_help(argparse("hoststore")
    :description [[
Keeps the host names of a network in a database that forgets nothing:
who changed what, when and why, and what it was before.]]
    :epilog [[
Examples:
   hoststore add 192.168.1.20 nas.lan nas --tag storage
   hoststore list --tag storage
   hoststore set nas.lan ip=192.168.1.21 --reason "new switch"
   hoststore log
   hoststore import /etc/hosts
   hoststore publish /tmp/hosts/hoststore
   hoststore COMMAND --help

Options may stand before or after the command.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found,
4 conflict or duplicate, 5 busy.
Environment: HOSTSTORE_DB, HOSTSTORE_ACTOR, HOSTSTORE_RUN, NO_COLOR.]]
    :command_target "command", "hoststore")
  parser:option("--db", "The database: a path or a URL\n(default: $HOSTSTORE_DB or /etc/hoststore/hoststore.db).")
    :argname "<url>":convert(values.name)
  parser:option("--tenant", "The log to work on, when the database holds several.")
    :argname "<name>":convert(values.name)
  parser:option("--actor", "Who makes the change\n(default: $HOSTSTORE_ACTOR or the login name).")
    :argname "<name>":convert(values.name)
  parser:option("--reason", "Why the change is made."):argname "<text>"
  parser:flag("--json", "Answer in JSON.")
  parser:flag("--ndjson", "Answer in JSON, lists as one object a line.")
  parser:flag("--readonly", "Open the database for reading only, whatever the command.")
  parser:flag("--version", "Print the version of hoststore."):target "_"
    :action(function() stop { version = true } end)
  function parser:error(message)
    stop { message = (message:gsub("\n", " ")), hint = full_names[self] .. " --help" }
  end
  return parser
end

local arguments = {}

--- Reads the words of a command line.
---@param words string[]
---@return table? options  `command` (and `subcommand`), and what was given
---@return table? stopped  `answer` (help) or `version` was asked for; else wrong usage: `message`, `hint`
function arguments.parse(words)
  local parser = root()
  host_commands(parser)
  history_commands(parser)
  file_commands(parser)
  copy_commands(parser)
  sql_command(parser)
  snapshot_commands(parser)
  policy_commands(parser)
  stream_commands(parser)
  feed_commands(parser)
  hotplug_commands(parser)
  upkeep_commands(parser)
  local ok, result = pcall(parser.parse, parser, end_options(words))
  if ok then
    return result
  elseif getmetatable(result) == Stop then
    return nil, result
  end
  error(result, 0)
end

return arguments
