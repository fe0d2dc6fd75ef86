/* What every cmocka program includes, in the order that cmocka needs. */
#pragma once

#include <setjmp.h> /* IWYU pragma: keep */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
