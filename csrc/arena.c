/* arena.c -- memory that is freed all at once.
 *
 * What a call returns lives in one arena; whoever made the arena frees it. Chunks form a stack,
 * so a mark taken earlier can be returned to. */
#include <stdlib.h>
#include <string.h>

#include "hs.h"

enum { CHUNK_SIZE = 16 * 1024 - 64 };

struct hs_chunk {
	struct hs_chunk *below;
	size_t used, size;
	max_align_t data[];
};

static size_t aligned(size_t size)
{
	return (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
}

static void *fail(struct hs_arena *arena)
{
	arena->is_out = true;
	return NULL;
}

void *hs_alloc(struct hs_arena *arena, size_t size)
{
	struct hs_chunk *top = arena->chunks;
	void *memory;

	if (size > SIZE_MAX / 2)
		return fail(arena);
	size = aligned(size);
	if (!top || top->size - top->used < size) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;

		top = malloc(sizeof *top + room);
		if (!top)
			return fail(arena);
		top->below = arena->chunks;
		top->used = 0;
		top->size = room;
		arena->chunks = top;
	}
	memory = (char *)top->data + top->used;
	top->used += size;
	return memory;
}

char *hs_copy(struct hs_arena *arena, const char *text, size_t length)
{
	char *copy = hs_alloc(arena, length + 1);

	if (copy) {
		memcpy(copy, text, length);
		copy[length] = '\0';
	}
	return copy;
}

void *hs_grow(struct hs_arena *arena, void *items, size_t count, size_t *room, size_t size)
{
	void *grown;

	if (count < *room)
		return items;
	*room = *room ? *room * 2 : 8;
	grown = hs_alloc(arena, *room * size);
	if (grown && count)
		memcpy(grown, items, count * size);
	return grown;
}

void hs_arena_free(struct hs_arena *arena)
{
	hs_rewind(arena, (struct hs_mark){0});
}

struct hs_mark hs_mark(const struct hs_arena *arena)
{
	return (struct hs_mark){arena->chunks, arena->chunks ? arena->chunks->used : 0};
}

void hs_rewind(struct hs_arena *arena, struct hs_mark mark)
{
	while (arena->chunks != mark.chunk) {
		struct hs_chunk *top = arena->chunks;

		arena->chunks = top->below;
		free(top);
	}
	if (arena->chunks)
		arena->chunks->used = mark.used;
}

void hs_text_add_bytes(struct hs_text *text, const char *s, size_t n)
{
	if (text->failed)
		return;
	if (text->room - text->n < n + 1) {
		size_t room = (text->n + n + 64) * 2;
		char *grown = hs_alloc(text->arena, room);

		if (!grown) {
			text->failed = true;
			return;
		}
		if (text->n)
			memcpy(grown, text->s, text->n);
		text->s = grown;
		text->room = room;
	}
	memcpy(text->s + text->n, s, n);
	text->n += n;
	text->s[text->n] = '\0';
}

void hs_text_add(struct hs_text *text, const char *s)
{
	hs_text_add_bytes(text, s, strlen(s));
}
