--- Texts that try to become more than a text in whatever they are written to. None has a NUL or more than
--- 16 KiB, so that all can be comments.
local hostile = {}

local RECORDS = {
  "10.0.0.66 evil.lan", "10.0.0.66\tevil.lan", "host-record=evil.lan,10.0.0.66", "address=/evil.lan/10.0.0.66",
  "dhcp-script=/evil", 'local-data: "evil.lan. A 10.0.0.66"', "evil.lan. IN A 10.0.0.66", "$INCLUDE /etc/shadow",
  "set dhcp.evil=domain", '  - domain: "evil.lan"', '"evil.lan","10.0.0.66"',
  '{"ip":"10.0.0.66","hostname":"evil.lan"}', "[evil]", "touch evil",
}
local BREAKS = { "\n", "\r\n", "\r", "\11", "\12", "\194\133", "\226\128\168", "\226\128\169", '"\n', "'\n", "\\\n",
  "%>", " # ", " ; ", ";", "|", "&&", "," }

for _, record in ipairs(RECORDS) do
  hostile[#hostile + 1] = record
  for _, ending in ipairs(BREAKS) do
    hostile[#hostile + 1] = "x" .. ending .. record
    hostile[#hostile + 1] = "x" .. ending .. record .. ending .. "x"
  end
  -- Just where a reader with a buffer of 1024 bytes would begin a line anew, whatever stands before.
  hostile[#hostile + 1] = (" "):rep(1100) .. record
  hostile[#hostile + 1] = ("\n" .. record):rep(math.floor(10240 / #record))
end

for _, text in ipairs {
  "$(touch evil)", "`touch evil`", "$EVIL", "${EVIL}", "'; touch evil; '", '"; touch evil; "', "\\", "\\\\", '\\"',
  "\\'", "'", '"', "''", '""', "'\\''", "%", "%s%n", "%%", "<% evil() %>", "<%= evil %>", "{{evil}}", "#", "# evil",
  ";", "; evil", ",", ":", ": ", "- ", "? ", "| ", "> ", "& ", "* ", "! ", "%YAML", "---", "...", "[", "]", "{", "}",
  "@", "$", "$ORIGIN x", "( ", " )", "*", "=1+1", " x ", "\tx\t", " ", "\1\2\3\27[2J\127", "\194\128\194\159", "ä☃𝄞",
  "\239\187\191x", "\\n\\t\\e", "\\010", "\\032", "null", "true", "1e5", "0x1000000", "~", "<script>", "&amp;",
  ("a"):rep(10240), ('"'):rep(10240), ("\\"):rep(10240), ("ä"):rep(5000),
} do
  hostile[#hostile + 1] = text
end

--- All of them, and one that can be no comment and not stand in the environment.
hostile.with_nul = { "a\0b\0", (table.unpack or unpack)(hostile) }

return hostile
