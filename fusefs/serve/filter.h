/*
 * What the program that makes the filter of system calls and the server that enters it
 * agree on. Private to fusefs/serve.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

/* Stands in the filter for the number of the process that enters it; no process has it.
 */
#define FILTER_PID UINT32_C(0x7e57e57d)

static inline bool filter_is_own(const struct sock_filter *row)
{
	return row->code == (BPF_JMP | BPF_JEQ | BPF_K) && row->k == FILTER_PID;
}
