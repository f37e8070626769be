--- What busted needs of LuaSystem, for machines it is not built for: the time, which is all that it asks.
return { gettime = os.time, monotime = os.time }
