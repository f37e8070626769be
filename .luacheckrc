std = "min"
max_line_length = 120
-- Where one of the two is missing the other one is there.
read_globals = { "unpack", table = { fields = { "unpack" } } }

files["spec/**/*_spec.lua"] = { std = "min+busted" }
files["spec/support"] = { std = "min+busted" }
files["spec/conformance"] = { std = "min+busted" }
files["examples/policies"] = { read_globals = { "normalise", "tag", "validate", "on", "retention", "output", "test",
  "ip_in", "null" } }
