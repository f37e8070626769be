/* dhcp_client.c -- one message of a DHCP client, sent as its relay would:
 *
 *   dhcp_client SERVER PORT RELAY request|release MAC ADDRESS [NAME]
 *
 * A request says nothing of a server, so one with authority answers it as it stands (RFC 2131, 4.3.2:
 * a client that has been restarted). The answer is not waited for: what came of it, others see. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST = 3, RELEASE = 7 };
enum { OPTION_NAME = 12, OPTION_ADDRESS = 50, OPTION_TYPE = 53, OPTION_SERVER = 54, OPTION_END = 255 };

struct message {
	uint8_t op, htype, hlen, hops;
	uint8_t xid[4], secs_flags[4];
	struct in_addr client, your, next, relay;
	uint8_t mac[16], names[192], cookie[4], options[312];
};

struct writer {
	uint8_t *at;
};

static void option(struct writer *w, uint8_t code, const void *value, size_t length)
{
	*w->at++ = code;
	*w->at++ = (uint8_t)length;
	memcpy(w->at, value, length);
	w->at += length;
}

static struct in_addr address(const char *text)
{
	struct in_addr parsed;

	if (inet_pton(AF_INET, text, &parsed) != 1) {
		fprintf(stderr, "'%s' is no address\n", text);
		exit(2);
	}
	return parsed;
}

static void read_mac(const char *text, uint8_t *mac)
{
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)strtol(text + 3 * i, NULL, 16);
}

static void fill(struct message *m, char **words, int count)
{
	static const uint8_t cookie[] = {99, 130, 83, 99};
	struct in_addr wanted = address(words[5]), server = address(words[2]);
	uint8_t type = strcmp(words[3], "release") ? REQUEST : RELEASE;
	struct writer w = {m->options};

	m->op = m->htype = 1;
	m->hlen = 6;
	m->relay = server;
	read_mac(words[4], m->mac);
	memcpy(m->xid, m->mac + 2, sizeof m->xid);
	memcpy(m->cookie, cookie, sizeof cookie);
	option(&w, OPTION_TYPE, &type, 1);
	if (type == REQUEST) {
		option(&w, OPTION_ADDRESS, &wanted, sizeof wanted);
	} else {
		m->client = wanted;
		option(&w, OPTION_SERVER, &server, sizeof server);
	}
	if (count > 6)
		option(&w, OPTION_NAME, words[6], strlen(words[6]));
	*w.at = OPTION_END;
}

int main(int argc, char **argv)
{
	struct message m = {0};
	struct sockaddr_in to = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc < 7 || fd < 0)
		return 2;
	to.sin_addr = address(argv[1]);
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	fill(&m, argv + 1, argc - 1);
	if (sendto(fd, &m, sizeof m, 0, (struct sockaddr *)&to, sizeof to) < 0) {
		perror("sendto");
		return 1;
	}
	close(fd);
	return 0;
}
