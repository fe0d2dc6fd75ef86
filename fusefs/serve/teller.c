#include "fusefs/serve/teller.h"

#include "fusefs/serve/control.h"
#include "fusefs/supervise/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { SUPERVISOR_MILLISECONDS = 10000, KERNEL_SECONDS = 30, MINOR_EXPIRE = 38 };

struct teller {
	int socket;
	int64_t minor; /* of the kernel's protocol */
};

void teller_close(struct teller *teller)
{
	if (!teller)
		return;
	if (teller->socket >= 0)
		(void)close(teller->socket);
	free(teller);
}

static int ask_supervisor(struct teller *teller, const struct control_place *place,
			  struct error *reterr)
{
	int fds[DESCRIPTORS_MOST] = { -1, -1, -1, -1 };
	cleanup_json json_t *answer = NULL;
	cleanup_json json_t *request = json_pack("{s:s}", "verb", "notifier");
	int r = request
		    ? control_trade(place, request, SUPERVISOR_MILLISECONDS, fds, &answer)
		    : -ENOMEM;
	if (r < 0)
		return error_errno(reterr, r, "the supervisor does not answer");
	teller->socket = fds[0];
	fds[0] = -1;
	descriptors_close(fds);
	teller->minor = json_get_int(answer, "minor", 0);
	const char *why = json_get_text(answer, "error");
	return teller->socket >= 0
		   ? 0
		   : error_set(reterr, -EIO, "the supervisor starts no helper: %s",
			       why ? why : "it does not know how");
}

int teller_open(const struct control_place *place, struct teller **ret,
		struct error *reterr)
{
	const struct timeval most = { .tv_sec = KERNEL_SECONDS };
	CLEANUP(teller_closep) struct teller *teller = calloc(1, sizeof(*teller));
	if (!teller)
		return -ENOMEM;
	teller->socket = -1;
	int r = ask_supervisor(teller, place, reterr);
	if (r < 0)
		return r;
	(void)setsockopt(teller->socket, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
	*ret = steal_ptr(teller);
	return 0;
}

static int tell(struct teller *teller, const struct notice *notice)
{
	int32_t result;
	if (send(teller->socket, notice, sizeof(*notice), MSG_NOSIGNAL) < 0)
		return -errno;
	ssize_t n = recv(teller->socket, &result, sizeof(result), 0);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (n != (ssize_t)sizeof(result))
		return -ECONNRESET;
	return result == -ENOENT ? 0 : result;
}

int teller_node(struct teller *teller, uint64_t node)
{
	const struct notice notice = { .kind = NOTICE_NODE, .node = node };
	return tell(teller, &notice);
}

bool teller_can_expire(const struct teller *teller)
{
	return teller->minor >= MINOR_EXPIRE;
}

int teller_expire(struct teller *teller, uint64_t parent, const char *name)
{
	struct notice notice = { .kind = NOTICE_EXPIRE, .parent = parent };
	if (strlen(name) >= sizeof(notice.name))
		return -ENAMETOOLONG;
	(void)strcpy(notice.name, name);
	return tell(teller, &notice);
}
