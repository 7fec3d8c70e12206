#ifndef TOOLS_UCSPI_BETWEEN_H
#define TOOLS_UCSPI_BETWEEN_H

/*
 * A relay between a program and its descriptors 0 and 1: a child of the
 * program, which keeps our pid. It ends with the program's output.
 */

#include "tools/ucspi/relay.h"

/* Become argv[0], with the relay. Dies with EXIT_RETRY if it cannot. */
noreturn void between_run(const struct relay *relay, char *const *argv);

#endif
