#include "lib/packet.h"

#include <errno.h>
#include <sys/socket.h>

#include "tests/unit/unit.h"

static int socks[2];

static int setup(void **state)
{
	(void)state;
	return packet_pair(socks);
}

static int teardown(void **state)
{
	(void)state;
	close(socks[0]);
	close(socks[1]);
	return 0;
}

static int open_fds(void)
{
	int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
	DIR *dir = fdopendir(fd);
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void test_packets_keep_their_borders(void **state)
{
	struct str got = { 0 };
	int fd;

	(void)state;
	assert_int_equal(packet_send(socks[0], VIEW("a\0b"), -1), PACKET_OK);
	assert_int_equal(packet_send(socks[0], VIEW("second"), -1), PACKET_OK);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_OK);
	assert_true(view_eq(str_view(&got), VIEW("a\0b")));
	assert_int_equal(fd, -1);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_OK);
	assert_str(&got, "second");
	close(socks[0]);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_EOF);
	assert_int_equal(got.len, 0);
	assert_int_equal(packet_send(socks[1], VIEW("x"), -1), PACKET_EOF);
	socks[0] = -1;
	str_free(&got);
}

static void test_a_descriptor_travels_along_close_on_exec(void **state)
{
	struct str got = { 0 };
	char bytes[4];
	int fds[2];
	int fd;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(packet_send(socks[0], VIEW("x"), fds[1]), PACKET_OK);
	close(fds[1]);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_OK);
	assert_int_not_equal(fd, -1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fd, "hey", 3), 3);
	assert_int_equal(read(fds[0], bytes, 4), 3);
	close(fd);
	close(fds[0]);
	str_free(&got);
}

static void test_the_largest_packet_fits_and_one_more_byte_not(void **state)
{
	struct str big = { 0 };
	struct str got = { 0 };
	int fd;

	(void)state;
	for (size_t i = 0; i < PACKET_MAX_BYTES; i++)
		str_append_byte(&big, (char)i);
	assert_int_equal(packet_send(socks[0], str_view(&big), -1), PACKET_OK);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_OK);
	assert_true(view_eq(str_view(&got), str_view(&big)));
	str_append_byte(&big, 'x');
	assert_int_equal(packet_send(socks[0], str_view(&big), -1),
			 PACKET_ERROR);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(packet_send(socks[0], VIEW(""), -1), PACKET_ERROR);
	assert_int_equal(errno, EINVAL);
	/* One that does not use packet_send() may send it all the same. */
	assert_int_equal(send(socks[0], big.p, big.len, 0), (ssize_t)big.len);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_BAD);
	assert_true(got.len <= PACKET_MAX_BYTES);
	assert_int_equal(packet_send(socks[0], VIEW("on"), -1), PACKET_OK);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_OK);
	assert_str(&got, "on");
	str_free(&big);
	str_free(&got);
}

static void send_fds(struct view packet, size_t count)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int) * 16)];
	} control = { .space = { 0 } };
	struct iovec piece = { (void *)(uintptr_t)packet.p, packet.len };
	struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct cmsghdr *head;
	int fds[16] = { 0 };

	msg.msg_control = control.space;
	msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
	head = CMSG_FIRSTHDR(&msg);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(head), fds, sizeof(int) * count);
	assert_int_equal(sendmsg(socks[0], &msg, 0), (ssize_t)packet.len);
}

static void test_a_hostile_peer_leaves_no_descriptors_behind(void **state)
{
	struct str got = { 0 };
	int before = open_fds();
	int fd;

	(void)state;
	send_fds(VIEW("x"), 3);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_OK);
	assert_int_not_equal(fd, -1);
	close(fd);
	assert_int_equal(open_fds(), before);
	send_fds(VIEW("x"), 16);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_BAD);
	assert_int_equal(fd, -1);
	assert_int_equal(open_fds(), before);
	/* An empty packet reads as the end; what it brought is closed. */
	send_fds(VIEW(""), 1);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_EOF);
	assert_int_equal(fd, -1);
	assert_int_equal(open_fds(), before);
	str_free(&got);
}

static void test_a_nonblocking_socket_says_again(void **state)
{
	struct str got = { 0 };
	enum packet_result result;
	int fd;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(fcntl(socks[i], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(packet_receive(socks[1], &got, &fd), PACKET_AGAIN);
	do
		result = packet_send(socks[0], VIEW("fill"), -1);
	while (result == PACKET_OK);
	assert_int_equal(result, PACKET_AGAIN);
	assert_int_equal(packet_send(-1, VIEW("x"), -1), PACKET_ERROR);
	assert_int_equal(errno, EBADF);
	str_free(&got);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void test_into_what_the_caller_has(void **state)
{
	char bytes[4];
	size_t len;
	int before;
	int fd;

	(void)state;
	assert_int_equal(packet_receive_into(socks[1], bytes, 4, &len, &fd),
			 PACKET_AGAIN);
	assert_int_equal(packet_send(socks[0], VIEW("abcd"), socks[0]),
			 PACKET_OK);
	assert_int_equal(packet_receive_into(socks[1], bytes, 4, &len, &fd),
			 PACKET_OK);
	assert_int_equal(len, 4);
	assert_memory_equal(bytes, "abcd", 4);
	assert_true(fd != -1 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	close(fd);
	/* One byte too many, and its descriptor is closed. */
	assert_int_equal(packet_send(socks[0], VIEW("abcde"), socks[0]),
			 PACKET_OK);
	before = open_fds();
	assert_int_equal(packet_receive_into(socks[1], bytes, 4, &len, &fd),
			 PACKET_BAD);
	assert_int_equal(fd, -1);
	assert_int_equal(open_fds(), before);
	close(socks[0]);
	assert_int_equal(packet_receive_into(socks[1], bytes, 4, &len, &fd),
			 PACKET_EOF);
	socks[0] = -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_into_what_the_caller_has),
		CASE(test_packets_keep_their_borders),
		CASE(test_a_descriptor_travels_along_close_on_exec),
		CASE(test_the_largest_packet_fits_and_one_more_byte_not),
		CASE(test_a_hostile_peer_leaves_no_descriptors_behind),
		CASE(test_a_nonblocking_socket_says_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
