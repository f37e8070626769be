std = "min"
max_line_length = 120

files["spec/**/*_spec.lua"] = { std = "min+busted" }
files["spec/support"] = { std = "min+busted" }
files["spec/conformance"] = { std = "min+busted" }
