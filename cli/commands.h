/* The verbs; each cmd_*.c defines those of its name. */
#pragma once

#include "cli/options.h"

extern const struct command command_mount;
extern const struct command command_unmount;
extern const struct command command_list;
extern const struct command command_status;
extern const struct command command_refresh;
extern const struct command command_upgrade;
extern const struct command command_exec;
extern const struct command command_export;
extern const struct command command_cache;
/* Internal: the process that serves a mount (ARCHITECTURE.md, "the life of a mount"). */
extern const struct command command_serve;
/* Internal: what its supervisor runs to end one. */
extern const struct command command_leave;
