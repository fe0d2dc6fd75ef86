/*
 * Run when venvfs is built: writes the filter of system calls that a server enters
 * (confine.c), as the rows of an array of struct sock_filter. Making it takes libseccomp
 * a millisecond, which each start of a worker would wait for.
 */
#include "cache/base/cleanup.h"
#include "cache/base/file.h"
#include "fusefs/serve/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALL(name) SCMP_SYS(name)

static const int allowed[] = {
	/* files */
	CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(pread64), CALL(pwrite64),
	CALL(preadv), CALL(pwritev), CALL(preadv2), CALL(pwritev2), CALL(open),
	CALL(openat), CALL(openat2), CALL(creat), CALL(close), CALL(close_range),
	CALL(lseek), CALL(stat), CALL(fstat), CALL(lstat), CALL(newfstatat),
	CALL(fstatat64), CALL(statx), CALL(access), CALL(faccessat), CALL(faccessat2),
	CALL(readlink), CALL(readlinkat), CALL(getdents64), CALL(getcwd), CALL(mkdir),
	CALL(mkdirat), CALL(unlink), CALL(unlinkat), CALL(rmdir), CALL(rename),
	CALL(renameat), CALL(renameat2), CALL(link), CALL(linkat), CALL(symlink),
	CALL(symlinkat), CALL(fchown), CALL(ftruncate), CALL(fallocate),
	CALL(copy_file_range), CALL(sendfile), CALL(fsync), CALL(fdatasync),
	CALL(sync_file_range), CALL(syncfs), CALL(fadvise64), CALL(readahead),
	CALL(flock), CALL(statfs), CALL(fstatfs), CALL(dup), CALL(dup2), CALL(dup3),
	CALL(pipe2), CALL(memfd_create), CALL(umask), CALL(lgetxattr),
	SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self,
	/* memory */
	CALL(brk), CALL(mmap), CALL(munmap), CALL(mremap), CALL(mprotect), CALL(madvise),
	CALL(mincore), CALL(msync), CALL(mlock), CALL(munlock), CALL(membarrier),
	/* threads and signals */
	CALL(futex), CALL(set_robust_list), CALL(get_robust_list), CALL(rseq),
	CALL(set_tid_address), CALL(arch_prctl), CALL(exit), CALL(exit_group),
	CALL(sched_yield), CALL(sched_getaffinity), CALL(rt_sigaction),
	CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(rt_sigtimedwait),
	CALL(rt_sigsuspend), CALL(rt_sigpending), CALL(sigaltstack), CALL(signalfd4),
	CALL(restart_syscall), CALL(getpid), CALL(gettid), CALL(getppid), CALL(getuid),
	CALL(geteuid), CALL(getgid), CALL(getegid), CALL(getrusage), CALL(getrlimit),
	CALL(sysinfo), CALL(uname), CALL(getrandom),
	/* time and waiting */
	CALL(clock_gettime), CALL(clock_getres), CALL(clock_nanosleep), CALL(nanosleep),
	CALL(gettimeofday), CALL(time), CALL(poll), CALL(ppoll), CALL(select),
	CALL(pselect6), CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_wait),
	CALL(epoll_pwait), CALL(eventfd2), CALL(timerfd_create), CALL(timerfd_settime),
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	/* Sanitizers look for leaks, and for names of functions, with processes. */
	CALL(clone), CALL(fork), CALL(vfork), CALL(execve), CALL(wait4), CALL(kill),
	CALL(ptrace), CALL(prctl), CALL(ioctl), CALL(personality), CALL(pipe),
	CALL(process_vm_readv), CALL(prlimit64), CALL(getdents),
#endif
	/* sockets: which may be made, see below */
	CALL(bind), CALL(listen), CALL(accept), CALL(accept4), CALL(getsockopt),
	CALL(setsockopt), CALL(getsockname), CALL(getpeername), CALL(sendto),
	CALL(recvfrom), CALL(sendmsg), CALL(recvmsg), CALL(shutdown)
};

/* Calls that are allowed with one value of an argument. */
static const struct {
	int call;
	unsigned argument;
	uint64_t mask, value;
} allowed_so[] = {
	/* Those that send no signals (F_SETOWN and F_SETSIG would, to anybody). */
	{ CALL(fcntl), 1, UINT32_MAX, F_DUPFD },
	{ CALL(fcntl), 1, UINT32_MAX, F_DUPFD_CLOEXEC },
	{ CALL(fcntl), 1, UINT32_MAX, F_GETFD },
	{ CALL(fcntl), 1, UINT32_MAX, F_SETFD },
	{ CALL(fcntl), 1, UINT32_MAX, F_GETFL },
	{ CALL(fcntl), 1, UINT32_MAX, F_SETFL },
	{ CALL(fcntl), 1, UINT32_MAX, F_GETLK },
	{ CALL(fcntl), 1, UINT32_MAX, F_SETLK },
	{ CALL(fcntl), 1, UINT32_MAX, F_SETLKW },
	/* Landlock knows no modes and times: those of what it may open, for itself alone.
	 */
	{ CALL(fchmod), 1, ~(uint64_t)FILE_LASTING &UINT32_MAX, 0 },
	{ CALL(utimensat), 1, UINT64_MAX, 0 },
	{ CALL(clone), 0, CLONE_THREAD | CLONE_NEWUSER, CLONE_THREAD },
	{ CALL(ioctl), 1, UINT32_MAX, FICLONE },
	{ CALL(ioctl), 1, UINT32_MAX, FICLONERANGE },
	{ CALL(ioctl), 1, UINT32_MAX, TCGETS },        /* libc: is it a terminal? */
	{ CALL(sched_setaffinity), 0, UINT32_MAX, 0 }, /* a thread its own */
	{ CALL(prctl), 0, UINT32_MAX, PR_SET_NAME },
	{ CALL(prctl), 0, UINT32_MAX, PR_GET_NAME },
	{ CALL(prctl), 0, UINT32_MAX,
	  0x53564d41 /* PR_SET_VMA: malloc names its areas */ },
};

static int allow_calls(scmp_filter_ctx filter)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(*allowed); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	return r;
}

static int allow_with_arguments(scmp_filter_ctx filter)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(allowed_so) / sizeof(*allowed_so); i++) {
		const struct scmp_arg_cmp compare = { .arg = allowed_so[i].argument,
						      .op = SCMP_CMP_MASKED_EQ,
						      .datum_a = allowed_so[i].mask,
						      .datum_b = allowed_so[i].value };
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, allowed_so[i].call, 1,
					   &compare);
	}
	return r;
}

/* One to listen at; a datagram socket would reach whom it likes without connect(). */
static int allow_listener(scmp_filter_ctx filter)
{
	enum { KIND = 0xf }; /* beside SOCK_CLOEXEC and SOCK_NONBLOCK */
	const struct scmp_arg_cmp local[] = {
		{ .arg = 0,
		  .op = SCMP_CMP_MASKED_EQ,
		  .datum_a = UINT32_MAX,
		  .datum_b = AF_UNIX },
		{ .arg = 1,
		  .op = SCMP_CMP_MASKED_EQ,
		  .datum_a = KIND,
		  .datum_b = SOCK_SEQPACKET },
	};
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, CALL(socket), 2, local);
}

/* Limits: its own, and only to know them. Signals: to itself, as abort() does. */
static int allow_on_itself(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp own = { .arg = 0,
					  .op = SCMP_CMP_EQ,
					  .datum_a = FILTER_PID };
	const struct scmp_arg_cmp zero = { .arg = 0, .op = SCMP_CMP_EQ };
	const struct scmp_arg_cmp no_change = { .arg = 2, .op = SCMP_CMP_EQ };
	const struct scmp_arg_cmp asking[] = { zero, no_change };
	int r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, CALL(tgkill), 1, &own);
	if (r == 0)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, CALL(kill), 1, &own);
	if (r == 0)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, CALL(prlimit64), 2,
					   asking);
	return r;
}

static void release_filter(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

static int fill(scmp_filter_ctx filter)
{
	/* Else all that the kernel may say is -ECANCELED. */
	int r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = allow_calls(filter);
	if (r == 0)
		r = allow_with_arguments(filter);
	if (r == 0)
		r = allow_on_itself(filter);
	return r == 0 ? allow_listener(filter) : r;
}

/* How many rows hold the number that stands for a process's own. */
static int print_rows(int fd)
{
	struct sock_filter row;
	int own = 0;
	for (off_t at = 0; pread(fd, &row, sizeof(row), at) == (ssize_t)sizeof(row);
	     at += (off_t)sizeof(row)) {
		(void)printf("{ 0x%x, %u, %u, 0x%x },\n", row.code, row.jt, row.jf,
			     row.k);
		own += filter_is_own(&row);
	}
	return own;
}

int main(int argc, char **argv)
{
	CLEANUP(release_filter)
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	cleanup_fd int fd = memfd_create("filter", MFD_CLOEXEC);
	int r = filter && fd >= 0 ? fill(filter) : -ENOMEM;
	if (r == 0)
		r = seccomp_export_bpf(filter, fd);
	if (r == 0 && (argc != 2 || !freopen(argv[1], "we", stdout)))
		r = -EINVAL;
	/* kill and tgkill compare with it, in one row or in two. */
	if (r == 0 && print_rows(fd) == 0)
		r = -EINVAL;
	if (r < 0 || fflush(stdout) != 0) {
		(void)fprintf(stderr, "cannot make the filter of system calls: %s\n",
			      strerror(-r));
		return 1;
	}
	return 0;
}
