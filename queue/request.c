#include "queue/request.h"

#include "lib/enqueue.h"
#include "lib/qfile.h"

#define PARAM_MAX_BYTES 4096
#define SESSION_MAX_BYTES 100

static enum request_kind bad(struct request *r, struct request_event *event,
			     int code, const char *text)
{
	r->phase = REQUEST_OVER;
	*event = (struct request_event){ .code = code, .text = text };
	return REQUEST_BAD;
}

/* ---- envelope records ---- */

static bool is_text(struct view v, size_t max_bytes)
{
	if (v.len > max_bytes)
		return false;
	for (size_t i = 0; i < v.len; i++)
		if ((unsigned char)v.p[i] < ' ' || v.p[i] == 127)
			return false;
	return true;
}

/* The code to refuse an address with, or 0. */
static int check_address(struct view address)
{
	if (address.len > QFILE_ADDRESS_MAX)
		return ENQUEUE_CODE_ADDRESS_TOO_LONG;
	return view_has(address, '\0') ? ENQUEUE_CODE_ENVELOPE : 0;
}

static int check_sender(struct request *r, struct view value)
{
	if (r->sender)
		return ENQUEUE_CODE_ENVELOPE;
	r->sender = true;
	return check_address(value);
}

static int check_recipient(struct request *r, struct view value)
{
	if (value.len == 0 || value.p[0] != QFILE_WAITING)
		return ENQUEUE_CODE_ENVELOPE;
	r->recipients++;
	return check_address(view_from(value, 1));
}

/* What concerns the whole message comes before its first recipient. */
static bool message_param_is_sound(const struct record *record)
{
	struct view value = record->value;

	switch (record->type) {
	case QFILE_BODY:
		return view_eq(value, VIEW("7BIT")) ||
		       view_eq(value, VIEW("8BITMIME"));
	case QFILE_RET:
		return view_eq(value, VIEW("FULL")) ||
		       view_eq(value, VIEW("HDRS"));
	case QFILE_ENVID:
		return is_text(value, PARAM_MAX_BYTES);
	case QFILE_SMTPUTF8:
	case QFILE_REQUIRETLS:
		return value.len == 0;
	case QFILE_SESSION:
		return is_text(value, SESSION_MAX_BYTES);
	default:
		return false;
	}
}

static int check_record(struct request *r, const struct record *record)
{
	bool sound;

	if (record->type == QFILE_SENDER)
		return check_sender(r, record->value);
	if (!r->sender)
		return ENQUEUE_CODE_ENVELOPE;
	switch (record->type) {
	case QFILE_RECIPIENT:
		return check_recipient(r, record->value);
	case QFILE_NOTIFY:
	case QFILE_ORCPT:
		sound = r->recipients > 0 &&
			is_text(record->value, PARAM_MAX_BYTES);
		break;
	default:
		sound = r->recipients == 0 && message_param_is_sound(record);
	}
	return sound ? 0 : ENQUEUE_CODE_ENVELOPE;
}

static enum request_kind take_records(struct request *r,
				      struct request_event *event)
{
	struct view rest = str_view(&r->piece);
	struct record record;
	enum record_result result;

	r->phase = REQUEST_IN_ENVELOPE;
	r->envelope_len += r->piece.len;
	if (r->envelope_len > REQUEST_ENVELOPE_MAX)
		return bad(r, event, ENQUEUE_CODE_REFUSED,
			   "envelope too large");
	while ((result = record_next(&rest, &record)) == RECORD_OK) {
		int code = check_record(r, &record);

		if (code == ENQUEUE_CODE_ADDRESS_TOO_LONG)
			return bad(r, event, code, "address too long");
		if (code)
			return bad(r, event, code, "bad envelope record");
	}
	if (result == RECORD_BAD)
		return bad(r, event, ENQUEUE_CODE_ENVELOPE,
			   "broken envelope record");
	event->bytes = str_view(&r->piece);
	return REQUEST_RECORDS;
}

/* ---- records of the protocol ---- */

static enum request_kind take_hello(struct request *r,
				    struct request_event *event)
{
	if (!view_eq(str_view(&r->piece), VIEW(ENQUEUE_PROTOCOL)))
		return bad(r, event, ENQUEUE_CODE_BUG,
			   "unknown protocol version");
	r->phase = REQUEST_IN_MESSAGE;
	r->envelope_len = 0;
	r->sender = false;
	r->recipients = 0;
	return REQUEST_HELLO;
}

static enum request_kind take_end(struct request *r,
				  struct request_event *event)
{
	if (r->recipients == 0)
		return bad(r, event, ENQUEUE_CODE_ENVELOPE, "no recipient");
	r->phase = REQUEST_ENDED;
	return REQUEST_END;
}

/* May a record of this type and length come now? */
static bool head_fits(const struct request *r)
{
	switch (r->type) {
	case ENQUEUE_HELLO:
		return (r->phase == REQUEST_IN_HELLO ||
			r->phase == REQUEST_ENDED) &&
		       r->left <= 64;
	case ENQUEUE_CHUNK:
		return r->phase == REQUEST_IN_MESSAGE &&
		       r->left <= ENQUEUE_PIECE_MAX;
	case ENQUEUE_ENVELOPE:
		return (r->phase == REQUEST_IN_MESSAGE ||
			r->phase == REQUEST_IN_ENVELOPE) &&
		       r->left <= ENQUEUE_PIECE_MAX;
	case ENQUEUE_END:
		return r->phase == REQUEST_IN_ENVELOPE && r->left == 0;
	default:
		return false;
	}
}

/* Gather the head. true when it is complete. */
static bool take_head(struct request *r, struct view *input)
{
	struct view part = view_first(*input, RECORD_HEAD_BYTES - r->head_len);

	if (part.len)
		memcpy(r->head + r->head_len, part.p, part.len);
	r->head_len += part.len;
	*input = view_from(*input, part.len);
	if (r->head_len < RECORD_HEAD_BYTES)
		return false;
	r->type = le64_read(r->head);
	r->left = le64_read(r->head + 8);
	str_reset(&r->piece);
	return true;
}

/* Message bytes go through; other values are gathered until complete. */
static enum request_kind take_value(struct request *r, struct view *input,
				    struct request_event *event)
{
	struct view part = view_first(*input, r->left);

	*input = view_from(*input, part.len);
	r->left -= part.len;
	if (r->left == 0)
		r->head_len = 0;
	if (r->type == ENQUEUE_CHUNK) {
		event->bytes = part;
		return REQUEST_MESSAGE;
	}
	str_append(&r->piece, part);
	if (r->left)
		return REQUEST_MORE;
	if (r->type == ENQUEUE_HELLO)
		return take_hello(r, event);
	if (r->type == ENQUEUE_END)
		return take_end(r, event);
	return take_records(r, event);
}

enum request_kind request_next(struct request *r, struct view *input,
			       struct request_event *event)
{
	*event = (struct request_event){ 0 };
	if (r->phase == REQUEST_OVER) {
		*input = view_from(*input, input->len);
		return REQUEST_MORE;
	}
	if (r->head_len < RECORD_HEAD_BYTES) {
		if (!take_head(r, input))
			return REQUEST_MORE;
		if (!head_fits(r))
			return bad(r, event, ENQUEUE_CODE_ENVELOPE,
				   "unexpected record");
	}
	/* A value whose bytes have not come yet; empty ones are complete. */
	if (r->left && input->len == 0)
		return REQUEST_MORE;
	return take_value(r, input, event);
}

void request_free(struct request *r)
{
	str_free(&r->piece);
	*r = (struct request){ 0 };
}
