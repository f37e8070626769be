--- Questions about a log, in SQL that SQLite, PostgreSQL and DuckDB understand alike. Where they do not, there
--- is a word in braces, and below what stands for it on each:
---   {tags}  the tags of a row of host_events, a row each, with the column `tag.value`
--- Times are microseconds since 1970, so a week is arithmetic. `/` is not: DuckDB divides to fractions.
--- $1 is the tenant.
local questions = {}

local WORDS = {
  tags = {
    sqlite = "json_each(host_events.tags) AS tag",
    postgres = "json_array_elements_text(host_events.tags) AS tag (value)",
    duckdb = [[UNNEST(from_json(host_events.tags, '["VARCHAR"]')) AS tag (value)]],
  },
}

--- In the order they are asked. The Monday a week began: 1970-01-05 was one.
questions.list = {
  {
    name = "churn", title = "Changes per tag and week",
    sql = [[
SELECT recorded_at - (recorded_at - 345600000000) % 604800000000 AS week, tag.value AS tag, COUNT(*) AS changes
FROM host_events
CROSS JOIN {tags}
WHERE host_events.tenant = $1
GROUP BY 1, 2
ORDER BY 1, 2]],
  },
  {
    name = "flapping", title = "Leases that come back within ten minutes",
    sql = [[
SELECT hostname, COUNT(*) AS flaps, MIN(away) AS shortest, MAX(away) AS longest
FROM (
	SELECT hostname, type, recorded_at - LAG(recorded_at) OVER names AS away, LAG(type) OVER names AS before
	FROM host_events
	WHERE tenant = $1 AND type IN ('HostCreated', 'HostDeleted')
	WINDOW names AS (PARTITION BY hostname ORDER BY position)
) AS steps
WHERE type = 'HostCreated' AND before = 'HostDeleted' AND away < 600000000
GROUP BY hostname
ORDER BY flaps DESC, hostname
LIMIT 10]],
  },
  {
    name = "actors", title = "Who changed most",
    sql = [[
SELECT actor, COUNT(*) AS events, COUNT(DISTINCT stream) AS hosts, MIN(recorded_at) AS first, MAX(recorded_at) AS last
FROM host_events
WHERE tenant = $1
GROUP BY actor
ORDER BY events DESC, actor]],
  },
  {
    name = "oldest", title = "Names that lived longest",
    sql = [[
SELECT hostname, until - since AS lived
FROM (
	SELECT hostname, MIN(recorded_at) OVER (PARTITION BY stream) AS since,
		CASE type WHEN 'HostDeleted' THEN recorded_at ELSE MAX(recorded_at) OVER () END AS until,
		ROW_NUMBER() OVER (PARTITION BY stream ORDER BY version DESC) AS newest
	FROM host_events
	WHERE tenant = $1
) AS lives
WHERE newest = 1
ORDER BY lived DESC, hostname
LIMIT 10]],
  },
  {
    name = "fields", title = "Which fields were changed, and by how many",
    sql = [[
SELECT field, COUNT(*) AS changes, COUNT(DISTINCT actor) AS actors
FROM host_entries_history
WHERE tenant = $1 AND field IS NOT NULL
GROUP BY field
ORDER BY changes DESC, field]],
  },
}

--- The text of a question for a store.
function questions.sql(question, store)
  local backend = assert(store:stats()).backend
  return (question.sql:gsub("{(%w+)}", function(word) return WORDS[word][backend] end))
end

--- Asks one; `timeout` in seconds.
function questions.ask(store, question, timeout)
  return store:query(questions.sql(question, store), { assert(store:stats()).tenant }, { timeout = timeout })
end

return questions
