--- What busted needs of lua-term, for machines it is not built for.
return { isatty = function() return false end }
