-- Compiles the statements of sql/ into C.
--   lua compile.lua names            the enum of statement names
--   lua compile.lua tables BACKEND   the texts of one backend, and its migrations: the files BACKEND/NUMBER_*.sql,
--                                    the first with views.sql behind it
-- The result goes to standard output. Run it in sql/.

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local function read_statements(path)
  local order, text = {}, {}
  local name
  local file = io.open(path)
  if not file then return order, text end
  for line in file:lines() do
    local named = line:match("^%-%- name: ([%w_]+)")
    if named then
      assert(not text[named], path .. ": " .. named .. " stands twice")
      name, order[#order + 1], text[named] = named, named, ""
    elseif name and not line:match("^%s*%-%-") and line:match("%S") then
      text[name] = text[name] .. line .. "\n"
    end
  end
  file:close()
  return order, text
end

local function c_string(text)
  return (text:gsub("([^\n]*)\n", function(line)
    return '\t"' .. line:gsub('[\\"]', "\\%0"):gsub("\t", "\\t") .. '\\n"\n'
  end))
end

local function print_names()
  local order = read_statements("queries.sql")
  print("/* Made by sql/compile.lua from sql/queries.sql. */")
  print("#ifndef HS_SQL_H\n#define HS_SQL_H\n\nenum hs_sql {")
  for _, name in ipairs(order) do print("\tHS_SQL_" .. name:upper() .. ",") end
  print("\tHS_SQL_COUNT\n};\n\n#endif")
end

local function print_tables(backend)
  local order, text = read_statements("queries.sql")
  local _, own = read_statements(backend .. "/queries.sql")
  for name, statement in pairs(own) do
    assert(text[name], backend .. "/queries.sql: no statement is called " .. name)
    text[name] = statement
  end
  print("/* Made by sql/compile.lua from sql/queries.sql and sql/" .. backend .. ". */")
  print("static const char *const statements[HS_SQL_COUNT] = {")
  for _, name in ipairs(order) do
    assert(text[name]:match("%S"), backend .. " has no text for " .. name)
    print("\t[HS_SQL_" .. name:upper() .. "] =\n" .. c_string(text[name]) .. "\t,")
  end
  print("};\n\nstatic const char *const migrations[] = {")
  local number = 1
  while true do
    local found
    for _, path in ipairs(arg) do
      if path:match(("/%03d_[%%w_]+%%.sql$"):format(number)) then found = path end
    end
    if not found then break end
    print(c_string(read(found) .. (number == 1 and read("views.sql") or "")) .. "\t,")
    number = number + 1
  end
  print("};")
end

if arg[1] == "names" then print_names() else print_tables(arg[2]) end
