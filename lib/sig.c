#include "lib/sig.h"

#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

int sig_open(const int *signals, size_t count)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < count; i++)
		sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1)
		return -1;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int sig_next(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	return (int)info.ssi_signo;
}

void sig_ignore_write_signals(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/*
 * The kernel's own call, with everything zero: SIG_DFL, no flags. signal(3)
 * refuses the two signals that libc keeps for itself, yet whoever started us
 * may have left them ignored.
 */
static void set_default(int sig)
{
	static const unsigned long zeroes[8];

	syscall(SYS_rt_sigaction, sig, zeroes, NULL, (size_t)_NSIG / 8);
}

void sig_reset_all(void)
{
	sigset_t none;

	for (int sig = 1; sig < _NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			set_default(sig);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
