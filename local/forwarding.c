#include "local/forwarding.h"

#include <errno.h>
#include <unistd.h>

#include "lib/enqueue.h"
#include "lib/home.h"
#include "lib/message.h"
#include "lib/qfile.h"

static void put_message(struct enqueue *q, const struct job *job)
{
	struct message_reader reader;
	enum in_result result;
	struct view chunk;

	message_start(&reader, job);
	while ((result = in_chunk(&reader.in, &chunk)) == IN_OK) {
		enqueue_put(q, chunk);
		in_consume(&reader.in, chunk.len);
	}
	if (result != IN_EOF)
		enqueue_fail(q, ENQUEUE_CODE_READ);
}

/* qp is the pid where there is a qmail-queue, else the queue's id. */
static int conclude(struct verdict *v, struct enqueue *q, uint64_t *qp)
{
	switch (enqueue_close(q)) {
	case ENQUEUE_DONE:
		*qp = q->id ? q->id : (uint64_t)q->pid;
		return 0;
	case ENQUEUE_TEMPORARY:
		return verdict_defer(v, "Unable to forward message: %s.",
				     str_c(&q->text));
	case ENQUEUE_PERMANENT:
		return verdict_fail(v, "Unable to forward message: %s.",
				    str_c(&q->text));
	}
	return verdict_defer(v, "Unable to forward message. (#4.3.0)");
}

int forwarding_send(struct verdict *v, const struct job *job,
		    const struct envelope *envelope, struct view sender,
		    struct view addresses, uint64_t *qp)
{
	struct enqueue q;
	int homefd = home_open();
	int result;

	if (homefd == -1)
		return verdict_defer(v,
				     "Unable to forward message: cannot "
				     "open the mail system's home: %s. "
				     "(#4.3.0)",
				     strerror(errno));
	enqueue_open(&q, homefd);
	enqueue_put(&q, str_view(&envelope->dtline));
	put_message(&q, job);
	enqueue_from(&q, sender);
	if (job->body.len)
		enqueue_param(&q, QFILE_BODY, job->body);
	if (job->smtputf8)
		enqueue_param(&q, QFILE_SMTPUTF8, VIEW(""));
	while (addresses.len)
		enqueue_to(&q, view_cut(&addresses, '\0'));
	result = conclude(v, &q, qp);
	enqueue_free(&q);
	close(homefd);
	return result;
}
