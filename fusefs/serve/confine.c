#include "fusefs/serve/confine.h"

#include "cache/base/cleanup.h"
#include "cache/base/file.h"
#include "fusefs/serve/account.h"
#include "fusefs/serve/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A server parses images, rows and messages that others may have made. What it does
 * beside computing is file I/O, answering /dev/fuse and one socket; so it may do just
 * that. No execve, no new process, no mount, no ptrace, no network, and no word to
 * anybody who has not asked: a socket can listen, and is of a kind that cannot send
 * without being connected. Else it could have its supervisor, D-Bus or a container's
 * daemon do what it may not do itself.
 *
 * What is not allowed fails with ENOSYS, rather than killing: a libc or SQLite of
 * tomorrow asks for a newer call first and takes ENOSYS for "this kernel has it not",
 * where EPERM would be an error to it and a kill a dead mount. That is why clone3 is not
 * here either: its flags lie in memory, where no filter sees them; libc falls back to
 * clone.
 *
 * A filter cannot see which file is opened, and /proc/PID/mem is one: by it the memory of
 * any process that the kernel lets it trace could be written, its supervisor's too. So
 * it is in a Landlock domain, from which nobody outside can be traced; a second one, when
 * it is known what it serves, says which files it reaches (reach.h).
 *
 * CAP_DAC_OVERRIDE and the like are of no use to root's server: its cache, state and
 * upper are root's own, and owners of what it shows are rows and columns.
 */

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
					  .datum_a = (uint64_t)getpid() };
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

static int install_filter(void)
{
	CLEANUP(release_filter)
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (!filter)
		return -ENOMEM;
	int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == -EOPNOTSUPP)
		r = 0; /* no seccomp(2); there is one thread */
	/* Else all that the kernel may say is -ECANCELED. */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = allow_calls(filter);
	if (r == 0)
		r = allow_with_arguments(filter);
	if (r == 0)
		r = allow_on_itself(filter);
	if (r == 0)
		r = allow_listener(filter);
	return r == 0 ? seccomp_load(filter) : r;
}

/*
 * Of the first domain; the second comes when it is known what is served (reach.h). What
 * is moved from one directory to another stays allowed; it would be forbidden by any set
 * of rules that does not say so.
 */
static int enter_domain(void)
{
	CLEANUP(landlock_release) struct landlock l = LANDLOCK_INIT;
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = landlock_begin(&l, LANDLOCK_REFER | LANDLOCK_ACCESS_FS_EXECUTE);
	if (r == 0)
		r = landlock_allow(&l, root, LANDLOCK_REFER);
	if (r == 0)
		r = landlock_enter(&l);
	return r == -EOPNOTSUPP ? 0 : r;
}

static bool says_there_is_none(int code)
{
	return code == -ENOSYS || code == -EINVAL || code == -EPERM || code == -EACCES;
}

int confine_server(int *ret_missing, struct error *reterr)
{
	int r = account_drop_capabilities();
	if (r < 0)
		return error_errno(reterr, r, "cannot give up capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_errno(reterr, -errno, "cannot set no_new_privs");
	r = enter_domain();
	if (r < 0)
		return error_errno(reterr, r, "cannot enter a Landlock domain");
	r = install_filter();
	if (r < 0 && !says_there_is_none(r))
		return error_errno(reterr, r, "cannot install a seccomp filter");
	*ret_missing = r;
	return 0;
}
