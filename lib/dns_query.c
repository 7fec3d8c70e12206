#include "lib/dns_query.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/random.h"

#define PACKETS_PER_TURN 16 /* strangers' packets must not keep us busy */
#define LENGTH_BYTES 2      /* TCP: before each packet */
#define READ_BYTES 4096

void dns_query_init(struct dns_query *query)
{
	*query = (struct dns_query){ .fd = -1 };
}

void dns_query_close(struct dns_query *query)
{
	if (query->fd != -1)
		close(query->fd);
	str_free(&query->out);
	str_free(&query->in);
	dns_query_init(query);
}

/* ---- the question goes out ---- */

static bool is_busy(int error)
{
	return error == EAGAIN || error == EINTR || error == EINPROGRESS;
}

static int connect_to(struct dns_query *query, const struct dns_server *server)
{
	int type = query->way == DNS_TCP ? SOCK_STREAM : SOCK_DGRAM;
	struct sockaddr_storage address;
	socklen_t len = ipaddr_to_socket(&server->ip, server->port, &address);

	query->fd = socket(address.ss_family,
			   type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (query->fd == -1)
		return -1;
	if (connect(query->fd, (struct sockaddr *)&address, len) == -1 &&
	    !is_busy(errno))
		return -1;
	return 0;
}

static int send_packet(struct dns_query *query, struct view packet)
{
	if (query->way == DNS_TCP) {
		str_append_byte(&query->out, (char)(packet.len >> 8));
		str_append_byte(&query->out, (char)(packet.len & 255));
		str_append(&query->out, packet);
		return 0;
	}
	/* One that the kernel has no room for now is lost like any other. */
	if (send(query->fd, packet.p, packet.len, MSG_NOSIGNAL) == -1 &&
	    !is_busy(errno))
		return -1;
	return 0;
}

static int start(struct dns_query *query, const struct dns_question *question,
		 const struct dns_server *server)
{
	unsigned char packet[DNS_QUERY_MAX_BYTES];
	uint16_t id;
	size_t len;

	if (random_fill(&id, sizeof(id)) == -1 ||
	    connect_to(query, server) == -1)
		return -1;
	query->id = id;
	len = dns_query_write(question, id, query->way == DNS_UDP, packet);
	return send_packet(query, view_make(packet, len));
}

int dns_query_open(struct dns_query *query, const struct dns_question *question,
		   const struct dns_server *server, enum dns_way way)
{
	int error;

	dns_query_close(query);
	query->way = way;
	if (start(query, question, server) == 0)
		return 0;
	error = errno;
	dns_query_close(query);
	errno = error;
	return -1;
}

void dns_query_prepare(struct dns_query *query, struct polls *polls)
{
	query->poll_no =
		polls_add(polls, query->fd, query->out.len ? POLLOUT : POLLIN);
	query->is_polled = true;
}

/* ---- the answer comes in ---- */

static enum dns_reply read_udp(struct dns_query *query,
			       const struct dns_question *question,
			       struct dns_answer *answer)
{
	unsigned char packet[DNS_UDP_MAX_BYTES];
	enum dns_reply reply = DNS_REPLY_FOREIGN;

	for (int i = 0; i < PACKETS_PER_TURN && reply == DNS_REPLY_FOREIGN;
	     i++) {
		/* MSG_TRUNC: the length it had before it was cut to fit. */
		ssize_t got =
			recv(query->fd, packet, sizeof(packet), MSG_TRUNC);

		if (got == -1)
			return is_busy(errno) ? DNS_REPLY_FOREIGN
					      : DNS_REPLY_FAILED;
		if ((size_t)got > sizeof(packet))
			return DNS_REPLY_CUT;
		reply = dns_packet_read(question, query->id,
					view_make(packet, (size_t)got), answer);
	}
	return reply;
}

/* How many bytes the answer has, its length included, as far as is known. */
static size_t wanted(const struct str *in)
{
	const unsigned char *p = (const unsigned char *)in->p;

	if (in->len < LENGTH_BYTES)
		return LENGTH_BYTES;
	return LENGTH_BYTES + ((size_t)p[0] << 8 | p[1]);
}

static enum dns_reply write_tcp(struct dns_query *query)
{
	ssize_t sent =
		send(query->fd, query->out.p, query->out.len, MSG_NOSIGNAL);

	if (sent == -1)
		return is_busy(errno) ? DNS_REPLY_FOREIGN : DNS_REPLY_FAILED;
	str_remove(&query->out, 0, (size_t)sent);
	return DNS_REPLY_FOREIGN;
}

/* The connection is for one answer: another one there is a failure. */
static enum dns_reply judge_tcp(struct dns_query *query,
				const struct dns_question *question,
				struct dns_answer *answer)
{
	struct view packet = view_from(str_view(&query->in), LENGTH_BYTES);
	enum dns_reply reply =
		dns_packet_read(question, query->id, packet, answer);

	return reply == DNS_REPLY_ANSWER ? reply : DNS_REPLY_FAILED;
}

static enum dns_reply read_tcp(struct dns_query *query,
			       const struct dns_question *question,
			       struct dns_answer *answer)
{
	struct str *in = &query->in;

	while (in->len < LENGTH_BYTES || in->len < wanted(in)) {
		size_t room = wanted(in) - in->len;
		ssize_t got;

		if (room > READ_BYTES)
			room = READ_BYTES;
		str_reserve(in, room);
		got = recv(query->fd, in->p + in->len, room, 0);
		if (got == -1 && is_busy(errno))
			return DNS_REPLY_FOREIGN;
		if (got <= 0)
			return DNS_REPLY_FAILED;
		in->len += (size_t)got;
	}
	return judge_tcp(query, question, answer);
}

static enum dns_reply act(struct dns_query *query,
			  const struct dns_question *question,
			  struct dns_answer *answer)
{
	if (query->way != DNS_TCP)
		return read_udp(query, question, answer);
	if (query->out.len)
		return write_tcp(query);
	return read_tcp(query, question, answer);
}

enum dns_reply dns_query_act(struct dns_query *query,
			     const struct dns_question *question,
			     const struct polls *polls,
			     struct dns_answer *answer)
{
	bool was_polled = query->is_polled;
	enum dns_reply reply;

	query->is_polled = false;
	if (!was_polled || !polls_ready(polls, query->poll_no))
		return DNS_REPLY_FOREIGN;
	reply = act(query, question, answer);
	if (reply != DNS_REPLY_FOREIGN)
		dns_query_close(query);
	return reply;
}
