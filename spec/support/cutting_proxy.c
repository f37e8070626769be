/* cutting_proxy.c -- stands between a client and a PostgreSQL server, counts what goes to and fro, and
 * cuts the line at a COMMIT.
 *
 *   cutting_proxy LISTEN SERVER ORDER COUNT
 *
 * LISTEN and SERVER are paths of sockets; there is no TLS on those. It prints "ready" when clients can
 * connect, and ends when nobody reads its output any more. ORDER is a file that says what to cut:
 *   request N   the N-th COMMIT from now on does not reach the server, and nothing that the client
 *               sent together with it does
 *   reply N     that COMMIT reaches the server, but the server's answer does not reach the client
 * The file is gone once that COMMIT came by. Transactions that only read are not counted.
 * COUNT is a file that gets an 'r' for each round trip, which is a Sync or a Query that the server has
 * answered, and a 'c' for each client that has logged in: before the client hears of it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What a client prepared. The newest of a name counts. */
struct statement {
	struct statement *next;
	char *name, *sql;
};

struct session {
	int client, server;
	struct statement *prepared;
	const char *bound;		/* what the next Execute runs */
	bool reading;			/* the transaction began as READ ONLY */
	int commits;			/* of transactions that may write, in this batch */
	atomic_bool reply_is_due;	/* to be cut */
};

/* Whole messages, one after the other. */
struct batch {
	char *bytes;
	size_t size, room;
};

static const char *server_path, *order_path;
static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER;
static int counts;		/* the file */

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

/* -- sockets ---------------------------------------------------------------------------------- */

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof address.sun_path) {
		fprintf(stderr, "the path '%s' is too long for a socket\n", path);
		exit(1);
	}
	strcpy(address.sun_path, path);
	return address;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 64)) {
		perror(path);
		exit(1);
	}
	return fd;
}

static bool read_all(int fd, char *bytes, size_t size)
{
	while (size) {
		ssize_t n = recv(fd, bytes, size, 0);

		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

/* Reads a message behind what BATCH holds: a byte for its type, unless it is the first of a session,
 * a length that counts itself, and a body. *MESSAGE is where it begins. */
static bool read_message(int fd, size_t type, struct batch *batch, size_t *message)
{
	unsigned char head[5];
	size_t length;

	if (!read_all(fd, (char *)head, type + 4))
		return false;
	length = (size_t)head[type] << 24 | (size_t)head[type + 1] << 16 | (size_t)head[type + 2] << 8 | head[type + 3];
	if (length < 4)
		return false;
	length += type;
	/* One byte more, so that a text at its end is always ended. */
	if (batch->size + length + 1 > batch->room) {
		batch->room = 2 * (batch->size + length + 1);
		batch->bytes = must(realloc(batch->bytes, batch->room));
	}
	*message = batch->size;
	memcpy(batch->bytes + batch->size, head, type + 4);
	if (!read_all(fd, batch->bytes + batch->size + type + 4, length - type - 4))
		return false;
	batch->size += length;
	batch->bytes[batch->size] = '\0';
	return true;
}

/* -- what a client says -------------------------------------------------------------------------- */

/* Notes what the statements of a text begin and end. */
static void run_text(struct session *session, const char *sql)
{
	while (sql) {
		sql += strspn(sql, "; \t\n");
		if (strncmp(sql, "BEGIN", 5) == 0)
			session->reading = strstr(sql, "READ ONLY");
		else if (strncmp(sql, "COMMIT", 6) == 0)
			session->commits += !session->reading;
		sql = strchr(sql, ';');
	}
}

static void prepare(struct session *session, const char *name, const char *sql)
{
	struct statement *statement = must(malloc(sizeof *statement));

	statement->name = must(strdup(name));
	statement->sql = must(strdup(sql));
	statement->next = session->prepared;
	session->prepared = statement;
}

static void bind_statement(struct session *session, const char *name)
{
	session->bound = NULL;
	for (struct statement *s = session->prepared; s && !session->bound; s = s->next)
		if (strcmp(s->name, name) == 0)
			session->bound = s->sql;
}

/* The text behind a text. */
static const char *next_text(const char *text)
{
	return text + strlen(text) + 1;
}

static void note(struct session *session, const char *message)
{
	const char *body = message + 5;

	switch (*message) {
	case 'Q': run_text(session, body); break;
	case 'P': prepare(session, body, next_text(body)); break;
	case 'B': bind_statement(session, next_text(body)); break;
	case 'E': run_text(session, session->bound); break;
	}
}

/* These wait in the client's own buffer for a Sync, or a Flush, and would come with it. */
static bool is_followed(char type)
{
	return strchr("PBDEC", type);
}

/* -- orders ---------------------------------------------------------------------------------------- */

static void put_order(const char *what, long count)
{
	FILE *file = must(fopen(order_path, "w"));

	fprintf(file, "%s %ld\n", what, count);
	fclose(file);
}

/* Whether one of the next COUNT commits is the one to cut, and how. */
static void take_order(int count, bool *cut_request, bool *cut_reply)
{
	FILE *file;
	char what[16];
	long left;

	*cut_request = *cut_reply = false;
	pthread_mutex_lock(&order_lock);
	file = count ? fopen(order_path, "r") : NULL;
	if (file) {
		bool read = fscanf(file, "%15s %ld", what, &left) == 2;

		fclose(file);
		if (read && left > count) {
			put_order(what, left - count);
		} else if (read) {
			unlink(order_path);
			*cut_request = strcmp(what, "request") == 0;
			*cut_reply = !*cut_request;
		}
	}
	pthread_mutex_unlock(&order_lock);
}

/* -- sessions ------------------------------------------------------------------------------------------ */

/* Either side ends both. */
static void hang_up(struct session *session)
{
	shutdown(session->client, SHUT_RDWR);
	shutdown(session->server, SHUT_RDWR);
}

static void forward_requests(struct session *session)
{
	struct batch batch = {0};
	size_t message;
	bool cut = false, cut_reply, live = read_message(session->client, 0, &batch, &message) &&
		write_all(session->server, batch.bytes, batch.size);

	batch.size = 0;
	while (live && !cut && read_message(session->client, 1, &batch, &message)) {
		note(session, batch.bytes + message);
		if (is_followed(batch.bytes[message]))
			continue;
		take_order(session->commits, &cut, &cut_reply);
		if (cut_reply)
			session->reply_is_due = true;
		live = cut || write_all(session->server, batch.bytes, batch.size);
		session->commits = 0;
		batch.size = 0;
	}
	free(batch.bytes);
}

/* The server is ready for what comes next: the first time, for anything at all. */
static void count_answer(bool *logged_in)
{
	if (write(counts, *logged_in ? "r" : "c", 1) != 1)
		abort();
	*logged_in = true;
}

static void *forward_replies(void *argument)
{
	struct session *session = argument;
	struct batch reply = {0};
	size_t message;
	bool logged_in = false;

	while (read_message(session->server, 1, &reply, &message)) {
		bool cut = session->reply_is_due && *reply.bytes == 'C' && strcmp(reply.bytes + 5, "COMMIT") == 0;

		if (*reply.bytes == 'Z')
			count_answer(&logged_in);
		if (cut || !write_all(session->client, reply.bytes, reply.size))
			break;
		reply.size = 0;
	}
	hang_up(session);
	free(reply.bytes);
	return NULL;
}

static void free_session(struct session *session)
{
	while (session->prepared) {
		struct statement *next = session->prepared->next;

		free(session->prepared->name);
		free(session->prepared->sql);
		free(session->prepared);
		session->prepared = next;
	}
	free(session);
}

static void *serve(void *argument)
{
	struct session *session = argument;
	pthread_t replies;

	session->server = connect_to(server_path);
	if (session->server >= 0) {
		if (pthread_create(&replies, NULL, forward_replies, session))
			abort();
		forward_requests(session);
		hang_up(session);
		pthread_join(replies, NULL);
		close(session->server);
	}
	close(session->client);
	free_session(session);
	return NULL;
}

static void accept_client(int listener)
{
	struct session *session = must(calloc(1, sizeof *session));
	pthread_t thread;

	session->client = accept(listener, NULL, NULL);
	if (session->client < 0 || pthread_create(&thread, NULL, serve, session))
		abort();
	pthread_detach(thread);
}

int main(int count, char **words)
{
	/* A reader that goes away is an error of the pipe, asked for or not. */
	struct pollfd fds[2] = {{.events = POLLIN}, {.fd = STDOUT_FILENO}};

	if (count != 5) {
		fputs("cutting_proxy LISTEN SERVER ORDER COUNT\n", stderr);
		return 2;
	}
	server_path = words[2];
	order_path = words[3];
	counts = open(words[4], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (counts < 0) {
		perror(words[4]);
		return 1;
	}
	fds[0].fd = listen_at(words[1]);
	puts("ready");
	fflush(stdout);
	while (poll(fds, 2, -1) > 0 || errno == EINTR) {
		if (fds[1].revents)
			break;
		if (fds[0].revents)
			accept_client(fds[0].fd);
	}
	/* Threads still hold what they allocated. */
	_exit(0);
}
